"""Paths that must not be read to their end."""

import os


def _sparse(path):
    with path.open("wb") as file:
        file.truncate(10**12)
    path.chmod(0o600)


# By kind, what puts it at a path.
ENDLESS = {
    "huge file": _sparse,
    "pipe without a writer": lambda path: os.mkfifo(path, 0o600),
    "device": lambda path: path.symlink_to("/dev/zero"),
}

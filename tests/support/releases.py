"""Earlier versions of the project, taken out of its own history."""

import shutil
import subprocess

from tests.support.binaries import PROJECT, PartMissingError


def unpack(commit, directory):
    """Unpack the tree of this commit into the empty directory, and return the directory."""
    archive = directory.with_suffix(".zip")
    command = ["git", "archive", "--format=zip", f"--output={archive}", commit]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)  # noqa: S603 (our own command)
    if done.returncode:
        raise PartMissingError(
            f"Commit {commit[:7]}, which the tests upgrade from, is not in this clone's history "
            f"({done.stderr.strip()}). If the clone is shallow, run `git fetch --unshallow`."
        )
    shutil.unpack_archive(archive, directory)
    return directory

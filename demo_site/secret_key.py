"""The generated SECRET_KEY: made once, kept private, used when DJANGO_SECRET_KEY is not set."""

import os
import secrets
from pathlib import Path

from .startup import StartupError


def kept_in(path: Path) -> str:
    """The key in `path`, which is made with mode 0600 if it is not there. Several processes may ask at once.

    Raises `StartupError` when it can be neither read nor made.
    """
    try:
        if not path.exists():
            _make(path)
        path.chmod(0o600)
        return path.read_text().strip()
    except OSError as error:
        message = f"No secret key can be kept in {path} ({error.strerror}). Set DJANGO_SECRET_KEY."
        raise StartupError("invalid", os.EX_CONFIG, message) from None


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(50) + "\n")
    try:
        os.link(draft, path)  # unlike a rename it fails when another process was first: its key stays
    except FileExistsError:
        pass
    finally:
        draft.unlink()

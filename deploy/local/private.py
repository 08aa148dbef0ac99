"""`.local` belongs to the user alone: it holds the secret key, the admin's password, the store and the logs."""

import contextlib
import os
import stat
from pathlib import Path


def keep_private(local: Path) -> None:
    """Makes the folder; it and all in it is for its owner only."""
    local.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder, _folders, files in os.walk(local):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            with contextlib.suppress(OSError):  # another user's, or gone meanwhile: a server may be running
                mode = stat.S_IMODE(path.lstat().st_mode)
                if mode & 0o077 and not path.is_symlink():
                    path.chmod(mode & 0o700)

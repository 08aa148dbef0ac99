"""The virtual environments, and whether they are up to date."""

import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import debian
from processes import Failed, checked
from servers import Say

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def provide(root: Path, locks: list[str], say: Say, name: str = ".venv") -> Path:
    """The Python of `root`/`name`, with these locks of `root` installed; recreated when one changed.

    An environment belongs to the Python version that created it; another version gets its own: `.venv-3.12`.
    A stamp in it maps each installed file to its hash. It is written last: an environment whose creation was
    interrupted has none, and is recreated too. Raises Failed.
    """
    directory = root / name
    if [library.name for library in directory.glob("lib/python*")] not in ([], [f"python{VERSION}"]):
        directory = root / f"{name}-{VERSION}"
    python, stamp = directory / "bin" / "python", directory / "locks.json"
    wanted = {file: hashlib.sha256((root / file).read_bytes()).hexdigest() for file in locks}
    installed = _read(stamp) if python.exists() else {}
    if not installed or any(installed.get(file, value) != value for file, value in wanted.items()):
        _make(directory, say)
        installed = {}
    missing = [file for file in wanted if file not in installed]
    if missing:
        say(f"Installing {' and '.join(missing)} into {directory.name}")
        options = [option for file in missing for option in ("-r", str(root / file))]
        # Wheels only: building an sdist would download tools that have no hash here, and run them.
        trusted = ["--require-hashes", "--only-binary", ":all:"]
        checked([python, "-m", "pip", "install", "--disable-pip-version-check", *trusted, *options])
        stamp.write_text(json.dumps(installed | wanted))
    return python


def _read(stamp: Path) -> dict[str, str]:
    try:
        content = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _make(directory: Path, say: Say) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        _install_venv(say)
    say(f"Creating {directory.name}")
    shutil.rmtree(directory, ignore_errors=True)
    checked([sys.executable, "-m", "venv", str(directory)])


def _install_venv(say: Say) -> None:
    """Debian and Ubuntu have a part of the module venv in a separate package."""
    package = f"python{VERSION}-venv"
    try:
        debian.install([package], say)
    except debian.Unavailable as reason:
        message = f"This Python cannot create virtual environments: sudo apt-get install {package}, and run this again."
        raise Failed(f"{message} ({reason})") from reason

"""axe-core, which finds accessibility faults of a page: one script, fetched with npm, verified and cached."""

import base64
import hashlib
import os
import subprocess  # nosec B404
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from processes import Failed

VERSION = "4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
MEMBER = "package/axe.min.js"
SECONDS = 120  # npm tries again by itself


def find_axe(cache: Path, say: Callable[[str], None] = print) -> Path:
    """The path of the script in the cache, fetched if it is missing. Raises Failed."""
    target = cache / f"axe-core-{VERSION}.min.js"
    if not target.exists():
        say(f"Fetching axe-core {VERSION} with npm")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            archive = _pack(Path(scratch))
            draft = Path(scratch) / target.name
            draft.write_bytes(_member(archive))
            draft.replace(target)
    return target


def _pack(directory: Path) -> Path:
    """Download the package into `directory`; the path of the archive."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"axe-core@{VERSION}"]
    environment = os.environ | {"npm_config_cache": str(directory / "npm"), "npm_config_update_notifier": "false"}
    try:
        done = subprocess.run(  # noqa: S603 (npm, and constants)  # nosec B603
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"axe-core cannot be fetched, and the tests need it: {error}") from error
    found = list(directory.glob("axe-core-*.tgz"))
    if done.returncode or not found:
        last = " ".join(done.stderr.strip().splitlines()[-2:])
        raise Failed(f"axe-core cannot be fetched, and the tests need it: `{' '.join(command)}` failed: {last}")
    if base64.b64encode(hashlib.sha512(found[0].read_bytes()).digest()).decode() != SHA512:
        raise Failed(f"axe-core {VERSION}: the SHA-512 of the download is not the pinned one, so it is not used.")
    return found[0]


def _member(archive: Path) -> bytes:
    with tarfile.open(archive) as package:
        file = package.extractfile(MEMBER)
        if file is None:
            raise Failed(f"axe-core {VERSION} does not contain {MEMBER}.")
        return file.read()

"""Fetches one program out of an official release: a zip with a known SHA-256."""

import hashlib
import http.client
import platform
import queue
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

CONNECT_TIMEOUT = 5.0  # seconds, from the DNS look-up to the response's headers
READ_TIMEOUT = 30.0  # seconds without a byte
DOWNLOAD_SECONDS = 600.0
MOST_BYTES = 500_000_000
CHUNK = 1 << 20


class Unavailable(Exception):
    """The release is not available on this machine; the text gives the reason."""


@dataclass(frozen=True)
class Release:
    """A pinned release: `{base_url}/{version}/{name}_{version}_{platform}.zip`, a SHA-256 for each platform."""

    name: str
    version: str
    base_url: str
    sha256: Mapping[str, str]


OFFICIAL_CONSUL = Release(
    name="consul",
    version="2.0.2",
    base_url="https://releases.hashicorp.com/consul",
    sha256={
        "linux_amd64": "96e56c9d06b4a15bfa316afa39af926c1b67d189f66388dc1eecbb7c26faeed4",
        "linux_arm64": "70c13b33f47da13c7c797b57d6ccc8a738ecf33c8e3aec4c268640dc17ba660c",
        "darwin_amd64": "4e76391b19d2e2db08cd2a910acadc6e67b9e1e9333a7434a7ea3c6c977a8889",
        "darwin_arm64": "5954509aec5ed54dabc88fc8e357756c7b0dc56437bd296c1399e525e3657417",
    },
)


def provide(wanted: Release, member: str, target: Path, say: Callable[[str], None]) -> Path:
    """Puts the release's `member` at `target`, executable, anew at each use. Raises Unavailable.

    The archive stays beside it. It is hashed at each use, and downloaded if it is missing or no longer as pinned.
    """
    this = this_platform()
    if this not in wanted.sha256:
        raise Unavailable(f"there is none for {this}")
    target.parent.mkdir(parents=True, exist_ok=True)
    archive = archive_of(target)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            if not archive.exists() or sha256(archive) != wanted.sha256[this]:
                archive.unlink(missing_ok=True)
                _fetch(wanted, this, Path(scratch) / "release.zip", say).replace(archive)
            program = Path(zipfile.ZipFile(archive).extract(member, scratch))
            program.chmod(0o700)
            program.replace(target)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, KeyError) as error:
        archive.unlink(missing_ok=True)
        reason = getattr(error, "reason", error)  # what an URLError wraps
        raise Unavailable(str(reason) or type(error).__name__) from error
    return target


def archive_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.zip")


def sha256(path: Path) -> str:
    """Of the file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def this_platform() -> str:
    """This machine's platform as releases name it: `linux_amd64`."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}_{architecture}"


def _fetch(wanted: Release, platform: str, archive: Path, say: Callable[[str], None]) -> Path:
    """Downloads the release to `archive`, and checks its hash before anything reads it."""
    url = f"{wanted.base_url}/{wanted.version}/{wanted.name}_{wanted.version}_{platform}.zip"
    say(f"Fetching {url}")
    _download(url, archive)
    digest = sha256(archive)
    if digest != wanted.sha256[platform]:
        raise Unavailable(f"its SHA-256 is {digest}, not the pinned {wanted.sha256[platform]}, so it is not used")
    return archive


def _download(url: str, target: Path) -> None:
    """Writes the response's body to `target`, within DOWNLOAD_SECONDS. Raises OSError, HTTPException, Unavailable."""
    deadline, size = time.monotonic() + DOWNLOAD_SECONDS, 0
    with _open(url) as body, target.open("wb") as file:
        while chunk := body.read1(CHUNK):  # what has come, not CHUNK bytes: they may drip
            size += len(chunk)
            file.write(chunk)
            if size > MOST_BYTES:
                raise Unavailable(f"it is longer than {MOST_BYTES} bytes")
            if time.monotonic() > deadline:
                raise Unavailable(f"not downloaded within {DOWNLOAD_SECONDS:.0f} s")


def _open(url: str) -> http.client.HTTPResponse:
    """The response to GET `url`, within CONNECT_TIMEOUT, whatever hangs. Raises OSError or HTTPException."""
    answer: queue.Queue[http.client.HTTPResponse | Exception] = queue.Queue(maxsize=1)

    # A socket's time-out limits neither the DNS look-up nor the total over several addresses; a thread does.
    def connect() -> None:
        try:
            answer.put(cast(http.client.HTTPResponse, urllib.request.urlopen(url, timeout=READ_TIMEOUT)))  # noqa: S310 (a constant)  # nosec B310
        except urllib.error.HTTPError as refusal:
            refusal.close()  # it holds the connection
            answer.put(refusal)
        except Exception as error:
            answer.put(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        opened = answer.get(timeout=CONNECT_TIMEOUT)
    except queue.Empty:
        raise TimeoutError(f"no response within {CONNECT_TIMEOUT:.0f} s") from None
    if isinstance(opened, Exception):
        raise opened
    return opened

"""Fetches one program out of an official release: a zip with a known SHA-256."""

import hashlib
import http.client
import platform
import queue
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

CONNECT_TIMEOUT = 5.0  # seconds, from the DNS look-up to the response's headers
READ_TIMEOUT = 30.0  # seconds without a byte
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


def fetch(wanted: Release, member: str, target: Path, say: Callable[[str], None]) -> Path:
    """Downloads the release for this platform and puts its `member` at `target`, executable. Raises Unavailable."""
    this = this_platform()
    if this not in wanted.sha256:
        raise Unavailable(f"there is none for {this}")
    url = f"{wanted.base_url}/{wanted.version}/{wanted.name}_{wanted.version}_{this}.zip"
    say(f"Fetching {url}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            archive = Path(scratch) / "release.zip"
            digest = _download(url, archive)
            # The hash is checked before anything reads the archive.
            if digest != wanted.sha256[this]:
                raise Unavailable(f"its SHA-256 is {digest}, not the pinned {wanted.sha256[this]}, so it is not used")
            program = Path(zipfile.ZipFile(archive).extract(member, scratch))
            program.chmod(0o755)
            program.replace(target)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, KeyError) as error:
        reason = getattr(error, "reason", error)  # what an URLError wraps
        raise Unavailable(str(reason) or type(error).__name__) from error
    return target


def this_platform() -> str:
    """This machine's platform as releases name it: `linux_amd64`."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}_{architecture}"


def _download(url: str, target: Path) -> str:
    """Writes the response's body to `target`; returns its SHA-256 in hex."""
    digest = hashlib.sha256()
    with _open(url) as body, target.open("wb") as file:
        while chunk := body.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _open(url: str) -> BinaryIO:
    """The response to GET `url`, within CONNECT_TIMEOUT, whatever hangs. Raises OSError or HTTPException."""
    answer: queue.Queue[BinaryIO | Exception] = queue.Queue(maxsize=1)

    # A socket's time-out limits neither the DNS look-up nor the total over several addresses; a thread does.
    def connect() -> None:
        try:
            answer.put(cast(BinaryIO, urllib.request.urlopen(url, timeout=READ_TIMEOUT)))  # noqa: S310 (a constant)  # nosec B310
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

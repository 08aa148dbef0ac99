"""Debian packages: unpack one from an older suite without installing it; install others where that is allowed."""

import os
import platform
import re
import shutil
import subprocess  # nosec B404
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from release import sha256

SECONDS = 900.0  # for one command
SUITE = "bullseye"  # the last suite with a `consul` package
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
POSTGRESQL = Path("/usr/lib/postgresql")
ALIASES = ("oldstable", "stable", "testing", "unstable", "sid")

# apt writes below {root} only; proxies and similar settings still come from the machine.
APT_CONF = """\
Dir::State::Lists "{root}/lists";
Dir::Cache "{root}/cache";
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "10";
Acquire::https::Timeout "10";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class Unavailable(Exception):
    """The package is not available on this machine; the text gives the reason."""


def unpack(package: str, member: str, target: Path, say: Callable[[str], None]) -> Path:
    """Puts one file of a package of SUITE at `target`, without changing apt's own state. Raises Unavailable."""
    if _distribution().get("ID") != "debian":
        raise Unavailable("this is not Debian")
    target.parent.mkdir(parents=True, exist_ok=True)
    reasons = ["apt has no archive configured"]
    for mirror in _archives():
        say(f"Unpacking Debian's {package} ({SUITE}) from {mirror}")
        try:
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                _unpack_from(mirror, package, Path(scratch))
                program = Path(scratch) / "unpacked" / member
                program.chmod(0o700)
                _stamp(target).write_text(sha256(program))
                program.replace(target)
            return target
        except (OSError, Unavailable) as error:
            reasons.append(f"{mirror}: {error}")
    raise Unavailable("; ".join(reasons[1:] or reasons))


def is_whole(target: Path) -> bool:
    """Whether `target` is as it was unpacked. apt checked the package, and of an earlier version there is no hash."""
    if not target.is_file():
        return False
    stamp, found = _stamp(target), sha256(target)
    if not stamp.exists():
        stamp.write_text(found)
    return stamp.read_text() == found


def install(packages: Iterable[str], say: Callable[[str], None]) -> None:
    """`apt-get install` of the packages. Raises Unavailable where the user is not root or there is no apt-get."""
    wanted = list(packages)
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *wanted]
    if not shutil.which("apt-get"):
        raise Unavailable("there is no apt-get")
    if os.geteuid() != 0:
        raise Unavailable(f"not root: sudo {' '.join(command)}")
    say(f"Installing with apt-get: {' '.join(wanted)}")
    lock = ["-o", "DPkg::Lock::Timeout=120"]
    # One broken source among many is no reason to stop: the installation shows whether the lists suffice.
    _run(["apt-get", *lock, "update"], check=False)
    _run([*command, *lock])


def search_path() -> str:
    """PATH, and where Debian puts the programs of PostgreSQL's server, the newest version first."""
    found = sorted(POSTGRESQL.glob("*/bin"), key=lambda path: path.parent.name.zfill(4), reverse=True)
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, found)])


def _stamp(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _unpack_from(mirror: str, package: str, root: Path) -> None:
    """Downloads and unpacks the package to `root`/unpacked, with a separate apt configuration below `root`."""
    for directory in ("lists/partial", "cache/archives/partial", "unpacked"):
        (root / directory).mkdir(parents=True)
    signed_by = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    (root / "sources.list").write_text(f"deb {signed_by}{mirror} {SUITE} main\n")
    (root / "apt.conf").write_text(APT_CONF.format(root=root))
    apt = ["apt-get", "-c", str(root / "apt.conf")]
    if os.geteuid() == 0:
        apt += ["-o", "APT::Sandbox::User=root"]  # the user _apt may not enter this directory
    _run([*apt, "update"], cwd=root)
    _run([*apt, "download", package], cwd=root)
    (archive,) = root.glob(f"{package}_*.deb")
    _run(["dpkg-deb", "--extract", str(archive), str(root / "unpacked")])


def _archives() -> Iterator[str]:
    """The base URLs from which this machine's apt gets its own Debian suite."""
    own = {_distribution().get("VERSION_CODENAME", ""), *ALIASES}
    listed = _run(["apt-get", "update", "--print-uris"])
    found = re.findall(r"^'(\S+)/dists/([^/']+)/InRelease'", listed, re.MULTILINE)
    yield from dict.fromkeys(base for base, suite in found if suite in own)


def _distribution() -> dict[str, str]:
    """The fields of /etc/os-release; empty where there is none."""
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _run(command: list[str], *, cwd: Path | None = None, check: bool = True) -> str:
    """Standard output of a command that must not prompt. Raises Unavailable with its last lines."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(  # noqa: S603 (the callers above pass lists, and no shell reads them)  # nosec B603
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            umask=0o022,  # what apt-get writes for all users must be readable for them
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(str(error)) from error
    if check and done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-2:])
        raise Unavailable(f"`{command[0]}` ended with status {done.returncode}: {last}")
    return done.stdout

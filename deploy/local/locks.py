"""The locks: for each list of requirements, every package that it brings, at one version, with the hashes of its files.

The lists are for people; what is installed is a lock. One lock serves every supported Python, on Linux and macOS.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from processes import Failed, checked, run

# What `uv pip compile` gets for each list. Lists that are installed together agree: one is a constraint of the other.
LISTS: dict[str, list[str]] = {
    "requirements.txt": [],
    "tests/requirements.txt": ["--constraints", "requirements.lock"],
    "bench/requirements.txt": ["--constraints", "requirements.lock"],
    "tests/py-consul.txt": ["--no-deps"],  # it is installed beside python-consul, which needs the same packages
    "deploy/local/requirements.txt": [],
}
TOOLS = "deploy/local/requirements.txt"  # uv and pip-audit, in an environment of their own
OLDEST_PYTHON = "3.11"
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?==([^\s;\\#]+)")


class Unaudited(Failed):
    """Nobody said whether these packages have known vulnerabilities."""

    status = os.EX_UNAVAILABLE


def lock_of(requirements: str) -> str:
    return str(Path(requirements).with_suffix(".lock"))


def current(root: Path, lists: Iterable[str]) -> list[str]:
    """The locks of these lists. Raises Failed where a lock is not that of its list."""
    faults = [fault for each in lists for fault in faults_of(root, each)]
    if faults:
        remedy = "Run `make lock`, and commit what it changes."
        raise Failed("\n".join(["What is installed is a lock, and it is not that of its list:", *faults, remedy]))
    return [lock_of(each) for each in lists]


def faults_of(root: Path, requirements: str) -> list[str]:
    """What keeps the list's lock from being its lock; reads only the two files."""
    name = lock_of(requirements)
    if not (root / name).exists():
        return [f"  {requirements}: there is no {name}"]
    text, lock = (root / requirements).read_text(), (root / name).read_text()
    listed, locked = pins(text), pins(lock)
    lines = filter(None, (line.partition("#")[0].strip() for line in text.splitlines()))
    return [
        *(f"  {requirements}: `{line}` must be NAME==VERSION" for line in lines if not _PIN.match(line)),
        *(
            f"  {requirements} has {package}=={version}, {name} has {locked.get(package, 'none')}"
            for package, version in listed.items()
            if locked.get(package) != version
        ),
        *(
            f"  {name} has {package}, {requirements} does not"
            for package in _named_by(requirements, lock) - listed.keys()
        ),
    ]


def pins(text: str) -> dict[str, str]:
    """The version of each package that a list or a lock pins, by its normalized name."""
    found = filter(None, map(_PIN.match, text.splitlines()))
    return {_normalized(match[1]): match[2] for match in found}


def renew(root: Path, python: Path, options: list[str]) -> None:
    """Writes every lock. What a lock has already stays at its version, unless uv's `options` say otherwise.

    Raises Failed.
    """
    for requirements, of_this in LISTS.items():
        compiling: list[str | Path] = [python, "-m", "uv", "pip", "compile", "--quiet", requirements]
        # Only wheels: an sdist runs code of packages that no lock names.
        kind = [
            "-o",
            lock_of(requirements),
            "--universal",
            "--python-version",
            OLDEST_PYTHON,
            "--generate-hashes",
            "--only-binary",
            ":all:",
        ]
        checked([*compiling, *kind, "--custom-compile-command", "make lock", *of_this, *options], directory=root)


def audit(root: Path, python: Path) -> list[str]:
    """The known vulnerabilities of what the locks name, a line for each. Raises Unaudited."""
    lines: list[str] = []
    for requirements in LISTS:
        lines += _audit(root, python, lock_of(requirements))
    return lines


def _audit(root: Path, python: Path, lock: str) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        asking: list[str | Path] = [python, "-m", "pip_audit", "-r", lock, "--disable-pip", "--require-hashes"]
        done = run([*asking, "--progress-spinner", "off", "--format", "json", "--output", report], directory=root)
        try:
            found = json.loads(report.read_text())["dependencies"]
        except (OSError, ValueError, LookupError):
            raise _unaudited(lock, (done.output.splitlines() or ["it said nothing"])[-1]) from None
    # pip-audit skips what the service does not answer for, and is content when it could skip all.
    if skipped := [each["skip_reason"] for each in found if "skip_reason" in each]:
        raise _unaudited(lock, f"{len(skipped)} of {len(found)} packages are unknown there; {skipped[0]}")
    return [
        f"{lock}: {each['name']} {each['version']} has {vulnerability['id']}; "
        f"mended in {', '.join(vulnerability['fix_versions']) or 'no version'}"
        for each in found
        for vulnerability in each["vulns"]
    ]


def _unaudited(lock: str, reason: str) -> Unaudited:
    return Unaudited(
        f"{lock} was NOT audited, because the advisory service does not answer for its packages: {reason}\n"
        "Run `make audit` where that service can be reached."
    )


def _named_by(requirements: str, lock: str) -> set[str]:
    """The packages that the lock has because this list names them."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
    return {package for entry in entries if f"-r {requirements}\n" in entry for package in pins(entry)}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

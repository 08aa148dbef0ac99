"""The client works unchanged on py-consul, the maintained fork, in case python-consul stops working.

Both are imported as `consul`, so the fork is put into a directory of its own, before the installed library on the path.
"""

import hashlib
import os
import subprocess
import sys

import pytest

from tests.support.binaries import CACHE, PROJECT

pytestmark = pytest.mark.slow
LOCK = PROJECT / "tests" / "py-consul.lock"
FORK = f"py-consul-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"


@pytest.fixture(scope="module")
def fork_environment():
    """An environment in which `import consul` finds the fork."""
    target = CACHE / FORK
    if not target.exists():
        unfinished = CACHE / f"{FORK}-{os.getpid()}"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", unfinished]
        subprocess.run([*install, "--require-hashes", "--only-binary", ":all:", "-r", LOCK], check=True, timeout=300)  # noqa: S603 (our own command)
        unfinished.rename(target)
    return {**os.environ, "PYTHONPATH": str(target)}


def run_python(environment, *arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)  # noqa: S603 (our own command)


def test_fork_is_what_is_imported(fork_environment):
    ended = run_python(fork_environment, "-c", "import consul; print(consul.__file__)")
    assert ended.stdout.startswith(fork_environment["PYTHONPATH"])


def test_client_on_py_consul(fork_environment):
    """The whole of test_consul_client.py, in a process of its own."""
    ended = run_python(fork_environment, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_consul_client.py")
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert "passed" in ended.stdout
    assert "skipped" not in ended.stdout

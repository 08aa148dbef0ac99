"""The units of deploy/systemd/: systemd accepts them, they expose little, and gunicorn says when it is ready."""

import re
import shutil
import socket
import subprocess

import pytest

from demo_site.environment import TABLE
from demo_site.identity import NAME
from tests.support.binaries import PROJECT, first_on_path
from tests.support.secrets import GUARD
from tests.support.site import GUNICORN

UNITS = PROJECT / "deploy" / "systemd"
NAMES = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSURE = 1.5  # of 10: what remains is mostly the network


@pytest.fixture
def installed(tmp_path):
    """A copy of the units, whose programs are where the tests' are."""
    shutil.copytree(UNITS, tmp_path / "units")
    for name in NAMES:
        path = tmp_path / "units" / name
        path.write_text(path.read_text().replace(f"/opt/{NAME}/.venv/bin", str(GUNICORN.parent)))
    return tmp_path / "units"


def analyze(*arguments):
    command = [first_on_path("systemd-analyze"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)  # noqa: S603 (our own command)


@pytest.mark.parametrize("name", NAMES)
def test_systemd_accepts_the_unit(installed, name):
    done = analyze("verify", "--man=no", str(installed / name))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_what_systemd_does_not_know_is_found(installed):
    unit = installed / NAMES[0]
    unit.write_text(unit.read_text() + "[Service]\nProtectEverything=yes\n")
    assert "ProtectEverything" in analyze("verify", "--man=no", str(unit)).stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_unit_exposes_little(installed, name):
    done = analyze("security", "--offline=true", f"--threshold={10 * MOST_EXPOSURE:.0f}", str(installed / name))
    assert done.returncode == 0, done.stdout
    assert float(re.search(r"exposure level for \S+ (\d+\.\d)", done.stdout)[1]) <= MOST_EXPOSURE


def test_the_variables_of_the_units_exist_and_none_is_a_secret():
    text = "".join(path.read_text() for path in UNITS.rglob("*.*") if path.is_file())
    set_here = set(re.findall(r"^Environment=(\w+)=", text, re.MULTILINE))
    assert {"DJANGO_SECRET_KEY_FILE", "DATABASE_URL_FILE", "CONSUL_HTTP_TOKEN_FILE"} <= set_here
    assert set_here <= {variable.name for variable in TABLE if not variable.secret} | {"PYTHONDONTWRITEBYTECODE"}


def test_gunicorn_tells_systemd_that_it_is_ready(environment, new_site, tmp_path):
    """Once it listens, and not before it has read the configuration."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(60)
        failing = new_site({**environment, "DEMO_CONFIG_KEY": "nothing", "NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert failing.failing_gunicorn().status != 0
        site = new_site({**environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}).gunicorn(wait=False)
        said = GUARD.check(notified.recv(4096).decode(), "what gunicorn tells systemd")
        assert said.startswith("READY=1\n")
        assert site.get("/livez").ok
        notified.setblocking(False)
        with pytest.raises(BlockingIOError):
            notified.recv(4096)

"""The image: the Dockerfile's steps are run without an engine, and what they make serves on a read-only file system."""

import json
import os
import re
import signal
import socket

import psutil
import pytest
import requests

from tests.support.binaries import PROJECT
from tests.support.dockerfile import USER, Stage, build, exec_form, instructions, stages
from tests.support.documents import MESSAGE
from tests.support.membership import NAME
from tests.support.ports import free_port
from tests.support.processes import ServerProcess
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

TEXT = (PROJECT / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image's file system, built step by step."""
    return build(tmp_path_factory.mktemp("image"))


class Container(ServerProcess):
    """The image's command as process 1 of its own, as the image's user, on a file system that is read-only."""

    def __init__(self, image, environment, binds):
        super().__init__("container")
        self.port = free_port()
        self._image = image
        self._options = {"read_only": True, "binds": binds}
        self._environment = {**environment, "GUNICORN_BIND": f"0.0.0.0:{self.port}"}

    def start(self):
        options = {**self._options, "environment": self._environment}
        self.launch(self._image.sandboxed(self._image.command, as_pid_1=True, **options), environment={})
        self.wait_ready(lambda: self.get("/livez").ok, ignoring=(requests.RequestException,))
        return self

    def run(self, command):
        """A command in another container of the same kind, to its end."""
        done = self._image.run(command, **self._options, environment=self._environment)
        GUARD.check(done.stdout + done.stderr, f"the output of {command}")
        return done

    def get(self, path):
        response = requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=10)
        GUARD.check(response.text, f"the answer to {path}")
        return response

    @property
    def master(self):
        """Its process 1, as this machine sees it."""
        return next(child for child in psutil.Process(self.pid).children() if "gunicorn" in " ".join(child.cmdline()))

    def log(self):
        return GUARD.check(super().log(), "the log of the container")


@pytest.fixture
def container(image, environment, tmp_path):
    secret = tmp_path / "django_secret_key"
    secret.write_text(GUARD.new("key of a container") + "\n")
    secret.chmod(0o444)
    variables = {
        "DJANGO_SECRET_KEY_FILE": str(secret),
        "DATABASE_URL": f"sqlite:////var/lib/{NAME}/db.sqlite3",
        "CONSUL_REGISTER": "true",
        "SERVICE_DRAIN_SECONDS": "1",
        "SERVICE_CHECK_INTERVAL": "1s",
        "WEB_CONCURRENCY": "2",
    }
    with Container(image, environment | variables, [secret]) as container:
        yield container


@pytest.mark.slow
def test_it_serves_registers_and_leaves_on_sigterm_to_process_1(container, consul, image):
    migrated = container.run(["python", "manage.py", "migrate", "--noinput"])
    assert migrated.returncode == 0, migrated.stderr
    container.start()
    assert container.get("/").text == f"{MESSAGE}! I have been seen 1 times.\n"
    assert container.get("/static/admin/css/base.css").ok
    assert container.get("/admin/login/").ok
    (entry,) = consul.wait_registered(NAME, passing=True)
    assert entry["Service"]["ID"] == f"{NAME}-{socket.gethostname()}-{container.port}"
    assert set(container.master.uids()) == {int(USER)} if os.geteuid() == 0 else {os.geteuid()}
    assert container.run(image.healthcheck).returncode == 0
    container.master.send_signal(signal.SIGTERM)
    wait_until(lambda: consul.catalog(NAME) == [], 5, "the entry to go")
    assert container.get("/").ok, "it drains"
    assert container.wait() == 0, container.log()
    assert container.run(image.healthcheck).returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/app/x", "/app/.local/x", "/usr/x", "/var/lib/x", "/x"])
def test_only_the_state_can_be_written(container, place):
    assert container.run(["sh", "-c", f"echo > {place}"]).returncode != 0
    own = f"/var/lib/{NAME}/x"
    assert container.run(["sh", "-c", f"echo > {own} && rm {own}"]).returncode == 0


@pytest.mark.slow
def test_no_secret_and_no_tool_of_the_build_is_in_it(image):
    files = [path for path in image.at("/app").rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files}
    assert not names & {"secret_key", "db.sqlite3", "document.json", "pip", ".env"}
    document = json.loads((PROJECT / "deploy/local/document.json").read_text())
    password = document["redis_config"]["redis_password"].encode()
    own = [path for path in files if "site-packages" not in path.parts]
    assert own
    assert [path for path in own if password in path.read_bytes() or b"of-this-step" in path.read_bytes()] == []
    assert not list(image.at("/app").glob(".venv/lib/*/site-packages/pip*"))


@pytest.mark.slow
def test_every_file_is_there_for_any_user(image):
    """An orchestrator may run it as another user; compiled code spares each start two seconds."""
    app = image.at("/app")
    assert [path for path in app.rglob("*") if not path.is_symlink() and not path.stat().st_mode & 0o004] == []
    assert list(app.glob("demo_site/__pycache__/settings.*.pyc"))


def test_it_is_a_user_without_rights_in_exec_form_on_a_python_that_is_tested():
    last = list(stages(TEXT).values())[-1]
    assert ("USER", f"{USER}:{USER}") in last
    for name, arguments in instructions(TEXT):
        if name in ("RUN", "CMD", "HEALTHCHECK"):
            assert exec_form(arguments), arguments
    (python,) = set(re.findall(r"^FROM python:(3\.\d+)-slim", TEXT, re.MULTILINE))
    assert f'"{python}"' in (PROJECT / ".github/workflows/ci.yml").read_text()
    assert "/livez" in dict(last)["HEALTHCHECK"]
    assert not {"ADD", "VOLUME", "ARG"} & {name for name, _ in instructions(TEXT)}


def test_a_step_that_fails_fails_the_build(tmp_path):
    with pytest.raises(AssertionError, match="RUN"):
        Stage(tmp_path / "stage", [("RUN", '["false"]')]).build(None, {})

"""The site, run as its users run it: gunicorn, runserver and one-shot commands, each a process of its own."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from tests.support.binaries import PROJECT
from tests.support.ports import free_port
from tests.support.processes import BOUND, ServerProcess, clean_environment, end_group
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

GUNICORN = Path(sys.executable).with_name("gunicorn")
TEXT = {"Accept": "text/plain"}
HTML = {"Accept": "text/html"}


@dataclass(frozen=True)
class CommandResult:
    """The result of a command: its exit status, its output, and how long it took."""

    status: int
    stdout: str
    stderr: str
    seconds: float


class Site(ServerProcess):
    """One instance of the site with a database, a secret key and an environment of its own."""

    def __init__(self, environment=None, *, project=PROJECT):
        super().__init__("site")
        self.project = project
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.environment = {
            **clean_environment(self.directory),
            "DATABASE_URL": f"sqlite:///{self.directory / 'db.sqlite3'}",
            "DJANGO_SECRET_KEY": GUARD.new("DJANGO_SECRET_KEY"),
            "SERVICE_DRAIN_SECONDS": "0",  # nothing sends it traffic that would have to go elsewhere
            **(environment or {}),
        }
        self._session = requests.Session()
        self._session.trust_env = False

    # Starting.

    def gunicorn(self, *arguments, workers=1, threads=None, wait=True, application=None):
        """Start `gunicorn demo_site.asgi`; the site's own gunicorn.conf.py counts, these arguments come on top."""
        if threads:
            arguments = ("--threads", str(threads), *arguments)
        return self._serve(self._gunicorn_command(workers, *arguments, application=application), wait)

    def _gunicorn_command(self, workers, *arguments, application=None):
        started = [str(GUNICORN), application or self._application]
        return [*started, "--bind", self.address, "--workers", str(workers), *arguments]

    @property
    def _application(self):
        """What an earlier version is started with, too."""
        return "demo_site.asgi" if (self.project / "demo_site" / "asgi.py").exists() else "demo_site.wsgi"

    def runserver(self, *arguments, wait=True):
        """Start `manage.py runserver`, with its reloader unless `--noreload` is given."""
        return self._serve([sys.executable, "manage.py", "runserver", self.address, *arguments], wait)

    def background(self, *command):
        """Start a `manage.py` command that runs until it is stopped."""
        return self._serve([sys.executable, "manage.py", *command], wait=False)

    def _serve(self, command, wait):
        self.launch(command, environment=self.environment, cwd=self.project)
        if wait:
            self.wait_ready(self.is_alive, ignoring=(requests.RequestException,))
        return self

    def is_alive(self):
        return self.get("/livez", timeout=5).ok

    def command(self, *arguments, bound=BOUND, stdin=subprocess.DEVNULL, **environment):
        """Run one `manage.py` command to its end; its output is checked for secrets."""
        return self._run([sys.executable, "manage.py", *arguments], bound, environment, stdin)

    def failing_gunicorn(self, *arguments, application=None, bound=BOUND):
        """Run a gunicorn that is expected to end by itself."""
        return self._run(self._gunicorn_command(2, *arguments, application=application), bound, {})

    def _run(self, command, bound, environment, stdin=subprocess.DEVNULL):
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 (our own command)
            command,
            cwd=self.project,
            env={**self.environment, **environment},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            stdout, stderr = process.communicate(timeout=bound)
        finally:
            end_group(process)
        GUARD.check(stdout + stderr, f"the output of {command[1:]}")
        return CommandResult(process.returncode, stdout, stderr, time.monotonic() - began)

    # Asking.

    def request(self, method, path, *, session=None, **options):
        """One request, redirects not followed; the answer is checked for secrets."""
        options = {"timeout": 30, "allow_redirects": False, **options}
        response = (session or self._session).request(method, self.url + path, **options)
        GUARD.check(f"{response.headers}\n{response.text}", f"the answer to {method} {path}")
        return response

    def get(self, path="/", **options):
        return self.request("GET", path, **options)

    def ready(self):
        """The JSON of `/readyz`, as an object."""
        return self.get("/readyz").json()

    # Its processes and what they wrote.

    def worker_pids(self):
        """The pids of the processes that gunicorn's master (or the reloader) started."""
        return [child.pid for child in psutil.Process(self.pid).children()]

    def log(self):
        return GUARD.check(super().log(), f"the log of {self.process.args if self.process else 'nothing'}")

    def wait_logged(self, text, bound=30):
        return wait_until(lambda: text in self.log(), bound, f"{text!r} in the log:\n{self.log()[-2000:]}")

    def close(self):
        self.log()
        self._session.close()
        super().close()

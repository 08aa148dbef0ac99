"""A checkout of the project on ports of its own, in which a test types `make run`."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import psutil
import requests

from tests.support.binaries import PROJECT, consul_binary, redis_binary
from tests.support.ports import free_port
from tests.support.processes import BOUND, ServerProcess, clean_environment
from tests.support.waiting import wait_until

LOCK = "requirements.lock"
FILES = ("Makefile", "deploy", "demo_site", "counter", "manage.py", "gunicorn.conf.py", "requirements.txt", LOCK)


class Checkout(ServerProcess):
    """`make run` in a copy of the project, with the environment that the tests run in as its `.venv`.

    The default ports are replaced in the copy, so that nothing which runs on the developer's machine is used.
    """

    def __init__(self, project=PROJECT):
        super().__init__("make-run")
        self.project = project
        self.root = self.directory / "checkout"
        self.root.mkdir()
        self.local = self.root / ".local"
        self.consul_port, self.redis_port, self.site_port = (free_port() for _ in range(3))
        self.environment = {
            **clean_environment(self.directory),
            "CONSUL_BIN": consul_binary(),
            "REDIS_SERVER_BIN": redis_binary(),
        }
        self._copy()
        self._lend_environment()

    def _copy(self):
        ignore = shutil.ignore_patterns("__pycache__")
        for name in FILES:
            source = self.project / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=ignore)
            else:
                shutil.copy(source, self.root / name)
        self.replace("deploy/local/consul_server.py", "DEFAULT_PORT = 8500", f"DEFAULT_PORT = {self.consul_port}")
        self.replace("deploy/local/run.py", "SITE_PORT = 8000", f"SITE_PORT = {self.site_port}")
        self.replace("deploy/local/document.json", "6379", str(self.redis_port))

    def replace(self, name, old, new):
        """Change one file of the copy."""
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (self.root / name).write_text(text.replace(old, new))

    def _lend_environment(self):
        lent, own = self.root / ".venv", Path(sys.prefix)
        lent.mkdir()
        shutil.copy(own / "pyvenv.cfg", lent)
        for name in ("bin", "lib"):
            (lent / name).symlink_to(own / name)
        digest = hashlib.sha256((self.root / LOCK).read_bytes()).hexdigest()
        (lent / "locks.json").write_text(json.dumps({LOCK: digest}))

    @property
    def command(self):
        return ["make", "run", f"PYTHON={sys.executable}"]

    def start(self, bound=BOUND):
        """Type `make run`, and wait for its four lines."""
        self.begin()
        self.wait_ready(lambda: "\n  Stop " in self.log(), bound=bound)
        return self

    def begin(self):
        """Type `make run` without waiting; the log is that of this run."""
        self.log_path.unlink(missing_ok=True)
        self.launch(self.command, environment=self.environment, cwd=self.root)
        return self

    def wait_log(self, text, bound=BOUND):
        wait_until(lambda: text in self.log(), bound=bound, message=f"{text!r} in:\n{self.log()}")

    def interrupt(self):
        """What Ctrl-C does: SIGINT to the group that make is in; returns when nothing of it runs any more."""
        return self.signal_group(signal.SIGINT)

    def signal_group(self, number):
        os.killpg(self.pid, number)
        return self.wait_gone()

    def wait_gone(self, bound=BOUND):
        self.wait(bound)
        wait_until(lambda: not self.processes(), bound=bound, message="the end of all processes")

    def processes(self):
        """Every process whose working directory is in this checkout, whatever its parent."""
        found = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.root) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def shown(self, name):
        """The content of the printed line with this name."""
        return re.search(rf"^  {name} +(.*)$", self.log(), re.MULTILINE)[1]

    @property
    def consul_url(self):
        return self.shown("Consul UI").removesuffix("/ui/")

    @property
    def dns_port(self):
        """Where its Consul answers DNS."""
        return requests.get(f"{self.consul_url}/v1/agent/self", timeout=10).json()["DebugConfig"]["DNSPort"]

    def close(self):
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):  # it may end meanwhile, after those before it
                process.kill()
        super().close()

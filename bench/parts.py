"""The parts of the benchmark: one Consul, one Redis, and the servers that are compared, each under gunicorn."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.redis import RedisServer

PROJECT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).with_name("peers")
PYTHON = Path(os.environ.get("BENCH_PYTHON") or sys.executable)
GUNICORN = PYTHON.with_name("gunicorn")
KEY = "demo-config"
NAMES = {
    "site": "this site",
    "flask": "Flask + redis-py",
    "bare": "bare WSGI + INCR",
    "ordinary": "ordinary Django, cache.incr",
    "empty": "empty Django project",
}
_APPLICATIONS = {
    "site": (PROJECT, "demo_site.wsgi"),
    "flask": (PEERS, "flask_peer:app"),
    "bare": (PEERS, "bare_peer:app"),
    "ordinary": (PEERS / "ordinary", "ordinary_wsgi"),
    "empty": (PEERS / "ordinary", "ordinary_wsgi"),
}


@dataclass
class Backends:
    """The Consul and the Redis that all servers use."""

    consul: ConsulServer
    redis: RedisServer

    def put(self, message: str = "bench", redis: RedisServer | None = None) -> None:
        """Put the document."""
        self.consul.put(KEY, json.dumps(document(redis or self.redis, message)))

    def environment(self, kind: str, directory: Path) -> dict[str, str]:
        """What a server of this kind is started with; nothing of the caller's environment."""
        common = {
            **clean_environment(directory),
            "BENCH_REDIS_PORT": str(self.redis.port),
            "BENCH_REDIS_PASSWORD": str(self.redis.password),
            "BENCH_CONSUL": self.consul.address,
            "DEMO_CONFIG_KEY": KEY,
        }
        if kind == "site":
            common |= {
                "CONSUL_HTTP_ADDR": self.consul.address,
                "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
                "DJANGO_SECRET_KEY": "bench" * 10,
            }
        if kind == "empty":
            common["DJANGO_SETTINGS_MODULE"] = "empty_settings"
        return common


class Server(ServerProcess):
    """One of the compared servers; the flags are gunicorn's."""

    def __init__(
        self, kind: str, backends: Backends, *flags: str, consul: str = "", database: Path | None = None
    ) -> None:
        self._prepare(kind, backends)
        if consul:
            self.environment["CONSUL_HTTP_ADDR"] = consul
        if database:
            self.environment["DATABASE_URL"] = f"sqlite:///{database}"
        folder, application = _APPLICATIONS[kind]
        command = [GUNICORN, application, "--bind", f"127.0.0.1:{self.port}", *flags]
        if kind != "site":
            command += ["--no-control-socket"]
        self.launch(command, environment=self.environment, cwd=folder)

    @classmethod
    def stopped(cls, kind: str, backends: Backends) -> "Server":
        """A server of this kind that is not started: its directory, port and environment."""
        server = cls.__new__(cls)
        server._prepare(kind, backends)
        return server

    def _prepare(self, kind: str, backends: Backends) -> None:
        super().__init__(kind)
        self.kind = kind
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.environment = backends.environment(kind, self.directory)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"  # the server may close a keep-alive one just when it is used

    def ready(self) -> "Server":
        """Wait until it answers."""
        self.wait_ready(lambda: self.get().ok, ignoring=(requests.RequestException,))
        return self

    def get(self, path: str = "") -> requests.Response:
        """One request."""
        return self._session.get(self.url + path, headers={"Accept": "text/plain"}, timeout=30)

    def log_in(self, username: str, password: str) -> None:
        """Log in to the admin; later requests carry the cookie."""
        page = self.url + "admin/login/"
        self._session.get(page, timeout=30)
        form = {"username": username, "password": password, "csrfmiddlewaretoken": self._session.cookies["csrftoken"]}
        answer = self._session.post(page, form, allow_redirects=False, timeout=30)
        if answer.status_code != 302:
            raise SystemExit(f"cannot log in: {answer.status_code}")

    def check(self) -> int:
        """Send one request; the number in the sentence. Fails unless the response is the expected one."""
        response = self.get()
        found = re.fullmatch(r"bench! I have been seen (\d+) times\.\n", response.text)
        if response.status_code != 200 or found is None:
            raise SystemExit(f"{self.kind} answers {response.status_code}: {response.text[:200]!r}")
        return int(found[1])


@contextlib.contextmanager
def backends() -> Iterator[Backends]:
    """A Consul and a Redis for this run, with the document stored."""
    with ConsulServer() as consul, RedisServer("bench-password") as redis:
        parts = Backends(consul, redis)
        parts.put()
        yield parts


@contextlib.contextmanager
def servers(
    parts: Backends, kinds: list[str], *flags: str, of_peers: tuple[str, ...] = ()
) -> Iterator[dict[str, Server]]:
    """Several servers with the same flags, all ready; `of_peers` are flags for all but the site."""
    with contextlib.ExitStack() as stack:
        started = {
            kind: stack.enter_context(Server(kind, parts, *flags, *(() if kind == "site" else of_peers)))
            for kind in kinds
        }
        yield {kind: server.ready() for kind, server in started.items()}

"""The parts of the benchmark: one Consul, one Redis, and the servers that are compared."""

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
KEY = "demo-config"
NAMES = {
    "site": "this site",
    "bare_loop": "bare ASGI + shared INCRBY",
    "bare_asgi": "the same, sent in a thread",
    "starlette": "Starlette + redis.asyncio",
    "fastapi": "FastAPI + redis.asyncio",
    "flask": "Flask + redis-py",
    "bare": "bare WSGI + INCR",
    "ordinary": "ordinary Django, cache.incr",
    "empty": "empty Django project",
}
_THREADS = ("--worker-class", "gthread", "--threads", "8", "--keep-alive", "5", "--no-control-socket")
_LOOP = ("--worker-class", "uvicorn_worker.UvicornWorker", "--no-control-socket")
# Each as it would be run: the folder, the program with the application, and its flags; `--workers` comes on top.
_STARTS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "site": (PROJECT, ("gunicorn", "demo_site.asgi")),
    "bare_loop": (PEERS, ("gunicorn", "bare_loop_peer:app", *_LOOP)),
    "bare_asgi": (PEERS, ("gunicorn", "bare_asgi_peer:app", *_LOOP)),
    "starlette": (PEERS, ("uvicorn", "starlette_peer:app", "--no-access-log")),
    "fastapi": (PEERS, ("uvicorn", "fastapi_peer:app", "--no-access-log")),
    "flask": (PEERS, ("gunicorn", "flask_peer:app", *_THREADS)),
    "bare": (PEERS, ("gunicorn", "bare_peer:app", *_THREADS)),
    "ordinary": (PEERS / "ordinary", ("gunicorn", "ordinary_wsgi", *_THREADS)),
    "empty": (PEERS / "ordinary", ("gunicorn", "ordinary_asgi", *_LOOP)),
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
                "SERVICE_DRAIN_SECONDS": "0",
            }
        if kind == "empty":
            common["DJANGO_SETTINGS_MODULE"] = "empty_settings"
        return common


class Server(ServerProcess):
    """One of the compared servers."""

    def __init__(
        self, kind: str, backends: Backends, workers: int, consul: str = "", database: Path | None = None
    ) -> None:
        self._prepare(kind, backends)
        if consul:
            self.environment["CONSUL_HTTP_ADDR"] = consul
        if database:
            self.environment["DATABASE_URL"] = f"sqlite:///{database}"
        folder, (program, *arguments) = _STARTS[kind]
        place = ["--port", str(self.port)] if program == "uvicorn" else ["--bind", f"127.0.0.1:{self.port}"]
        command = [PYTHON.with_name(program), *arguments, *place, "--workers", str(workers)]
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
def servers(parts: Backends, kinds: list[str], workers: int) -> Iterator[dict[str, Server]]:
    """Several servers with so many workers each, all ready."""
    with contextlib.ExitStack() as stack:
        started = {kind: stack.enter_context(Server(kind, parts, workers)) for kind in kinds}
        yield {kind: server.ready() for kind, server in started.items()}

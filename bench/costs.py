"""What the site costs besides its hot path: start-up, memory, idling, following a change, the admin's page."""

import re
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from bench.parts import KEY, PROJECT, PYTHON, Backends, Server, servers
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until

_FIRST_ANSWER = """
import asyncio
from {module} import application
scope = {{
    "type": "http", "method": "GET", "path": "/", "query_string": b"", "http_version": "1.1", "scheme": "http",
    "headers": [(b"host", b"127.0.0.1"), (b"accept", b"text/plain")], "server": ("127.0.0.1", 80),
}}
sent = []
body = [{{"type": "http.request"}}]

async def receive():
    return body.pop() if body else await asyncio.Event().wait()

async def send(message):
    sent.append(message)

asyncio.run(application(scope, receive, send))
assert sent[0]["status"] == 200, sent
"""


def start_up(parts: Backends, rounds: int) -> dict:
    """Seconds from starting Python to the first answer of `/`, for the site and for an empty project, in turn."""
    seconds: dict[str, list[float]] = {"site": [], "empty": []}
    for _ in range(rounds + 1):
        for kind, module, folder in (
            ("site", "demo_site.asgi", PROJECT),
            ("empty", "ordinary_asgi", PROJECT / "bench/peers/ordinary"),
        ):
            with Server.stopped(kind, parts) as place:
                began = time.monotonic()
                command = [str(PYTHON), "-c", _FIRST_ANSWER.format(module=module)]
                subprocess.run(command, cwd=folder, env=place.environment, check=True)  # noqa: S603 (our own command)
                seconds[kind].append(time.monotonic() - began)
    medians = {kind: statistics.median(times[1:]) for kind, times in seconds.items()}  # the first one writes .pyc files
    return {**{f"{kind}_s": value for kind, value in medians.items()}, "ratio": medians["site"] / medians["empty"]}


def memory(parts: Backends, workers: int = 2) -> dict:
    """MiB per worker after 200 requests, shared pages counted once (PSS of the whole tree over its workers)."""
    found = {}
    with servers(parts, ["site", "empty"], workers) as all_:
        for kind, server in all_.items():
            for _ in range(200):
                server.get()
            found[kind] = sum(process.memory_full_info().pss for process in _tree(server)) / workers / 2**20
    return {"site_mib": found["site"], "empty_mib": found["empty"], "ratio": found["site"] / found["empty"]}


def idle(parts: Backends, seconds: float, workers: int = 2) -> dict:
    """CPU share of an idle worker in percent, and its requests to Consul per hour, by purpose.

    Those that follow the key are few, so their rate is computed from the time between them, not from their number.
    """
    following: list[float] = []  # when each was seen
    with (
        Proxy(parts.consul.http_port) as proxy,
        Server("site", parts, workers, consul=proxy.address) as server,
    ):
        server.ready()
        time.sleep(3)  # the first requests belong to the start
        seen, before, began = len(proxy.seen), _cpu(server), time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            lines = re.findall(rb"(?:GET|PUT|POST|DELETE) (/v1/\S+) HTTP/1.1\r\n", bytes(proxy.seen[seen:]))
            asked = sum(re.match(rf"/v1/kv/{KEY}(\?|$)".encode(), line) is not None for line in lines)
            following += [now] * (asked - len(following))
            time.sleep(2)  # whoever looks more often takes caches from what it measures
        used = (_cpu(server) - before) / workers / (time.monotonic() - began) * 100
    between = statistics.mean(following[-workers:]) - statistics.mean(following[:workers])
    return {
        "cpu_percent": used,
        "following_per_hour": (len(following) / workers - 1) / between * 3600,
        "publishing_per_hour": (len(lines) - len(following)) / workers / seconds * 3600,
        "seconds": seconds,
    }


def propagation(parts: Backends, counts: list[int], changes: int) -> dict:
    """For each number of workers: milliseconds from sending the PUT until every worker has the new value in force.

    Also the CPU milliseconds per worker and change, publishing the new state included, minus what the same workers use
    while they idle. The moments come from the workers' own log lines, which have milliseconds.
    """
    results = {}
    for count in counts:
        with Server("site", parts, count) as server:
            server.ready()
            _wait_serving(server, count)
            _delay(parts, server, count, f"warm up {count}")
            time.sleep(2 + count / 16)
            idle = _cpu_while(server, lambda: time.sleep(10)) / 10
            delays: list[float] = []

            def change_all() -> None:
                for number in range(changes):
                    delays.append(_delay(parts, server, count, f"change {number} of {count}"))  # noqa: B023
                    time.sleep(1 + count / 64)  # noqa: B023 (publishing one change must not disturb the next)

            began = time.monotonic()
            used = _cpu_while(server, change_all) - idle * (time.monotonic() - began)
        delays.sort()
        results[str(count)] = {
            "p50_ms": statistics.median(delays),
            "max_ms": delays[-1],
            "cpu_ms": used / count / changes * 1000,
        }
    parts.put()
    return results


def swap(parts: Backends, changes: int) -> dict:
    """Milliseconds until one worker has a new value in force: another message only; another Redis, probed."""
    with RedisServer("bench-password") as other, Server("site", parts, 1) as server:
        server.ready()
        time.sleep(2)
        message = [_delay(parts, server, 1, f"message {number}") for number in range(changes)]
        redis = [_delay(parts, server, 1, "bench", (other, parts.redis)[number % 2]) for number in range(changes)]
    parts.put()
    return {"message_ms": statistics.median(message), "redis_ms": statistics.median(redis)}


def admin_page(parts: Backends, rounds: int) -> dict:
    """Milliseconds for the page of the effective configuration, Consul and Redis queried each time."""
    with Server.stopped("site", parts) as place:
        manage = [str(PYTHON), "manage.py"]
        account = {"DJANGO_SUPERUSER_USERNAME": "bench", "DJANGO_SUPERUSER_PASSWORD": "bench-password"}
        account["DJANGO_SUPERUSER_EMAIL"] = "bench@example.com"
        quiet = {"cwd": PROJECT, "env": place.environment | account, "check": True, "stdout": subprocess.DEVNULL}
        subprocess.run([*manage, "migrate"], **quiet)  # noqa: S603 (our own command)
        subprocess.run([*manage, "createsuperuser", "--noinput"], **quiet)  # noqa: S603 (our own command)
        with Server("site", parts, 1, database=place.directory / "db.sqlite3") as server:
            server.ready()
            server.log_in("bench", "bench-password")
            times = []
            for _ in range(rounds):
                began = time.monotonic()
                server.get("admin/effective-configuration/").raise_for_status()
                times.append((time.monotonic() - began) * 1000)
    return {"p50_ms": statistics.median(times)}


def _delay(parts: Backends, server: Server, workers: int, message: str, redis: RedisServer | None = None) -> float:
    seen = server.log_path.stat().st_size
    sent = time.time()
    parts.put(message, redis)
    moments: list[float] = []

    def everywhere() -> bool:
        with server.log_path.open() as log:
            log.seek(seen)
            moments[:] = [_moment(line) for line in log if "Put in force" in line]
        return len(moments) >= workers

    wait_until(everywhere, 60, f"{workers} workers with the new value")
    return (max(moments) - sent) * 1000


def _moment(line: str) -> float:
    """At the start of a line of the log: 2026-01-01 12:00:00.000+00:00."""
    return datetime.fromisoformat(line[:29]).timestamp()


def _wait_serving(server: Server, workers: int) -> None:
    """Until each worker has answered: one that begins after a change starts on the new value and says nothing of it."""
    serving: set[int] = set()

    def all_answered() -> bool:
        serving.add(server.get("readyz").json()["pid"])
        return len(serving) == workers

    wait_until(all_answered, 120, "all workers to answer")


def _workers(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def _tree(server: Server) -> list[psutil.Process]:
    return [psutil.Process(server.pid), *_workers(server)]


def _cpu_while(server: Server, work: Callable[[], object]) -> float:
    """CPU seconds that the workers use while `work` runs."""
    before = _cpu(server)
    work()
    return _cpu(server) - before


def _cpu(server: Server) -> float:
    """CPU seconds of the workers so far, by the scheduler's own clock: `times` has steps of 10 ms."""
    threads = [thread for process in _workers(server) for thread in Path(f"/proc/{process.pid}/task").iterdir()]
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9

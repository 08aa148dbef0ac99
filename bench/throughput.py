"""Requests per second and latencies of `GET /`, all servers side by side in interleaved rounds."""

import statistics
from dataclasses import dataclass

from bench import load
from bench.parts import PEERS, Backends, servers

GTHREAD = ("--worker-class", "gthread", "--workers", "2", "--threads", "8", "--keep-alive", "5")


@dataclass(frozen=True)
class Setting:
    """One row of servers with the same gunicorn flags under the same load."""

    name: str
    title: str
    kinds: tuple[str, ...]
    flags: tuple[str, ...]
    connections: int
    of_peers: tuple[str, ...] = ()  # flags for all but the site


ALL = ("site", "flask", "bare", "ordinary")
ONE_CPU = ("--config", str(PEERS / "one_cpu.py"))
SETTINGS = (
    Setting("gthread_64", "gthread, 2 workers x 8 threads, 64 connections", ALL, GTHREAD, 64),
    Setting("gthread_16", "gthread, 2 workers x 8 threads, 16 connections", ALL, GTHREAD, 16),
    Setting("single", "gthread, 2 workers x 8 threads, 1 connection", ALL, GTHREAD, 1),
    Setting("one_cpu", "the first again, peers too with one CPU for each worker", ALL, GTHREAD, 64, ONE_CPU),
    Setting("shipped", "plain `gunicorn -w 2`, 64 connections", ("site", "flask"), ("--workers", "2"), 64),
)


def measure(parts: Backends, setting: Setting, rounds: int, seconds: int) -> dict[str, dict]:
    """Each server `rounds` times for `seconds`, in turn. Medians, spread, and Redis commands per hit, by server."""
    results: dict[str, list[tuple[load.Load, float]]] = {kind: [] for kind in setting.kinds}
    with servers(parts, list(setting.kinds), *setting.flags, of_peers=setting.of_peers) as running:
        for server in running.values():
            load.run(server.url, setting.connections, 1)  # warm up
        for number in range(rounds):
            order = setting.kinds[number % len(setting.kinds) :] + setting.kinds[: number % len(setting.kinds)]
            for kind in order:
                results[kind].append(_round(parts, running[kind], setting.connections, seconds))
    return {kind: _summary(done) for kind, done in results.items()}


def _round(parts: Backends, server, connections: int, seconds: int) -> tuple[load.Load, float]:
    """One round, checked: the responses are the expected ones, none failed, and Redis counted each of them once."""
    with parts.redis.client() as redis:
        first, commands = server.check(), _commands(redis)
        result = load.run(server.url, connections, seconds)
        used = _commands(redis) - commands
        hits = server.check() - first - 1
    # wrk ends with requests in flight: Redis has counted them, wrk has not.
    if result.failed or not result.requests <= hits <= result.requests + 2 * connections:
        raise SystemExit(f"{server.kind}: {result.failed} failed; {result.requests} answers, {hits} hits")
    return result, used / hits


def _commands(redis) -> int:
    stats = redis.info("commandstats")
    names = ("incr", "incrby", "eval", "evalsha", "get", "set", "exists")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


def _summary(done: list[tuple[load.Load, float]]) -> dict:
    rates = sorted(result.rate for result, _ in done)
    return {
        "rate": statistics.median(rates),
        "rate_low": rates[0],
        "rate_high": rates[-1],
        "p50_us": statistics.median(result.p50 for result, _ in done),
        "p99_us": statistics.median(result.p99 for result, _ in done),
        "commands_per_hit": statistics.median(commands for _, commands in done),
    }

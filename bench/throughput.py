"""Requests per second and latencies of `GET /`, all servers side by side in interleaved rounds."""

import statistics
from dataclasses import dataclass

from bench import load
from bench.parts import Backends, servers

WORKERS = 2


@dataclass(frozen=True)
class Setting:
    """Some servers under the same load."""

    name: str
    title: str
    kinds: tuple[str, ...]
    connections: int


ALL = ("site", "bare_loop", "bare_asgi", "starlette", "fastapi", "flask", "bare", "ordinary")
FEW = ("site", "bare_loop", "bare_asgi", "starlette", "flask")
SETTINGS = (
    Setting("connections_64", "64 connections", ALL, 64),
    Setting("connections_1", "1 connection", FEW, 1),
    # Without the peers on redis.asyncio: that many connections get 500s from them.
    Setting("connections_512", "512 connections", ("site", "bare_loop", "bare_asgi", "flask"), 512),
)


def measure(parts: Backends, setting: Setting, rounds: int, seconds: int) -> dict[str, dict]:
    """Each server `rounds` times for `seconds`, in turn. Medians, spread, and Redis commands per hit, by server."""
    results: dict[str, list[tuple[load.Load, float]]] = {kind: [] for kind in setting.kinds}
    with servers(parts, list(setting.kinds), WORKERS) as running:
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

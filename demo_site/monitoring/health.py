"""What machines ask: `/livez` whether the process lives, `/readyz` whether it gets traffic, `/metrics` how it fares."""

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from .. import metrics
from ..answer import Answer, Ask, uncached
from ..config.live import InForce, Live
from ..config.revision import timestamp
from ..instance import leaving, transitions

_DEADLINE = 0.9  # seconds; more than an exchange with Redis may take
_TEXT = b"text/plain; charset=utf-8"


async def livez(ask: Ask) -> Answer:
    """200 while the process can answer; asks neither Redis nor Consul."""
    return uncached("ok\n", _TEXT)


async def readyz(ask: Ask) -> Answer:
    """200 or 503 with the worker's state as JSON, for anybody: no secret, no address, no other program's words.

    An instance that has been told to end says "leaving": it serves, and whoever sends it traffic should stop.
    """
    live: Live = settings.CONFIGURATION
    in_force = live.in_force
    error = await _redis_error(in_force)
    redis = {"ok": error is None, "error": error and _in_own_words(error)}
    status = "leaving" if leaving.is_leaving() else "ready" if redis["ok"] else "not ready"
    body = {
        "status": status,
        "pid": os.getpid(),
        "redis": redis,
        "config": config_state(live, in_force),
    }
    return uncached(json.dumps(body), b"application/json", 200 if status == "ready" else 503)


async def prometheus(ask: Ask) -> Answer:
    """The metrics of the whole instance, whichever worker answers."""
    return uncached(metrics.exposition(), b"text/plain; version=0.0.4; charset=utf-8")


# One thread, whoever asks: those who ask meanwhile get the same reply. It starts with the first question.
_thread = ThreadPoolExecutor(1, "readiness")
_under_way: tuple[InForce, asyncio.Future[Exception | None]] | None = None


async def _redis_error(in_force: InForce) -> Exception | None:
    """`redis_error` for an event loop, within a second."""
    global _under_way
    if _under_way is None or _under_way[0] is not in_force or _under_way[1].done():
        _under_way = in_force, asyncio.get_running_loop().run_in_executor(_thread, redis_error, in_force)
    try:
        return await asyncio.wait_for(asyncio.shield(_under_way[1]), _DEADLINE)
    except TimeoutError as error:
        return error


def redis_error(in_force: InForce) -> Exception | None:
    """Why Redis cannot count, which the connection's time-outs bound. None: it can."""
    from ..redis_cache import probe  # redis-py takes 0.15 s to import

    error = probe.error_of(in_force.client)
    transitions.seen("Redis", "bad" if error else "good")
    return error


def _in_own_words(error: BaseException) -> str:
    from ..redis_cache.diagnosis import diagnose

    return f"it {diagnose(error).what}"


def config_state(live: Live, in_force: InForce) -> dict[str, Any]:
    """The state of the configuration in force, as `/readyz` shows it: the admin and the log have the texts in full."""
    status, loaded_at = live.status, in_force.revision.loaded_at
    rejected = status.rejected
    return {
        "state": status.state,
        "index": in_force.revision.index,
        "loaded_at": timestamp(loaded_at),
        "age_seconds": round((datetime.now(UTC) - loaded_at).total_seconds(), 3),
        "reason": status.explanation and status.explanation.outline(),
        "rejected": rejected and {"index": rejected.index, "faults": [fault.outline() for fault in rejected.faults]},
    }

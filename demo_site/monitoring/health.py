"""What machines ask: `/livez` whether the process lives, `/readyz` whether it gets traffic, `/metrics` how it fares."""

import os
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from .. import metrics
from ..config.live import InForce, Live
from ..config.revision import timestamp
from ..instance import transitions


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 while the process can answer; asks neither Redis nor Consul."""
    return _uncached(HttpResponse("ok\n", content_type="text/plain; charset=utf-8"))


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 or 503 with the worker's state as JSON; holds no secret."""
    live: Live = settings.CONFIGURATION
    in_force = live.in_force
    redis = redis_state(in_force)
    body = {
        "status": "ready" if redis["ok"] else "not ready",
        "pid": os.getpid(),
        "redis": redis,
        "config": config_state(live, in_force),
    }
    return _uncached(JsonResponse(body, status=200 if redis["ok"] else 503))


@require_safe
def prometheus(request: HttpRequest) -> HttpResponse:
    """The metrics of the whole instance, whichever worker answers."""
    return _uncached(HttpResponse(metrics.exposition(), content_type="text/plain; version=0.0.4; charset=utf-8"))


def redis_state(in_force: InForce) -> dict[str, Any]:
    """`{"ok": bool, "error": None or why}`, from a PING bounded by the connection's time-outs."""
    try:
        in_force.redis.ping()
    except RedisError as error:
        transitions.seen("Redis", "bad")
        return {"ok": False, "error": str(error) or type(error).__name__}
    transitions.seen("Redis", "good")
    return {"ok": True, "error": None}


def config_state(live: Live, in_force: InForce) -> dict[str, Any]:
    """The state of the configuration in force, as `/readyz` shows it."""
    status, loaded_at = live.status, in_force.revision.loaded_at
    rejected = status.rejected
    return {
        "state": status.state,
        "index": in_force.revision.index,
        "loaded_at": timestamp(loaded_at),
        "age_seconds": round((datetime.now(UTC) - loaded_at).total_seconds(), 3),
        "reason": status.explanation,
        "rejected": rejected and {"index": rejected.index, "faults": list(rejected.faults)},
    }


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Content-Length"] = len(response.content)
    response["Cache-Control"] = "no-store"
    return response

"""All metrics of the site. The settings import this module, so they are created before any worker is forked.

Names and units follow https://prometheus.io/docs/practices/naming/; docs/operations.md says what to watch.
"""

import platform
import time
from typing import Any

import django

from .. import __version__
from ..identity import METRICS_PREFIX as PREFIX
from . import pulse
from .families import Counter, Family, Gauge, Histogram, Info, States, text

FAILURE_KINDS = ("timeout", "unreachable", "connection_lost", "error_reply", "breaker_open", "internal")


def _age(moments: list[float]) -> float | None:
    """The seconds since the earliest of these Unix times; 0 stands for never."""
    known = [moment for moment in moments if moment]
    return max(0.0, time.time() - min(known)) if known else None


def _lowest(values: list[float]) -> float | None:
    return min((value for value in values if value), default=None)


def _any_registered(values: list[float]) -> float | None:
    """One of the workers keeps the registration for all of them: 1 while it is kept, -1 in any other case."""
    return float(max(values) > 0) if any(values) else None


def _one_less(values: list[float]) -> float | None:
    """Of a number that one of the workers sets one higher, because 0 stands for not known."""
    return max(values) - 1 if any(values) else None


HITS = Counter("counter_hits_total", "Page views counted in Redis and shown to a visitor.")
FAILURES = Counter(
    "counter_failures_total", "Page views not counted: answered 503, or 500 when internal.", "kind", FAILURE_KINDS
)
DURATION = Histogram(
    "counter_request_duration_seconds",
    "Time from the request to its answer, by what was asked.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    "handler",
    ("page", "health", "admin", "other"),
)
INDEX = Gauge(f"{PREFIX}_config_index", "ModifyIndex in force; of several workers the lowest.", _lowest)
LOADED_AT = Gauge(
    f"{PREFIX}_config_age_seconds", "Age of the configuration in force; of several workers the oldest.", _age
)
STATE = States(
    f"{PREFIX}_config_state",
    "Workers whose configuration is in this state.",
    "state",
    {"current": "stale", "rejected": "stale", "stale": "stale", "snapshot": "snapshot", "file": "file"},
)
REJECTED = Counter(f"{PREFIX}_config_rejected_total", "Documents that did not take effect, counted by each worker.")
WATCH_ERRORS = Counter(
    f"{PREFIX}_config_watch_errors_total", "Failed attempts to follow the key, counted by each worker."
)
CONTACT_AT = Gauge(
    f"{PREFIX}_config_consul_contact_age_seconds",
    "Time since Consul last answered a worker; of several workers the longest. A quiet key is asked for every 4 s.",
    _age,
)
REGISTERED = Gauge(
    f"{PREFIX}_registration_ok",
    "1 while agent and catalog hold the registration as it should be, 0 if not or not known; absent if none is kept.",
    _any_registered,
)
REGISTRATIONS = Counter(f"{PREFIX}_registration_writes_total", "Registrations written: the first, and each repair.")
REGISTRATION_ERRORS = Counter(f"{PREFIX}_registration_errors_total", "Failed attempts to keep the registration.")
OTHER_NODES = Gauge(
    f"{PREFIX}_registration_other_nodes",
    "Other nodes that have an entry with this instance's id; absent while that is not known.",
    _one_less,
)
POOL_CONNECTIONS = Gauge(f"{PREFIX}_redis_pool_connections", "Open connections to Redis, over all workers.")
BUILD = Info(
    f"{PREFIX}_build_info",
    "1, with the versions that run.",
    version=__version__,
    python=platform.python_version(),
    django=django.get_version(),
)

_UNAVAILABLE = [kind for kind in FAILURE_KINDS if kind != "internal"]  # answered 503

_FAMILIES: tuple[Family, ...] = (
    *(HITS, FAILURES, DURATION, INDEX, LOADED_AT, STATE, REJECTED, WATCH_ERRORS, CONTACT_AT),
    *(REGISTERED, REGISTRATIONS, REGISTRATION_ERRORS, OTHER_NODES, POOL_CONNECTIONS, BUILD),
)
# For one version beside the new ones, so that dashboards and alerts can follow.
_FORMER_NAMES: dict[str, Family] = {
    f"{PREFIX}_config_registered": REGISTERED,
    f"{PREFIX}_config_registrations_total": REGISTRATIONS,
    f"{PREFIX}_config_registration_errors_total": REGISTRATION_ERRORS,
    f"{PREFIX}_config_redis_pool_connections": POOL_CONNECTIONS,
}


def publish(live: Any) -> None:
    """Set the metrics of this process's configuration, after it may have changed."""
    revision, status = live.in_force.revision, live.status
    INDEX.set(revision.index or 0)
    LOADED_AT.set(revision.loaded_at.timestamp())
    STATE.set(status.state, live.proven_until)


def take_pulse() -> None:
    """Take a sample for the pulse, if it is due and no other process of the instance has taken it."""
    if pulse.is_due():
        pulse.record(HITS.total(), FAILURES.total(_UNAVAILABLE))


def exposition() -> str:
    former = (text(family, name) for name, family in _FORMER_NAMES.items())
    return "".join([*map(text, _FAMILIES), *former])

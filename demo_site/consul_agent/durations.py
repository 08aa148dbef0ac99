"""Durations in Go's format, which Consul uses: 10s, 500ms, 1m30s; and pauses of a random length."""

import random
import re

from ..messages import _

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)"
_RANDOM = random.SystemRandom()


def seconds(duration: str) -> float:
    """The duration in seconds. Raises ValueError."""
    if not re.fullmatch(f"({_PART})+", duration):
        raise ValueError(_("%(text)s is not a duration; write it like 10s, 500ms or 1m30s", text=repr(duration)))
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, duration))


def jittered(least: float, most: float) -> float:
    """Seconds between these two, so that processes which failed together do not all ask again together."""
    return _RANDOM.uniform(least, most)

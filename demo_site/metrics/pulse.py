"""Two totals every few seconds of the last minutes, in memory that an instance's processes share.

Whichever process comes first takes a sample, so a replaced worker leaves no gap, and all show the same. While no
process runs there is no sample: that is a gap, not a time without visitors.
"""

import time
from datetime import UTC, datetime
from typing import NamedTuple

from ..instance.memory import SharedMemory

SECONDS = 5  # from sample to sample
WINDOW = 300  # seconds that are shown

_SAMPLES = WINDOW // SECONDS + 4  # the oldest is not shown any more when it is overwritten
_WIDTH = 3  # numbers of a sample
_memory = SharedMemory(_SAMPLES * _WIDTH * 8)
_numbers = memoryview(_memory.data).cast("d")
# The processes share the monotonic clock, which nobody sets. It is made to start at the time of day: then samples are
# taken at whole minutes, too.
_OFFSET = time.time() - time.monotonic()


class Sample(NamedTuple):
    """The totals since the instance started: views that were counted, and those that were answered 503."""

    moment: float  # by `clock`
    views: float
    failed: float


def clock() -> float:
    return time.monotonic() + _OFFSET


def time_of_day(moment: float) -> datetime:
    """What a watch showed at this moment, also where the system's clock was set meanwhile."""
    return datetime.fromtimestamp(moment + round(time.time() - clock()), UTC)


def seconds_until_due() -> float:
    return SECONDS - clock() % SECONDS


def is_due() -> bool:
    now = clock()
    return _numbers[_place(now)] // SECONDS != now // SECONDS


def record(views: float, failed: float) -> None:
    now = clock()
    place = _place(now)
    _numbers[place + 1], _numbers[place + 2] = views, failed
    _numbers[place] = now  # last: until then it is an old sample, which nobody looks at


def samples() -> list[Sample]:
    """Those of the last minutes, oldest first."""
    found = (Sample(*_numbers[place : place + _WIDTH]) for place in range(0, len(_numbers), _WIDTH))
    return sorted(sample for sample in found if sample.moment > clock() - WINDOW - SECONDS)


def _place(moment: float) -> int:
    return int(moment // SECONDS) % _SAMPLES * _WIDTH

"""The pulse of the instance that answers: views a second and 503s of five minutes, as a picture and in rows."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import floor, log10
from typing import Any, NamedTuple

from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ..config.live import Live
from ..metrics.pulse import SECONDS, WINDOW, Sample, clock, samples, time_of_day
from ..registration.definition import known_instance_id

WIDTH, HEIGHT = WINDOW, 60  # of the picture: a unit is a second
_ROW_SECONDS = 30
_LONGEST = 2.5 * SECONDS  # between two samples: a busy machine may miss one


class Interval(NamedTuple):
    """What happened between two samples."""

    began: float
    ended: float
    views: float
    failed: float

    @property
    def rate(self) -> float:
        return self.views / (self.ended - self.began)


class Row(NamedTuple):
    """`rate` is None where it is not known."""

    began: str
    rate: str | None
    failed: int


def shown(live: Live) -> dict[str, Any]:
    """For the template."""
    return {"instance": known_instance_id(live.start.environment)} | drawn(samples(), clock())


def drawn(found: list[Sample], now: float) -> dict[str, Any]:
    """The picture ends at the last whole interval, so it is the same whichever worker draws it."""
    end = now // SECONDS * SECONDS
    known = [*_intervals(found)]
    if not known:
        return {}
    seconds = round(sum(each.ended - each.began for each in known))
    top = _rounded_up(max(each.rate for each in known))
    return {
        "rows": [*_rows(known, end)],
        "rate": _number(sum(each.views for each in known) / seconds),
        "failed": round(found[-1].failed - found[0].failed),
        "seconds": seconds,
        "is_whole": seconds > WINDOW - _LONGEST,
        "top": _number(top),
        "picture": _picture(known, top, end),
    }


def _intervals(found: Iterable[Sample]) -> Iterator[Interval]:
    for before, after in pairwise(found):
        if after.moment - before.moment < _LONGEST:
            yield Interval(before.moment, after.moment, after.views - before.views, after.failed - before.failed)


def _rows(known: list[Interval], end: float) -> Iterator[Row]:
    """Newest first, back to the first sample: before that there was no instance."""
    ended = end // _ROW_SECONDS * _ROW_SECONDS
    while ended > max(known[0].began, end - WINDOW):
        yield _row(known, ended)
        ended -= _ROW_SECONDS


def _row(known: list[Interval], ended: float) -> Row:
    """Of the half minute before `ended`, as far as it was measured without a gap."""
    inside = [each for each in known if ended - _ROW_SECONDS < each.ended - SECONDS / 2 < ended]
    seconds = sum(each.ended - each.began for each in inside)
    is_known = seconds > _ROW_SECONDS - 1.5 * SECONDS  # the last sample may be about to be taken
    rate = _number(sum(each.views for each in inside) / seconds) if is_known else None
    return Row(
        f"{time_of_day(ended - _ROW_SECONDS):%H:%M:%S}",
        rate,
        round(sum(each.failed for each in inside)),
    )


def _picture(known: list[Interval], top: float, end: float) -> SafeString:
    """Shapes of an SVG without a style: the classes have the colours, for light and dark."""

    def across(moment: float) -> float:
        return round(max(WIDTH - (end - moment), 0), 1)

    def step(each: Interval) -> str:
        y = round(HEIGHT - each.rate / top * (HEIGHT - 2), 1)
        return f"{across(each.began)} {y}H{across(each.ended)}"

    lines, previous = [], 0.0
    for each in known:
        lines.append(f"{'L' if each.began == previous else 'M'}{step(each)}")
        previous = each.ended
    areas = [f"M{across(each.began)} {HEIGHT}L{step(each)}V{HEIGHT}Z" for each in known]
    failed = [
        f"M{across(each.began)} 0H{across(each.ended)}V{HEIGHT}H{across(each.began)}Z" for each in known if each.failed
    ]
    shapes = (("failed", failed), ("views", areas), ("line", lines))
    return format_html_join(
        "", '<path class="{}" d="{}"/>', ((name, "".join(parts)) for name, parts in shapes if parts)
    )


def _rounded_up(rate: float) -> float:
    """The top of the scale: 1, 2, 5, 10, 20, ..., so that it seldom changes."""
    unit = 10.0 ** floor(log10(max(rate, 1.0)))
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= rate)


def _number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 or rate == round(rate) else f"{rate:.1f}"

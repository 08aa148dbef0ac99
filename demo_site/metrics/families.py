"""Metric families over shared numbers, and their text. https://prometheus.io/docs/instrumenting/exposition_formats/"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from . import cells

Samples = Iterable[tuple[str, str, float]]


def text(name: str, kind: str, explanation: str, samples: Samples) -> str:
    """One family. A sample is (suffix of its name, labels as they stand between the braces, value)."""
    lines = [f"# HELP {name} {explanation}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        lines.append(f"{name}{suffix}{{{labels}}} {value!r}" if labels else f"{name}{suffix} {value!r}")
    return "\n".join(lines) + "\n"


class Counter:
    """Counts up, summed over all processes. With `label`, one number for each of its `values`."""

    kind = "counter"

    def __init__(self, name: str, explanation: str, label: str = "", values: Sequence[str] = ("",)) -> None:
        self.name, self.explanation, self._label = name, explanation, label
        self._cells = {value: cells.allocate() for value in values}

    def inc(self, value: str = "") -> None:
        """Count one."""
        cells.add(self._cells[value])

    def samples(self) -> Iterator[tuple[str, str, float]]:
        for value, cell in self._cells.items():
            yield "", f'{self._label}="{value}"' if self._label else "", cells.total(cell)


class Histogram:
    """Seconds by label, in buckets of these upper bounds, summed over all processes."""

    kind = "histogram"

    def __init__(self, name: str, explanation: str, bounds: Sequence[float], label: str, values: Sequence[str]) -> None:
        self.name, self.explanation, self._label, self._bounds = name, explanation, label, tuple(bounds)
        self._sum = len(bounds) + 1  # after the last bucket, which has no upper bound
        self._cells = {value: cells.allocate(self._sum + 1) for value in values}

    def observe(self, seconds: float, value: str) -> None:
        """Count one that took so long."""
        first = self._cells[value]
        cells.add_pair(first + bisect_left(self._bounds, seconds), first + self._sum, seconds)

    def samples(self) -> Iterator[tuple[str, str, float]]:
        for value, first in self._cells.items():
            count = 0.0
            for position, bound in enumerate([*map(repr, self._bounds), "+Inf"]):
                count += cells.total(first + position)
                yield "_bucket", f'{self._label}="{value}",le="{bound}"', count
            yield "_sum", f'{self._label}="{value}"', cells.total(first + self._sum)
            yield "_count", f'{self._label}="{value}"', count


class Gauge:
    """A number that each process sets for itself; `combine` makes one of those of the processes that live.

    `None` from `combine` leaves the family without a sample: nothing is known.
    """

    kind = "gauge"

    def __init__(self, name: str, explanation: str, combine: Callable[[list[float]], float | None] = sum) -> None:
        self.name, self.explanation, self._combine = name, explanation, combine
        self._cell = cells.allocate(survives=False)

    def set(self, value: float) -> None:
        """Set this process's number."""
        cells.put(self._cell, value)

    def add(self, amount: float) -> None:
        """Add to this process's number."""
        cells.add(self._cell, amount)

    def samples(self) -> Iterator[tuple[str, str, float]]:
        value = self._combine(cells.of_living(self._cell))
        if value is not None:
            yield "", "", value

"""Metric families over shared numbers, and their text. https://prometheus.io/docs/instrumenting/exposition_formats/"""

import collections
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence

from . import cells

Values = Sequence[str]  # of a label
Combine = Callable[[list[float]], float | None]  # of the numbers of all processes
Samples = Iterator[tuple[str, str, float]]  # suffix of the name, text between the braces, value


class Counter:
    """Counts up, summed over all processes. With `label`, one number for each of its `values`."""

    kind = "counter"

    def __init__(self, name: str, doc: str, label: str = "", values: Values = ("",)) -> None:
        self.name, self.doc, self._label = name, doc, label
        self._cells = {value: cells.allocate() for value in values}

    def inc(self, value: str = "") -> None:
        cells.add(self._cells[value])

    def total(self, values: Values = ("",)) -> float:
        """The sum of what was counted for these values."""
        return sum(cells.total(self._cells[value]) for value in values)

    def samples(self) -> Samples:
        for value, cell in self._cells.items():
            yield "", f'{self._label}="{value}"' if self._label else "", cells.total(cell)


class Histogram:
    """Durations by label, in buckets with these upper bounds in seconds, summed over all processes."""

    kind = "histogram"

    def __init__(self, name: str, doc: str, bounds: Sequence[float], label: str, values: Values) -> None:
        self.name, self.doc, self._label, self._bounds = name, doc, label, tuple(bounds)
        self._sum = len(bounds) + 1  # after the last bucket, which has no upper bound
        self._cells = {value: cells.allocate(self._sum + 1) for value in values}

    def observe(self, seconds: float, value: str) -> None:
        """Count one duration."""
        first = self._cells[value]
        cells.add_pair(first + bisect_left(self._bounds, seconds), first + self._sum, seconds)

    def samples(self) -> Samples:
        for value, first in self._cells.items():
            count = 0.0
            for position, bound in enumerate([*map(repr, self._bounds), "+Inf"]):
                count += cells.total(first + position)
                yield "_bucket", f'{self._label}="{value}",le="{bound}"', count
            yield "_sum", f'{self._label}="{value}"', cells.total(first + self._sum)
            yield "_count", f'{self._label}="{value}"', count


class Gauge:
    """A number that each process sets for itself. With `label`, one number for each of its `values`.

    `combine` aggregates the numbers of the living processes; `None` means unknown, and there is no sample.
    """

    kind = "gauge"

    def __init__(self, name: str, doc: str, combine: Combine = sum, label: str = "", values: Values = ("",)) -> None:
        self.name, self.doc, self._label, self._combine = name, doc, label, combine
        self._cells = {value: cells.allocate(survives=False) for value in values}

    def set(self, number: float, value: str = "") -> None:
        cells.put(self._cells[value], number)

    def add(self, amount: float) -> None:
        cells.add(self._cells[""], amount)

    def samples(self) -> Samples:
        for value, cell in self._cells.items():
            number = self._combine(cells.of_living(cell))
            if number is not None:
                yield "", f'{self._label}="{value}"' if self._label else "", number


class States:
    """How many of the living processes are in each state.

    A state holds until a moment of the monotonic clock, which the processes share; then it is the one that `outlived`
    names, whether or not its process can still say so.
    """

    kind = "gauge"

    def __init__(self, name: str, doc: str, label: str, outlived: Mapping[str, str]) -> None:
        self.name, self.doc, self._label, self._outlived = name, doc, label, outlived
        self._cells = {state: cells.allocate(survives=False) for state in outlived}

    def set(self, current: str, proven_until: float) -> None:
        for state, cell in self._cells.items():
            cells.put(cell, proven_until if state == current else 0.0)

    def samples(self) -> Samples:
        now, counts = time.monotonic(), collections.Counter[str]()
        for state, cell in self._cells.items():
            counts.update(state if until >= now else self._outlived[state] for until in cells.of_living(cell) if until)
        for state in self._cells:
            yield "", f'{self._label}="{state}"', float(counts[state])


class Info:
    """What the processes are, in labels."""

    kind = "gauge"

    def __init__(self, name: str, doc: str, **labels: str) -> None:
        self.name, self.doc, self._labels = name, doc, labels

    def samples(self) -> Samples:
        yield "", ",".join(f'{label}="{value}"' for label, value in self._labels.items()), 1.0


Family = Counter | Histogram | Gauge | States | Info


def text(family: Family, name: str = "") -> str:
    """The family in Prometheus's text format, under its own name or another one."""
    name = name or family.name
    lines = [f"# HELP {name} {family.doc}", f"# TYPE {name} {family.kind}"]
    for suffix, labels, value in family.samples():
        lines.append(f"{name}{suffix}{{{labels}}} {value!r}" if labels else f"{name}{suffix} {value!r}")
    return "\n".join(lines) + "\n"

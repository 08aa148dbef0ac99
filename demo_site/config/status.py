"""The state of the configuration in this process, as it is told everywhere."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..consul_agent.kv import Entry
from .revision import Loaded

_MOST_FAULTS = 5  # of one document, in a sentence


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Rejected:
    """A newer document that did not take effect: its index and why. `transient`: its Redis may yet answer."""

    index: int
    faults: tuple[str, ...]
    transient: bool
    raw: bytes = field(repr=False)

    @property
    def reason(self) -> str:
        """Why, in a sentence; all the faults are in `faults`."""
        more = len(self.faults) - _MOST_FAULTS
        shown = "; ".join(self.faults[:_MOST_FAULTS]) + (f"; and {more} more" if more > 0 else "")
        return f"the document at index {self.index} was rejected: {shown}"

    def is_of(self, entry: Entry) -> bool:
        """Whether `entry` is the very document that was rejected."""
        return (self.index, self.raw) == (entry.modify_index, entry.value)


@dataclass(frozen=True)
class Status:
    """`state` is one of current, rejected, stale, snapshot, file; `reason` says why it is not current."""

    state: str
    reason: str | None = None
    rejected: Rejected | None = None
    since: datetime = field(default_factory=now)

    @property
    def explanation(self) -> str | None:
        """`reason`, and for a stale configuration since when; `None` when there is nothing to explain."""
        is_stale = self.state == "stale"
        return f"since {self.since:%Y-%m-%d %H:%M:%S} UTC: {self.reason}" if is_stale else self.reason

    def __str__(self) -> str:
        return f"{self.state}: {self.explanation}" if self.explanation else self.state


def running_on(value: Loaded) -> str:
    """The reason of the state "snapshot"."""
    return f"running on a snapshot of {value.loaded_at:%Y-%m-%d %H:%M:%S} UTC"

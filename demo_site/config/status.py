"""The state of the configuration in this process, and its transitions."""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from ..consul_agent.kv import Entry
from ..document.parsing import Fault
from ..messages import Message, _, joined
from .revision import Revision

CURRENT, REJECTED, STALE = _("current"), _("rejected"), _("stale")
SNAPSHOT, FILE = _("snapshot"), _("file")
_MOST_FAULTS = 5  # of one document, in a sentence
_MOST_KINDS = 8  # of reasons that are logged while a state lasts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rejected:
    """A newer document that did not take effect: its index and why. `transient`: it may yet do so unchanged."""

    index: int
    faults: tuple[Message, ...]
    transient: bool
    raw: bytes = field(repr=False)

    @classmethod
    def of(cls, entry: Entry, faults: list[Fault], transient: bool) -> "Rejected":
        """The rejection of what Consul holds in `entry`."""
        return cls(entry.modify_index, tuple(fault.message for fault in faults), transient, entry.value)

    @property
    def reason(self) -> Message:
        """Why, in a sentence; all the faults are in `faults`."""
        faults = joined(self.faults, most=_MOST_FAULTS)
        return _("version %(index)s was rejected: %(faults)s", index=self.index, faults=faults)

    @property
    def status(self) -> "Status":
        """The status that a rejection makes."""
        return Status(REJECTED, self.reason, self)

    def is_of(self, entry: Entry) -> bool:
        return (self.index, self.raw) == (entry.modify_index, entry.value)


@dataclass(frozen=True)
class Status:
    """`state` is one of the five above; `reason` says why it is not current."""

    state: str
    reason: Message | None = None
    rejected: Rejected | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    logged: frozenset[Message] = field(default=frozenset(), repr=False)  # kinds of its reason, while the state lasts

    @property
    def explanation(self) -> Message | None:
        """`reason`, and for a stale configuration since when; `None` when there is nothing to explain."""
        if self.state != STALE:
            return self.reason
        return _("since %(time)s: %(reason)s", time=f"{self.since:%Y-%m-%d %H:%M:%S} UTC", reason=self.reason)

    @property
    def message(self) -> Message:
        if not self.explanation:
            return Message.of(self.state)
        return _("%(state)s: %(explanation)s", state=self.state, explanation=self.explanation)


def running_on(revision: Revision) -> Message:
    """The reason of the state "snapshot"."""
    return _("running on a snapshot of %(time)s", time=f"{revision.loaded_at:%Y-%m-%d %H:%M:%S} UTC")


def initial(revision: Revision) -> Status:
    """The status of a process that begins to serve `revision`."""
    if revision.kind == "snapshot":
        return Status(SNAPSHOT, running_on(revision))
    if revision.unconfirmed:
        return Status(STALE, revision.unconfirmed)
    return Status(FILE if revision.kind == "file" else CURRENT)


def out_of_step(revision: Revision, reason: Message) -> Status:
    """The status while the key cannot be followed."""
    if revision.kind == "snapshot":
        return Status(SNAPSHOT, joined([running_on(revision), reason]))
    return Status(STALE, reason)


class Proof(NamedTuple):
    """How long a status holds without another sign of the watch: until a moment, also as one of the monotonic clock."""

    given_at: datetime
    expires_at: datetime
    until: float


def outlived(status: Status, revision: Revision, proof: Proof) -> Status:
    """What is left of a status when its watch hangs or has ended."""
    time = f"{proof.given_at:%Y-%m-%d %H:%M:%S} UTC"
    lost = out_of_step(revision, _("the watch has given no sign since %(time)s; restart the instance", time=time))
    since = status.since if status.state == lost.state else proof.expires_at
    return replace(lost, rejected=status.rejected, since=since)


def transition(old: Status, new: Status, in_force: Revision) -> Status:
    """`new` as it follows `old`: the same state keeps its `since`. Without a change `old` stays.

    A change is logged, but not the other words in which Consul or Redis may put the same reason each time.
    """
    if (new.state, new.reason, new.rejected) == (old.state, old.reason, old.rejected):
        return old
    if new.state == CURRENT:
        logger.info("The configuration is no longer %s", old.state)
        return new
    lasts = new.state == old.state and _document(new) == _document(old)
    logged, kind = old.logged if lasts else frozenset(), (new.reason or Message("")).outline()
    if kind not in logged and len(logged) < _MOST_KINDS:
        logger.warning("The configuration is %s, %s stays in force: %s", new.state, in_force.origin, new.reason)
        logged |= {kind}
    return replace(new, since=old.since if new.state == old.state else new.since, logged=logged)


def _document(status: Status) -> tuple[int, bytes] | None:
    return (status.rejected.index, status.rejected.raw) if status.rejected else None

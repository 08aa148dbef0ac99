"""The follower judges what Consul offers: it puts a good document in force, and rejects any other with its reasons."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime

from .. import metrics
from ..consul_agent.kv import Entry
from ..document.parsing import WHOLE_DOCUMENT, DocumentInvalid, Fault
from ..instance import transitions, worker_count
from ..messages import Message, _, trace, unforeseen
from . import probing
from .live import Live
from .revision import parsed
from .status import CURRENT, Rejected, Status, out_of_step

# After a change, for each worker of the instance: what the first ones still have to do, and their next questions, would
# compete with the answers that the last ones wait for.
PAUSE_SECONDS = 0.001

logger = logging.getLogger(__name__)


class Follower:
    """One per serving process; called by its watch, in the watch's thread."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._took_over = False

    def prove(self, seconds: float) -> None:
        """Have the status hold until the next sign, in `seconds`, for everybody who is shown it."""
        self.live.prove(seconds)
        metrics.publish(self.live)

    def expect_answer(self) -> None:
        """Consul's answer is there, and is not read yet.

        A change comes to all workers at once, and when this one has its turn at a processor, another may have put it in
        force already. To take it over costs a third of reading and checking the answer, and the last one waits for all.
        """
        self._took_over = self.live.catch_up()
        if self._took_over:
            self.live.become(Status(CURRENT))
            time.sleep(PAUSE_SECONDS * worker_count.workers())
            self.live.notify()

    def is_past(self, entry: Entry | None) -> bool:
        """Whether a value was taken over while this answer was on its way, and the answer has another one.

        Mostly an older one; which of the two Consul holds now, it has to be asked again.
        """
        return self._took_over and not (entry and self._has_in_force(entry))

    def offer(self, entry: Entry) -> None:
        """Put the entry's document in force if it is another one, valid, and its probes pass; else reject it."""
        try:
            self._offer(entry)
        except Exception as error:  # of our own: it must not pass for "current"
            rejected = Rejected.of(entry, [Fault(WHOLE_DOCUMENT, unforeseen(error))], transient=True)
            if rejected != self.live.status.rejected:
                metrics.REJECTED.inc()
                logger.error("Judging a document failed:\n%s", trace(error))
            self.live.become(rejected.status)

    def _offer(self, entry: Entry) -> None:
        self._have_contact()
        rejected = self.live.status.rejected
        if self._has_in_force(entry):
            self._confirm()
        elif rejected and not rejected.transient and rejected.is_of(entry):
            self.live.become(rejected.status)
        else:
            self._judge(entry)

    def lose_contact(self, reason: Message) -> None:
        """Consul cannot be asked: what is in force stays."""
        transitions.seen("Consul", "bad")
        metrics.WATCH_ERRORS.inc()
        self.live.catch_up()
        lost = out_of_step(self.live.in_force.revision, reason)
        self.live.become(replace(lost, rejected=self.live.status.rejected))  # a rejection stays, as what was seen last

    def fail(self, error: Exception) -> None:
        """The watch itself failed, so nobody knows what Consul holds."""
        reason = _("the watch failed: %(error)s", error=unforeseen(error))
        self.live.become(out_of_step(self.live.in_force.revision, reason))

    def lose_key(self, reason: Message) -> None:
        """Consul answers, but the key is gone: what is in force stays."""
        self._have_contact()
        self.live.catch_up()
        self.live.become(out_of_step(self.live.in_force.revision, reason))

    def _have_contact(self) -> None:
        metrics.CONTACT_AT.set(time.time())
        transitions.seen("Consul", "good")

    def _judge(self, entry: Entry) -> None:
        try:
            revision = parsed(entry.value, "consul", entry.key, entry.modify_index, generation=self._generation(entry))
            faults = probing.faults(revision.document, self.live.in_force.document)
        except DocumentInvalid as error:
            return self._reject(Rejected.of(entry, list(error.faults), transient=False), entry)
        if faults:
            return self._reject(Rejected.of(entry, faults, transient=True), entry)
        self.live.replace(revision)
        logger.info("Put in force: %s", revision.origin)
        self.live.become(Status(CURRENT))
        self.live.shared.publish(revision)
        time.sleep(PAUSE_SECONDS * worker_count.workers())
        self.live.shared.save_snapshot(revision, revision.loaded_at)
        return self.live.notify()

    def _generation(self, entry: Entry) -> int:
        """The generation of a value that is not the one in force: its index must be a higher one in the same store."""
        own = self.live.in_force.revision
        return own.generation + (own.kind == "consul" and entry.modify_index <= (own.index or 0))

    def _reject(self, rejected: Rejected, entry: Entry) -> None:
        self.live.catch_up()
        if self._has_in_force(entry):
            return self._confirm()  # another process found its Redis a moment ago
        before = self.live.status.rejected
        if not (before and before.is_of(entry)):
            metrics.REJECTED.inc()
        return self.live.become(rejected.status)

    def _has_in_force(self, entry: Entry) -> bool:
        revision = self.live.in_force.revision
        return (revision.kind, revision.index, revision.raw) == ("consul", entry.modify_index, entry.value)

    def _confirm(self) -> None:
        self.live.become(Status(CURRENT))
        self.live.shared.save_snapshot(self.live.in_force.revision, datetime.now(UTC))

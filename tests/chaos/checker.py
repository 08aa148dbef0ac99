"""What must hold of a record, each as a pure function that yields the violations."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.chaos.record import CUT, Answer, Look, Record, Step, Write

KINDS = (
    "a number twice",
    "a lost hit",
    "an unexplained hit",
    "a number that shrinks",
    "an unclean answer",
    "a late answer",
    "a slow /livez",
    "a wrong state",
    "a state that goes back",
    "a wrong page",
    "a slow recovery",
    "a leak",
)
_CUT_STATUSES = {CUT, 502, 504}  # 502 and 504: what the load balancer says of an instance that went away
_QUEUED = 3.0  # seconds that a command may wait in a Redis that is paused, after its visitor got a 503
_AROUND = 1.0  # seconds by which an answer may follow its cause


@dataclass(frozen=True)
class Bounds:
    """In seconds; `memory` is a factor, the other resources are numbers."""

    livez: float = 0.25
    answer: float = 1.0
    recovery: float = 5.0
    # A watch that lost Consul asks again after 5 s at the latest, and an exchange with Consul takes its time.
    state: float = 7.0
    # README.md: what a watch that hears nothing goes on to say.
    silence: float = 70.0
    memory: float = 1.2
    sockets: float = 6
    threads: float = 3
    tasks: float = 4
    keys: float = 0


@dataclass(frozen=True)
class Violation:
    """One of `KINDS`."""

    kind: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.2f} s: {self.what}"


def violations(record: Record, bounds: Bounds | None = None) -> list[Violation]:
    """All of them, in the order of time."""
    bounds = bounds or Bounds()
    found = itertools.chain(
        numbers_twice(record),
        lost_hits(record),
        unexplained_hits(record),
        numbers_that_shrink(record),
        unclean_answers(record),
        late_answers(record, bounds),
        slow_livez(record, bounds),
        wrong_states(record, bounds),
        late_pages(record, bounds),
        slow_recoveries(record, bounds),
        leaks(record, bounds),
    )
    return sorted(found, key=lambda each: each.at)


# The counter.


def pages_by_server(record: Record) -> dict[str, list[Answer]]:
    """The pages that each server counted. The message tells: each document has one of its own."""
    server_of = {write.message: write.server for write in record.writes}
    pages = defaultdict(list)
    for answer in record.answers:
        if answer.number is not None:
            pages[server_of.get(answer.message, "unknown")].append(answer)
    return pages


def numbers_twice(record: Record) -> Iterator[Violation]:
    for server, answer in _twice(record):
        if not record.accounts[server].may_lose:
            yield Violation("a number twice", answer.ended, f"{answer.number} of {server}")


def counted_twice_after_failovers(record: Record) -> int:
    """What a documented failover cost: numbers that the old and the new master showed."""
    return sum(record.accounts[server].may_lose for server, _answer in _twice(record))


def _twice(record: Record) -> Iterator[tuple[str, Answer]]:
    for server, pages in pages_by_server(record).items():
        seen = set()
        for answer in pages:
            if answer.number in seen:
                yield server, answer
            seen.add(answer.number)


def lost_hits(record: Record) -> Iterator[Violation]:
    """A number that was shown, and that Redis does not have in the end."""
    for server, missing in _missing(record).items():
        if missing and not record.accounts[server].may_lose:
            yield Violation("a lost hit", missing[0].ended, f"{len(missing)} of {server}, first {missing[0].number}")


def lost_in_failovers(record: Record) -> int:
    return sum(len(missing) for server, missing in _missing(record).items() if record.accounts[server].may_lose)


def _missing(record: Record) -> dict[str, list[Answer]]:
    pages = pages_by_server(record)
    return {
        server: [page for page in shown if page.number > record.accounts[server].after]
        for server, shown in pages.items()
        if server in record.accounts
    }


def unexplained_hits(record: Record) -> Iterator[Violation]:
    """Increments that no page showed, beyond the requests of that moment that got no page: something counted again."""
    failed = [answer for answer in record.answers if answer.number is None]
    for server, pages in pages_by_server(record).items():
        account = record.accounts[server]
        if not account.may_lose:
            yield from _unexplained(server, pages, account.before, failed)


def _unexplained(server, pages, before, failed) -> Iterator[Violation]:
    """A request without a page explains one increment, of about its time."""
    ordered = sorted(pages, key=lambda page: page.number)
    first = Answer(-1, ordered[0].began, ordered[0].ended, 200, number=before)
    reasons = sorted(failed, key=lambda answer: answer.ended)
    for earlier, later in itertools.pairwise([first, *ordered]):
        gap = later.number - earlier.number - 1
        if gap <= 0:
            continue
        begin, end = min(earlier.began, later.began) - _QUEUED, max(earlier.ended, later.ended) + _AROUND
        fitting = [answer for answer in reasons if answer.ended >= begin and answer.began <= end][:gap]
        for answer in fitting:
            reasons.remove(answer)
        if len(fitting) < gap:
            what = f"{gap} increments of {server} after {earlier.number}, {len(fitting)} requests without a page"
            yield Violation("an unexplained hit", later.ended, what)


def numbers_that_shrink(record: Record) -> Iterator[Violation]:
    """The numbers of one client, which sends its next request after the answer to the last."""
    for server, pages in pages_by_server(record).items():
        if record.accounts[server].may_lose:
            continue
        last: dict[int, int] = {}
        for page in sorted(pages, key=lambda page: page.began):
            if page.number < last.get(page.client, 0):
                what = f"client {page.client} got {page.number} after {last[page.client]}"
                yield Violation("a number that shrinks", page.ended, what)
            last[page.client] = page.number


# The answers.


def unclean_answers(record: Record) -> Iterator[Violation]:
    """Anything but a page or a whole 503, unless a process was killed or stopped that had the request."""
    for answer in record.answers:
        if answer.number is None and answer.status != 503 and not _is_cut_by_a_fault(record.steps, answer):
            yield Violation(
                "an unclean answer",
                answer.ended,
                f"{answer.status} after {answer.ended - answer.began:.2f} s {answer.why}",
            )


def cut_answers(record: Record) -> int:
    return sum(answer.number is None and answer.status != 503 for answer in record.answers)


def _is_cut_by_a_fault(steps: list[Step], answer: Answer | Look) -> bool:
    return answer.status in _CUT_STATUSES and any(
        step.cuts and answer.ended >= step.began and answer.began <= step.ended + _AROUND for step in steps
    )


def late_answers(record: Record, bounds: Bounds) -> Iterator[Violation]:
    """A page or a 503 that took too long, unless its process was killed or stopped."""
    for answer in record.answers:
        took = answer.ended - answer.began - answer.late
        if took > bounds.answer and not is_excused(record.steps, answer):
            yield Violation("a late answer", answer.ended, f"{answer.status} after {took:.2f} s")


def slow_livez(record: Record, bounds: Bounds) -> Iterator[Violation]:
    """An instance whose process was killed or stopped is none; what held up the one that asks does not count."""
    for look in record.looks:
        if look.path != "/livez":
            continue
        took = look.ended - look.began - look.late
        if (took > bounds.livez or look.status != 200) and not is_excused(record.steps, look):
            yield Violation("a slow /livez", look.ended, f"{look.status} of {look.instance} after {took * 1000:.0f} ms")


def is_excused(steps: list[Step], look: Look | Answer) -> bool:
    """Whether a process of the site was killed or stopped at that time. Only we look at one that left."""
    return any(
        (step.cuts or (step.leaves and isinstance(look, Look)))
        and look.ended >= step.began
        and look.began <= _end(step)
        for step in steps
    )


def _end(step: Step) -> float:
    return step.ended + (step.recovered or 0) + _AROUND


# The states: what a worker says of the document, and what Consul had meanwhile.


def wrong_states(record: Record, bounds: Bounds) -> Iterator[Violation]:
    """A state that Consul contradicts for longer than its bound, and an index that goes back in one process."""
    last: dict[tuple[str, int], int] = {}
    for look in sorted((look for look in record.looks if look.state), key=lambda look: look.began):
        place = look.instance, look.pid
        if look.index is not None and look.index < last.get(place, 0):
            what = f"{look.instance}, pid {look.pid}: index {look.index} after {last[place]}"
            yield Violation("a state that goes back", look.ended, what)
        last[place] = look.index or last.get(place, 0)
        if not _is_true(record, look, bounds):
            said = f"{look.instance}, pid {look.pid} says {look.state}, index {look.index}"
            yield Violation("a wrong state", look.ended, said)


def _is_true(record: Record, look: Look, bounds: Bounds) -> bool:
    possible = list(_possible(record, look.began, look.ended, bounds))
    if look.state == "current":
        return any(write.is_valid and write.index == look.index for write in possible)
    if look.state == "rejected":
        return any(write.index is not None and not write.is_valid for write in possible)
    if any(write.index is None for write in possible):
        return True
    return any(step.hides and step.began <= look.ended <= step.ended + bounds.state for step in record.steps)


def late_pages(record: Record, bounds: Bounds) -> Iterator[Violation]:
    """A page with the message of a document that another one replaced long ago, or of none that was written yet."""
    shown = {}  # one page of each message in each second tells as much as all
    for page in record.answers:
        if page.number is not None:
            shown[page.message, int(page.began)] = page
    for page in shown.values():
        if all(write.message != page.message for write in _possible(record, page.began, page.ended, bounds)):
            yield Violation("a wrong page", page.ended, f"it shows {page.message!r}")


def _possible(record: Record, began: float, ended: float, bounds: Bounds) -> Iterator[Write]:
    """The writes that may be what a truthful worker knew in that time."""
    for write, following in itertools.zip_longest(record.writes, record.writes[1:]):
        if write.sent <= ended and (following is None or began <= known_by(record.steps, following.done, bounds)):
            yield write


def known_by(steps: list[Step], done: float, bounds: Bounds) -> float:
    """When every worker must know what was written: later while Consul was out of reach, but not without end."""
    known = done + bounds.state
    for step in sorted(steps, key=lambda step: step.began):
        if step.hides and step.began <= known and step.ended >= done:
            known = max(known, step.ended + bounds.state)
    return min(known, done + bounds.silence + bounds.state)


# Afterwards.


def slow_recoveries(record: Record, bounds: Bounds) -> Iterator[Violation]:
    for step in record.steps:
        if step.recovered is None or step.recovered > bounds.recovery:
            after = "never" if step.recovered is None else f"after {step.recovered:.1f} s"
            yield Violation("a slow recovery", step.ended, f"{' + '.join(step.faults)}: well again {after}")


def leaks(record: Record, bounds: Bounds) -> Iterator[Violation]:
    """What is used after all faults, and was not before."""
    for place, resources in record.resources.items():
        for name, (before, after) in resources.items():
            most = before * bounds.memory if name == "memory" else before + getattr(bounds, name)
            if after > most:
                end = max((step.ended for step in record.steps), default=0.0)
                yield Violation("a leak", end, f"{name} of {place}: {before:.0f} before, {after:.0f} after")

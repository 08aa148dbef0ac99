"""Failovers of a `SentinelGroup` below a site under load: how long each takes, and what it costs."""

import itertools
import time
from dataclasses import dataclass

from tests.support.every_redis import moves
from tests.support.figures import percentile
from tests.support.waiting import wait_until


@dataclass
class Failover:
    """`seconds` until every worker counts on the new master; the others are numbers of answers.

    `lost` were shown by the old master and are not counted by the new one, `twice` were shown by both.
    """

    began: float
    seconds: float
    failed: int = 0
    lost: int = 0
    twice: int = 0


def fail_over(group, site, workers, planned):
    """Have another master, by a command or by SIGKILL; return the `Failover` when all is as before."""
    taken, switched = moves(site) + workers.count, group.switches()
    began = time.monotonic()
    old = group.begin_failover() if planned else group.kill_master()
    wait_until(lambda: moves(site) >= taken, message="every worker to use another master", interval=0.01)
    workers.wait_pages()
    seconds = time.monotonic() - began
    new = group.wait_failed_over(old)
    if not planned:
        old.start()
    group.wait_settled()
    further = group.switches() - switched - 1  # after a crash, Sentinel may choose twice
    wait_until(lambda: moves(site) == taken + further * workers.count, message="each worker to change as Sentinel did")
    workers.wait_pages()
    assert {ready["redis"]["ok"] for ready in workers.ready().values()} == {True}
    assert further or new is group.master()
    return Failover(began, seconds)


def count_costs(failovers, answers):
    """Fill in what the answers of the load say.

    The old and the new master are told apart by the longest time without a page: none is counted in between.
    """
    answers = sorted(answers, key=lambda answer: answer[0])
    ends = [failover.began for failover in failovers[1:]] + [answers[-1][0]]
    for failover, end in zip(failovers, ends, strict=True):
        during = [answer for answer in answers if failover.began - 5 < answer[0] <= end]
        pages = [answer for answer in during if answer[1] is not None]
        around = [moment for moment, _number in pages if moment < failover.began + failover.seconds + 1]
        _gap, last = max((after - moment, moment) for moment, after in itertools.pairwise(around))
        before = {number for moment, number in pages if moment <= last}
        after = {number for moment, number in pages if moment > last}
        failover.failed = sum(number is None for moment, number in during if moment > failover.began)
        failover.lost = sum(number >= min(after) for number in before)
        failover.twice = len(before & after)


def table_row(failovers):
    """Median / worst of each column."""

    def both(values, form="{:.0f}"):
        return " / ".join(form.format(percentile(values, share)) for share in (0.5, 1))

    seconds = both([failover.seconds for failover in failovers], "{:.2f}")
    columns = ("failed", "lost", "twice")
    return "; ".join([f"{seconds} s", *(both([getattr(each, name) for each in failovers]) for name in columns)])

"""Group commit: every number is given once, whichever callers share a commit, and however it ends."""

import asyncio
import gc
import random
import threading
import time
import tracemalloc

import pytest

from counter.group_commit import CommitFailed, Committed, GroupCommit

DEADLINE = 30  # seconds; what takes longer, takes for ever


class Held:
    """A commit that waits until it is let go."""

    def __init__(self, deadline=DEADLINE):
        self.sizes, self.value = [], 0
        self.go, self.error = threading.Event(), None
        self.commits = GroupCommit(self.commit, deadline)

    def commit(self, size):
        self.sizes.append(size)
        assert self.go.wait(DEADLINE)
        if self.error:
            raise self.error
        self.value += size
        return Committed(self.value, "context")

    async def start(self, count):
        """So many callers that have all begun to wait."""
        tasks = [asyncio.create_task(self.commits.take()) for _ in range(count)]
        await asyncio.sleep(0)
        return tasks

    async def first_and_others(self, others=7):
        first = await self.start(1)
        return first + await self.start(others)


@pytest.fixture
def held():
    return Held()


async def outcomes(tasks):
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE)


def test_who_comes_alone_waits_for_nobody():
    sizes = []
    commits = GroupCommit(lambda size: sizes.append(size) or Committed(len(sizes), "context"), DEADLINE)

    async def visit():
        return [await commits.take() for _ in range(3)]

    assert asyncio.run(visit()) == [(1, "context"), (2, "context"), (3, "context")]
    assert sizes == [1, 1, 1]


def test_those_who_wait_share_one_commit(held):
    async def visit():
        tasks = await held.first_and_others()
        held.go.set()
        return await outcomes(tasks)

    numbers = [committed.last for committed in asyncio.run(visit())]
    assert held.sizes == [1, 7]
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("error", [OSError("no reply"), SystemExit()])
def test_failure_fails_all_that_shared_the_commit_and_is_not_tried_again(held, error):
    async def visit():
        tasks = await held.first_and_others()
        held.error = error
        held.go.set()
        failures = await outcomes(tasks)
        held.error = None
        return failures, await held.commits.take()

    failures, committed = asyncio.run(visit())
    assert held.sizes == [1, 7, 1]
    assert [type(failure) for failure in failures] == [CommitFailed] * 8
    assert all(failure.__cause__ is error for failure in failures)
    assert committed == (1, "context")


def test_nobody_waits_longer_than_the_deadline_for_a_commit_that_hangs():
    held = Held(deadline=0.2)

    async def visit():
        began = time.monotonic()
        failures = await outcomes(await held.first_and_others())
        seconds = time.monotonic() - began
        late = await outcomes(await held.start(2))
        held.go.set()
        return failures + late, seconds, await held.commits.take()

    failures, seconds, committed = asyncio.run(visit())
    assert {type(failure.__cause__) for failure in failures} == {TimeoutError}
    assert seconds < 0.2 + 5, "the second part is for a busy machine"
    assert held.sizes == [1, 1], "nobody is counted who has had his answer"
    assert committed == (2, "context"), "the number of the first one is nobody's"


def test_caller_that_goes_away_costs_at_most_its_own_number(held):
    async def visit():
        first, *others = await held.first_and_others()
        first.cancel()
        others[2].cancel()
        await asyncio.sleep(0)
        held.go.set()
        return await outcomes(others)

    answers = asyncio.run(visit())
    assert sorted(answer.last for answer in answers if isinstance(answer, Committed)) == [2, 3, 4, 5, 6, 7]
    assert held.sizes == [1, 6], "the one that waited takes no number with it"


def test_cancelled_callers_leave_nothing():
    held = Held()
    held.go.set()

    async def leave(count):
        for _ in range(count // 100):
            tasks = await held.start(100)
            for task in tasks:
                task.cancel()
            await outcomes(tasks)
        assert (await held.commits.take()).last == held.value
        gc.collect()
        futures = sum(issubclass(type(found), asyncio.Future) for found in gc.get_objects())
        return len(asyncio.all_tasks()), futures, tracemalloc.get_traced_memory()[0]

    async def twice():
        return await leave(1000), await leave(10_000)

    tracemalloc.start()
    try:
        before, after = asyncio.run(twice())
    finally:
        tracemalloc.stop()
    assert after[:2] == before[:2]
    # One object that is left of each would be a megabyte; threads of other tests may allocate meanwhile, too.
    assert after[2] - before[2] < 500_000, "bytes, of 10,000 callers"


class Counter:
    """Counts as Redis would. Some commits count and then fail: their reply was lost."""

    def __init__(self):
        self.value = self.calls = self.in_lost_commits = self.under_way = self.most_under_way = 0

    def commit(self, size):
        self.calls += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        time.sleep(random.uniform(0, 0.001))  # noqa: S311 (no secret)
        chance = random.random()  # noqa: S311 (no secret)
        counted = chance >= 0.05
        self.value += size * counted
        self.under_way -= 1
        if chance < 0.15:
            self.in_lost_commits += size * counted
            raise OSError("no reply")
        return Committed(self.value, f"context of {self.value}")


def test_every_number_once():
    counter, callers, each = Counter(), 32, 100
    commits = GroupCommit(counter.commit, DEADLINE)
    numbers, failures, strangers = [], [], []

    async def caller():
        for _ in range(each):
            try:
                last, context = await commits.take()
            except CommitFailed as error:
                failures.append(error)
            else:
                numbers.append(last)
                if not 0 <= int(context.removeprefix("context of ")) - last < callers:
                    strangers.append(context)

    async def all_callers():
        await asyncio.gather(*(caller() for _ in range(callers)))

    asyncio.run(all_callers())
    assert len(numbers) + len(failures) == callers * each
    assert len(numbers) == len(set(numbers))
    assert counter.value - counter.in_lost_commits == len(numbers)
    assert strangers == []
    assert counter.most_under_way == 1
    assert 0 < len(failures) < callers * each
    assert counter.calls < callers * each / 2, "they do wait together"

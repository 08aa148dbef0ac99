"""Group commit: every number is given once, whichever callers share a commit, and however it ends."""

import asyncio
import contextlib
import gc
import random
import socket
import threading
import time
import tracemalloc
from functools import partial

import pytest

from counter.group_commit import PATIENCE, CommitFailed, Committed, GroupCommit
from tests.support.waiting import BUSY_SECONDS

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
    assert seconds < 0.2 + 5 * BUSY_SECONDS
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


class Wire:
    """Commits that are sent at once, and answered as the test says; `commit` is what the thread does if none can be."""

    def __init__(self, deadline=DEADLINE, *, finish=None):
        self.near, self.far = socket.socketpair()
        self.sizes, self.in_thread, self.value = [], [], 0
        self.is_ready, self.received = True, b""
        self.finish = finish or self._finish
        self.commits = GroupCommit(self._commit, deadline, self._begin)

    @property
    def file(self):
        return self.near.fileno()

    def is_complete(self):
        with contextlib.suppress(BlockingIOError):
            self.received += self.near.recv(100, socket.MSG_DONTWAIT)
        return self.received.endswith(b".")

    def answer(self, data=b"."):
        self.far.sendall(data)

    def _begin(self, size):
        if not self.is_ready:
            return None
        self.sizes.append(size)
        return self, partial(self.finish, size)

    def _commit(self, size):
        self.sizes.append(size)
        return self._finish(size)

    def _finish(self, size):
        if threading.current_thread() is not threading.main_thread():
            self.in_thread.append(size)
        while not self.received.endswith(b".") and self.is_ready:
            self.received += self.near.recv(100)
        self.received = b""
        self.value += size
        return Committed(self.value, "context")

    async def first_and_others(self, others=7):
        tasks = [asyncio.create_task(self.commits.take())]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(self.commits.take()) for _ in range(others)]
        await asyncio.sleep(0)
        return tasks


@pytest.fixture
def wire():
    wire = Wire()
    with wire.near, wire.far:
        yield wire


def test_event_loop_awaits_the_answer_by_itself(wire):
    async def visit():
        tasks = await wire.first_and_others()
        wire.answer()
        await tasks[0]
        wire.answer()
        return await outcomes(tasks)

    numbers = [committed.last for committed in asyncio.run(visit())]
    assert (wire.sizes, wire.in_thread) == ([1, 7], [])
    assert sorted(numbers) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_thread_waits_for_the_rest_of_an_answer(wire):
    async def visit():
        tasks = await wire.first_and_others(0)
        wire.answer(b"the beginning")
        while wire.commits._watched:
            await asyncio.sleep(0.001)
        later = asyncio.create_task(wire.commits.take())
        await asyncio.sleep(0)
        wire.answer()
        first = await outcomes(tasks)
        wire.answer()
        return first + await outcomes([later])

    assert [committed.last for committed in asyncio.run(visit())] == [1, 2]
    assert (wire.sizes, wire.in_thread) == ([1, 1], [1])


def test_thread_waits_for_an_answer_that_does_not_come_soon(wire):
    async def visit():
        tasks = await wire.first_and_others(0)
        while wire.commits._watched:
            await asyncio.sleep(PATIENCE / 10)
        assert not tasks[0].done()
        wire.answer()
        return await outcomes(tasks)

    assert [committed.last for committed in asyncio.run(visit())] == [1]
    assert wire.in_thread == [1]


def test_answer_that_never_comes_fails_its_callers_at_the_deadline():
    wire = Wire(deadline=3 * PATIENCE)

    async def visit():
        failures = await outcomes(await wire.first_and_others())
        wire.answer()
        while wire.commits._in_progress:
            await asyncio.sleep(0.001)
        following = asyncio.create_task(wire.commits.take())
        await asyncio.sleep(0)
        wire.answer()
        return failures, await following

    with wire.near, wire.far:
        failures, committed = asyncio.run(visit())
    assert {type(failure.__cause__) for failure in failures} == {TimeoutError}
    assert wire.sizes == [1, 1], "nobody is counted who has had his answer"
    assert committed == (2, "context")


def test_thread_commits_what_cannot_be_sent_at_once(wire):
    wire.is_ready = False

    async def visit():
        return await outcomes(await wire.first_and_others())

    assert sorted(committed.last for committed in asyncio.run(visit())) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert wire.sizes == wire.in_thread == [1, 7]


def test_failure_to_send_fails_the_callers(wire):
    error = OSError("lost")

    def begin(size):
        raise error

    wire.commits._begin = begin

    async def visit():
        return await outcomes(await wire.first_and_others())

    assert {failure.__cause__ for failure in asyncio.run(visit())} == {error}


def test_failure_on_the_loop_or_in_the_thread_is_the_callers():
    def finish(size):
        raise OSError("an error reply")

    wire = Wire(finish=finish)

    async def visit(data):
        tasks = await wire.first_and_others(0)
        wire.answer(data)
        return await outcomes(tasks)

    with wire.near, wire.far:
        for data in (b".", b"-"):
            (failure,) = asyncio.run(visit(data))
            assert isinstance(failure.__cause__, OSError)


def test_loop_that_is_gone_leaves_nothing_that_the_next_one_waits_for(wire):
    async def leave():
        await wire.first_and_others()

    async def visit():
        task = asyncio.create_task(wire.commits.take())
        await asyncio.sleep(0)
        wire.answer()
        return await asyncio.wait_for(task, DEADLINE)

    asyncio.run(leave())
    assert asyncio.run(visit()).last == 1


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

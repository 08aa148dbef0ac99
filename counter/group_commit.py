"""Group commit: concurrent callers share one round trip, and each takes its own number from the range."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Committed(NamedTuple, Generic[T]):
    """The last number of the range that one commit took, and a context that its callers share."""

    last: int
    context: T


class CommitFailed(Exception):
    """The commit failed, for all callers of its batch. The reason is the `__cause__`."""


class _Batch(Generic[T]):
    """The callers that share one commit."""

    __slots__ = ("expires_at", "loop", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, expires_at: float) -> None:
        self.loop = loop
        self.expires_at = expires_at
        self.waiting: list[asyncio.Future[Committed[T]]] = []

    def fail(self, error: BaseException) -> None:
        for caller in self.waiting:
            if not caller.done():  # it went away, or has expired
                failure = CommitFailed()
                failure.__cause__ = error
                caller.set_exception(failure)

    def succeed(self, committed: Committed[T]) -> None:
        for position, caller in enumerate(self.waiting):
            if not caller.done():
                caller.set_result(Committed(committed.last - position, committed.context))


class GroupCommit(Generic[T]):
    """`commit(n)` takes n numbers at once, as INCRBY does; `take()` returns one of them to each caller.

    Callers are coroutines of one event loop. `commit` blocks, so it runs in a thread of its own, one commit at a time.
    Callers that arrive meanwhile share the next one; a single caller does not wait for others. No caller waits longer
    than `deadline` seconds: a commit that takes longer holds up its thread and the next commit, not the callers.
    """

    def __init__(self, commit: Callable[[int], Committed[T]], deadline: float) -> None:
        self._commit = commit
        self._deadline = deadline
        self._open: _Batch[T] | None = None  # the batch that callers can still join
        self._in_progress: _Batch[T] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._batches: SimpleQueue[_Batch[T]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def take(self) -> Committed[T]:
        """The caller's own number, as `last`. Raises `CommitFailed`."""
        loop = asyncio.get_running_loop()
        batch = self._open
        if batch is None:
            batch = self._open = _Batch(loop, loop.time() + self._deadline)
            if self._timer is None:
                self._timer = loop.call_at(batch.expires_at, self._expire)
        caller: asyncio.Future[Committed[T]] = loop.create_future()
        batch.waiting.append(caller)
        if self._in_progress is None:
            self._send(batch)
        return await caller

    def _send(self, batch: _Batch[T]) -> None:
        if self._thread is None:  # not earlier: a thread does not survive the fork of a worker
            self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
            self._thread.start()
        self._open, self._in_progress = None, batch
        self._batches.put(batch)

    def _work(self) -> None:
        while True:
            batch = self._batches.get()
            try:
                settle = partial(batch.succeed, self._commit(len(batch.waiting)))
            except BaseException as error:  # whatever it is, the callers do not wait forever
                settle = partial(batch.fail, error)
            try:
                batch.loop.call_soon_threadsafe(self._done, settle)
            except RuntimeError:  # the loop is closed, and its callers are gone with it
                self._open = self._in_progress = self._timer = None

    def _done(self, settle: Callable[[], None]) -> None:
        """Back on the loop. The next commit starts first, so that it runs while the callers of this one continue."""
        self._in_progress = None
        following = self._open
        if following is not None:
            following.waiting = [caller for caller in following.waiting if not caller.done()]
            if following.waiting:
                self._send(following)
            else:
                self._open = None
        settle()

    def _expire(self) -> None:
        """Fail what took too long. One timer serves all batches: one for each cost a single visitor 9 us of 158."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        for batch in (self._in_progress, self._open):
            if batch is None:
                continue
            if batch.expires_at > now:
                self._timer = batch.loop.call_at(batch.expires_at, self._expire)
                return
            if batch is self._open:
                self._open = None
            batch.fail(TimeoutError("the commit took too long"))

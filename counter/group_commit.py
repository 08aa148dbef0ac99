"""Group commit: callers that wait at the same time share one round trip, and each takes its own number of the range."""

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Committed(NamedTuple, Generic[T]):
    """The last number of the range that one commit took, and whatever belongs to that commit as a whole."""

    last: int
    context: T


class CommitFailed(Exception):
    """The commit that this caller shared failed, for all of its batch alike. The reason is its `__cause__`."""


class _Batch(Generic[T]):
    """The callers that share one commit. `gate` is locked until there is a result for all of them."""

    def __init__(self) -> None:
        self.size = 0
        self.gate = threading.Lock()
        self.gate.acquire()
        self.committed: Committed[T] | None = None
        self.error: BaseException | None = None


class GroupCommit(Generic[T]):
    """`commit(n)` takes n numbers at once, the way INCRBY does; `take()` gives each caller one of them.

    One commit is under way at a time. Who comes meanwhile waits for it and then goes with the others who did, in one
    commit more; who comes alone does not wait at all. Works with threads, and with gevent where it has patched
    `threading` before the object is made.
    """

    def __init__(self, commit: Callable[[int], Committed[T]]) -> None:
        self._commit = commit
        self._open: _Batch[T] | None = None  # the batch that can still be joined
        self._joining = threading.Lock()
        self._committing = threading.Lock()

    def take(self) -> Committed[T]:
        """A number of one's own, as `last`. Raises `CommitFailed`."""
        with self._joining:
            batch = self._open
            if batch is None:
                batch = self._open = _Batch()
            position = batch.size
            batch.size += 1
        if position == 0:
            self._lead(batch)
        else:
            with batch.gate:  # each one through it lets the next one through
                pass
        if batch.committed is None:
            raise CommitFailed from batch.error
        return Committed(batch.committed.last - position, batch.committed.context)

    def _lead(self, batch: _Batch[T]) -> None:
        """Commit for the whole batch. Whatever stops the leader, the others do not wait for ever."""
        try:
            with self._committing:
                self._close(batch)
                batch.committed = self._commit(batch.size)
        except Exception as error:
            batch.error = error
        finally:
            self._close(batch)
            batch.gate.release()

    def _close(self, batch: _Batch[T]) -> None:
        with self._joining:  # who comes after this starts the next batch
            if self._open is batch:
                self._open = None

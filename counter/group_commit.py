"""Group commit: concurrent callers share one round trip, and each takes its own number from the range."""

import threading
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Committed(NamedTuple, Generic[T]):
    """The last number of the range that one commit took, and a context that its callers share."""

    last: int
    context: T


class CommitFailed(Exception):
    """The commit failed, for all callers of its batch. The reason is the `__cause__`."""


class _Batch(Generic[T]):
    """The callers that share one commit. `gate` is locked until there is a result."""

    def __init__(self) -> None:
        self.size = 0
        self.gate = threading.Lock()
        self.gate.acquire()
        self.committed: Committed[T] | None = None
        self.error: BaseException | None = None


class GroupCommit(Generic[T]):
    """`commit(n)` takes n numbers at once, as INCRBY does; `take()` returns one of them to each caller.

    One commit is in progress at a time. Callers that arrive meanwhile wait for it and then share the next one; a single
    caller does not wait at all. It works with threads, and with gevent if that has patched `threading` before the
    object is created.
    """

    def __init__(self, commit: Callable[[int], Committed[T]]) -> None:
        self._commit = commit
        self._open: _Batch[T] | None = None  # the batch that callers can still join
        self._joining = threading.Lock()
        self._committing = threading.Lock()

    def take(self) -> Committed[T]:
        """The caller's own number, as `last`. Raises `CommitFailed`."""
        with self._joining:
            batch = self._open
            if batch is None:
                batch = self._open = _Batch()
            position = batch.size
            batch.size += 1
        if position == 0:
            self._lead(batch)
        else:
            with batch.gate:  # each caller that passes lets the next one pass
                pass
        if batch.committed is None:
            raise CommitFailed from batch.error
        return Committed(batch.committed.last - position, batch.committed.context)

    def _lead(self, batch: _Batch[T]) -> None:
        """Commit for the whole batch. Whatever stops the leader, the others do not wait forever."""
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
        with self._joining:  # a later caller starts the next batch
            if self._open is batch:
                self._open = None

"""A circuit breaker: while something is out of reach, most callers hear so at once, and one at a time finds out."""

import threading
import time

REST_SECONDS = 0.5
# Before the first call fails: so many may wait for one that takes so long; more would take all threads of a worker, and
# the health checks among others would get none.
MOST_WAITING, PATIENCE_SECONDS = 4, 0.2
_TRIAL_SECONDS = 2.0  # a trial that has not reported by then is given up: its thread may have been ended


class Breaker:
    """For one server; threads share it. Ask `admits()` before each call, and report how it went.

    One call is under way at a time: callers that wait meanwhile share the next one.
    """

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._lock = threading.Lock()
        self._next_trial: float | None = None  # None: closed, everyone is admitted
        self._failing_since: float | None = None
        self._calling_since: float | None = None

    def turns_away(self, waiting: int) -> bool:
        """Whether a caller should not even wait, with so many waiting already. Asking claims nothing."""
        next_trial, since = self._next_trial, self._calling_since
        if next_trial is not None and time.monotonic() < next_trial:
            return True
        return waiting >= MOST_WAITING and since is not None and time.monotonic() > since + PATIENCE_SECONDS

    def admits(self) -> bool:
        """Whether to call now. While open, one caller is admitted after each rest; until it reports, nobody else."""
        now = time.monotonic()
        if self._next_trial is not None:
            with self._lock:
                if self._next_trial is not None and now < self._next_trial:
                    return False
                if self._next_trial is not None:
                    self._next_trial = now + _TRIAL_SECONDS
        self._calling_since = now
        return True

    def failed(self, opens: bool) -> bool:
        """A call failed. `opens`: in a way that makes callers wait. True for the first failure after a success."""
        self._calling_since = None
        with self._lock:
            now = time.monotonic()
            if opens or self._next_trial is not None:
                self._next_trial = now + self._rest
            is_first = self._failing_since is None
            if is_first:
                self._failing_since = now
            return is_first

    def succeeded(self) -> float | None:
        """A call succeeded. When that ends an outage: the seconds that it took."""
        self._calling_since = None
        if self._failing_since is None:
            return None
        with self._lock:
            since, self._failing_since, self._next_trial = self._failing_since, None, None
            return None if since is None else time.monotonic() - since

"""A circuit breaker: while a server is out of reach, most calls fail at once, and one at a time is a trial."""

import threading
import time

REST_SECONDS = 0.5  # between two trials
# Before the first call fails: how many callers may wait for one that takes this long. More would occupy all threads of
# a worker and leave none for the health checks.
MOST_WAITING, PATIENCE_SECONDS = 4, 0.2
_TRIAL_SECONDS = 2.0  # after which a trial without a result is given up: its thread may have ended


class Breaker:
    """For one server; threads share it. Ask `admits()` before each call, and report its result.

    Only one call is in progress at a time: callers that wait meanwhile share the next one.
    """

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._lock = threading.Lock()
        self._next_trial: float | None = None  # None: closed, all calls are admitted
        self._failing_since: float | None = None
        self._calling_since: float | None = None

    def turns_away(self, waiting: int) -> bool:
        """Whether a caller should fail without waiting, given how many are waiting. It claims no trial."""
        next_trial, since = self._next_trial, self._calling_since
        if next_trial is not None and time.monotonic() < next_trial:
            return True
        return waiting >= MOST_WAITING and since is not None and time.monotonic() > since + PATIENCE_SECONDS

    def admits(self) -> bool:
        """Whether to call now. An open breaker admits one trial after each rest, and no other call until its result."""
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
        """Report a failure; one that makes callers wait `opens` the breaker. True for the first since a success."""
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
        """Report a success. Returns the length of the outage that it ends, in seconds, if it ends one."""
        self._calling_since = None
        if self._failing_since is None:
            return None
        with self._lock:
            since, self._failing_since, self._next_trial = self._failing_since, None, None
            return None if since is None else time.monotonic() - since

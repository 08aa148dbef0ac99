"""A circuit breaker: while something is out of reach, most callers hear so at once, and one at a time finds out."""

import threading
import time

REST_SECONDS = 0.5
_TRIAL_SECONDS = 2.0  # a trial that has not reported by then is given up: its thread may have been ended


class Breaker:
    """For one server; threads share it. Ask `admits()` before each call, and report how it went."""

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._lock = threading.Lock()
        self._next_trial: float | None = None  # None: closed, everyone is admitted
        self._failing_since: float | None = None

    @property
    def rests(self) -> bool:
        """Whether a caller would be refused now. Asking claims nothing."""
        next_trial = self._next_trial
        return next_trial is not None and time.monotonic() < next_trial

    def admits(self) -> bool:
        """Whether to call now. While open, one caller is admitted after each rest; until it reports, nobody else."""
        if self._next_trial is None:
            return True
        with self._lock:
            now = time.monotonic()
            if self._next_trial is None:
                return True
            if now < self._next_trial:
                return False
            self._next_trial = now + _TRIAL_SECONDS
            return True

    def failed(self, opens: bool) -> bool:
        """A call failed. `opens`: in a way that makes callers wait. True for the first failure after a success."""
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
        if self._failing_since is None:
            return None
        with self._lock:
            since, self._failing_since, self._next_trial = self._failing_since, None, None
            return None if since is None else time.monotonic() - since

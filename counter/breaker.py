"""A circuit breaker: once something was out of reach, callers hear so at once until it has been asked again."""

import time

REST_SECONDS = 0.5


class Breaker:
    """For one server. Ask `is_open` before each call, and report how it went. After each rest calls are tried again."""

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._closed_from = 0.0
        self._failing_since: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether not to call now."""
        return time.monotonic() < self._closed_from

    def failed(self, opens: bool) -> bool:
        """A call failed. `opens`: in a way that makes callers wait. True for the first failure after a success."""
        now = time.monotonic()
        if opens:
            self._closed_from = now + self._rest
        is_first = self._failing_since is None
        if is_first:
            self._failing_since = now
        return is_first

    def succeeded(self) -> float | None:
        """A call succeeded. When that ends an outage: the seconds that it took."""
        since, self._failing_since = self._failing_since, None
        if since is None:
            return None
        self._closed_from = 0.0
        return time.monotonic() - since

"""A circuit breaker: after a server was out of reach, calls fail at once until it is time to try it again."""

import time

REST_SECONDS = 0.5
MOST_TOLD = 5  # kinds in one outage


class Breaker:
    """For one server. Ask `is_open` before each call, and report its result. After a rest it admits calls again."""

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._closed_from = 0.0
        self._failing_since: float | None = None
        self._told: set[tuple[bool, str]] = set()

    @property
    def is_open(self) -> bool:
        """Whether a call should fail without being tried."""
        return time.monotonic() < self._closed_from

    def failed(self, opens: bool, kind: str = "") -> bool:
        """Report a failure; one that makes callers wait `opens` the breaker.

        True where that is news: the first since a success, and the first of some other kinds in the same outage.
        """
        now = time.monotonic()
        if opens:
            self._closed_from = now + self._rest
        if self._failing_since is None:
            self._failing_since = now
            self._told.clear()
        is_news = (opens, kind) not in self._told and len(self._told) < MOST_TOLD
        if is_news:
            self._told.add((opens, kind))  # a connection in use is lost for another reason than a new one
        return is_news

    def succeeded(self) -> float | None:
        """Report a success. Returns the length of the outage that it ends, in seconds, if it ends one."""
        since, self._failing_since = self._failing_since, None
        if since is None:
            return None
        self._closed_from = 0.0
        return time.monotonic() - since

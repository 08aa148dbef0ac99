"""The one family of errors that callers of the Consul agent see."""


class ConsulError(Exception):
    """The agent could not do what was asked; the text says what, where and why, and holds no secret."""


class Unreachable(ConsulError):
    """No usable agent answers: connection refused, time-out, or a 5xx (no leader, a dead server). Worth a retry."""


class Denied(ConsulError):
    """The agent answered 403: the token lacks a right, or is unknown."""


class Missing(ConsulError):
    """What was asked for is not there."""


class Garbled(ConsulError):
    """The answer is not Consul's: HTML, a redirect, broken JSON, a missing index. Something else listens there."""


class Refused(ConsulError):
    """The agent understood the request and will not do it (4xx other than 403 and 404); the text is its own."""

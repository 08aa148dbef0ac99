"""The one family of errors that callers of the Consul agent see."""

from ..messages import Message, _


class ConsulError(Exception):
    """The agent could not do what was asked; the message says what, where and why, and contains no secret."""

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(ConsulError):
    """No usable agent answers: connection refused, time-out, or a 5xx (no leader, a dead server). Worth a retry."""

    @classmethod
    def answered(cls, url: str, status: int, reason: str | Message) -> "Unreachable":
        """The error of an agent in trouble."""
        answer = {"url": url, "status": status, "reason": reason}
        return cls(_("Consul at %(url)s answered %(status)s: %(reason)s.", **answer))


class Denied(ConsulError):
    """The agent answered 403: the token lacks a right, or is unknown."""


class Missing(ConsulError):
    """What was asked for is not there."""


class Garbled(ConsulError):
    """The answer is not Consul's: HTML, a redirect, broken JSON, a missing index. Something else listens there."""

    @classmethod
    def sent(cls, url: str, what: Message) -> "Garbled":
        """The error of a peer at `url` that sent `what`."""
        return cls(_("What listens at %(url)s is not a Consul agent: it sent %(what)s.", url=url, what=what))


class Refused(ConsulError):
    """The agent understood the request and will not do it (4xx other than 403 and 404); the text is its own."""

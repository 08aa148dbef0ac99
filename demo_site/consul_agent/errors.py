"""The errors that the Consul client raises."""

from ..messages import Message, MessageError, _


class ConsulError(MessageError):
    """The request failed; the message says what failed, where and why, and contains no secret."""


class Unreachable(ConsulError):
    """No usable agent answers: connection refused, time-out, or a 5xx (no leader, a dead server). Retry later."""

    @classmethod
    def answered(cls, url: str, status: int, reason: str | Message) -> "Unreachable":
        answer = {"url": url, "status": status, "reason": reason}
        return cls(_("Consul at %(url)s answered %(status)s: %(reason)s.", **answer))


class Denied(ConsulError):
    """The agent answered 403: the token is unknown or lacks a right."""


class Missing(ConsulError):
    """The key or service does not exist."""


class Garbled(ConsulError):
    """The answer is not Consul's: HTML, a redirect, broken JSON, no index. Another program listens there."""

    @classmethod
    def sent(cls, url: str, what: Message) -> "Garbled":
        return cls(_("What listens at %(url)s is not a Consul agent: it sent %(what)s.", url=url, what=what))


class TooLong(Garbled):
    """The answer is longer than is read of one."""


class Refused(ConsulError):
    """The agent rejected the request with another 4xx; the reason is in its own words."""

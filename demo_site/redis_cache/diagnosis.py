"""What an error of Redis means: the member of the document that it is about, in our own words, and what to do."""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis import exceptions

from .. import identity
from ..messages import Message, _
from .pool import FileUnusable, HandshakeTimeout, NoServer


class NotRedis(exceptions.RedisError):
    """What listens there answers in another way than Redis does."""


class CounterFull(exceptions.RedisError):
    """The counter has reached the largest number that Redis can hold."""


class OnlyTls(exceptions.RedisError):
    """The server expects TLS, and the document says nothing of it."""


@dataclass(frozen=True)
class Diagnosis:
    """`what` continues "the Redis at 10.0.0.1:6379 ..."; no word in it is another program's."""

    member: str
    what: Message
    remedy: Message | None = None


def diagnose(error: BaseException) -> Diagnosis:
    """What the error, or one of its causes, says."""
    causes = list(_with_causes(error))
    if isinstance(error, FileUnusable):
        return Diagnosis(error.member, _("is not asked, because a file cannot be used"))
    fitting = (found for matches, found in _KNOWN if any(map(matches, causes)))
    return next(fitting, Diagnosis("redis_host", _("cannot be used")))


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _kind(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kinds)


def _says(*texts: str, kind: type[BaseException] = exceptions.RedisError) -> Callable[[BaseException], bool]:
    return lambda error: isinstance(error, kind) and any(text in str(error) for text in texts)


LOST = Diagnosis("redis_host", _("lost the connection"))
_KEY = {"key": identity.COUNTER_KEY}
_AUTHORITY = _("Name the authority that signed it in redis_ca_file.")
_FULL = Diagnosis("", _("has no number left for `%(key)s`", **_KEY), _("Set `%(key)s` to a smaller number.", **_KEY))
_CLUSTER = Diagnosis("redis_host", _("is a node of a cluster"), _("Name a Redis outside of a cluster."))
# The first that fits.
_KNOWN: tuple[tuple[Callable[[BaseException], bool], Diagnosis], ...] = (
    (_kind(NotRedis, exceptions.InvalidResponse), Diagnosis("redis_host", _("is not Redis"))),
    (_kind(NoServer), Diagnosis("", _("is not known now"))),
    (_kind(OnlyTls), Diagnosis("redis_tls", _("speaks only TLS"), _("Set redis_tls to true."))),
    (_kind(CounterFull), _FULL),
    (
        _says("without any password configured"),
        Diagnosis("redis_password", _("has no password"), _("Remove redis_password, or give Redis one.")),
    ),
    (_kind(exceptions.AuthenticationError), Diagnosis("redis_password", _("refuses the password"))),
    (
        _kind(exceptions.NoPermissionError),
        Diagnosis(
            "redis_username",
            _("does not let this user count"),
            _("Allow it: ACL SETUSER NAME ~%(key)s +@connection +incr +incrby", **_KEY),
        ),
    ),
    (
        _kind(exceptions.ReadOnlyError, exceptions.MasterDownError),
        Diagnosis("redis_host", _("is a read-only replica"), _("Name its primary.")),
    ),
    (
        _kind(exceptions.OutOfMemoryError),
        Diagnosis("", _("has no memory left"), _("Raise its maxmemory, or choose a policy that evicts.")),
    ),
    (
        _says("WRONGTYPE", "value is not an integer"),
        Diagnosis("", _("has something other than a number at `%(key)s`", **_KEY), _("Delete or rename that key.")),
    ),
    (_says("would overflow"), _FULL),
    (
        _says("MISCONF"),
        Diagnosis("", _("cannot save its data to the disk and takes no writes"), _("See its log.")),
    ),
    (_says("NOREPLICAS"), Diagnosis("", _("has too few replicas to take writes"), _("Start its replicas."))),
    (_kind(exceptions.BusyLoadingError), Diagnosis("", _("is loading its data"))),
    (_says("max number of clients"), Diagnosis("", _("has too many connections"))),
    (_kind(exceptions.MovedError, exceptions.AskError, exceptions.ClusterDownError), _CLUSTER),
    (_says("not allowed in cluster mode"), _CLUSTER),
    (_says("DB index"), Diagnosis("redis_db", _("has no such database"))),
    (_kind(exceptions.ResponseError), Diagnosis("", _("answers with an error"))),
    (
        _says("mismatch", kind=ssl.SSLCertVerificationError),
        Diagnosis("redis_tls_name", _("has a certificate for another name"), _("Name it in redis_tls_name.")),
    ),
    (
        _kind(ssl.SSLCertVerificationError),
        Diagnosis("redis_ca_file", _("has a certificate that is not trusted"), _AUTHORITY),
    ),
    (
        _says("alert", "ALERT", "EOF occurred", kind=ssl.SSLError),  # it may close before its reason has arrived
        Diagnosis("redis_cert_file", _("refuses the certificate of the site, or the lack of one")),
    ),
    (_kind(HandshakeTimeout), Diagnosis("redis_tls", _("does not answer in TLS"), _("It may not speak TLS."))),
    (_kind(ssl.SSLError), Diagnosis("redis_tls", _("does not speak TLS"), _("Remove redis_tls."))),
    (_kind(socket.gaierror), Diagnosis("redis_host", _("has a host name that is not known"))),
    (_kind(ConnectionRefusedError), Diagnosis("redis_host", _("refused the connection"))),
    (_kind(FileNotFoundError), Diagnosis("redis_socket", _("has no such file"))),
    (_kind(PermissionError), Diagnosis("redis_socket", _("may not be reached by this process"))),
    (_kind(TimeoutError, exceptions.TimeoutError), Diagnosis("redis_host", _("does not answer in time"))),
    (_kind(exceptions.ConnectionError), LOST),
)

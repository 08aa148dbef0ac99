"""The probe: what a page does, without a number. It finds what a PING does not: a replica, a full memory, a right."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable
from contextlib import closing

from django.conf import settings
from redis.exceptions import RedisError

from .. import identity
from ..document.model import PLACES, RedisConfig
from ..document.parsing import Fault
from ..messages import Message, _
from . import COMMAND_TIMEOUT, CONNECT_TIMEOUT
from .diagnosis import LOST, CounterFull, NotRedis, OnlyTls, diagnose
from .finder import Finder
from .lazy import LazyClient
from .pool import CannotConnect, LostAtOnce
from .servers import NotFound, Seeker, Server, moves

_MOST_SECONDS = 3.0  # for all that a catalog names, which may be many
_LARGEST = 2**63 - 1  # https://redis.io/docs/latest/commands/incr/


def error_of(client: LazyClient) -> Exception | None:
    """Why this Redis cannot count, found by adding nothing: this creates a missing key as 0, and changes no other.

    The connection's deadline bounds it.
    """
    try:
        number = client.get().incrby(identity.COUNTER_KEY, 0)
    except (RedisError, OSError, ValueError) as error:  # ValueError: an address that the system rejects
        return explained(client, error)
    if not isinstance(number, int):
        return NotRedis("it does not answer INCRBY with a number")
    return CounterFull(f"{identity.COUNTER_KEY} is {number}") if number >= _LARGEST else None


def faults(config: RedisConfig, finder: Finder | None = None) -> list[Fault]:
    """Try the document's server, or those that it may be. Empty if one can count, else the faults of the first."""
    try:
        servers = _servers(config, finder)
    except NotFound as error:
        return [Fault(error.member, error.message)]
    _server, found = first_usable(config, servers)
    return found


def first_usable(config: RedisConfig, servers: Iterable[Server]) -> tuple[Server | None, list[Fault]]:
    """The first that can count, or None and what is wrong with the first of all."""
    found: list[Fault] = []
    deadline = time.monotonic() + _MOST_SECONDS
    for server in servers:
        if found and time.monotonic() > deadline:
            break
        client = LazyClient(config, server)
        try:
            error = error_of(client)
        finally:
            client.retire()
        if error is None:
            return server, []
        found = found or [fault_of(error, config, server)]
    return None, found


def find(config: RedisConfig, finder: Finder | None = None) -> Server:
    """The server of the document, without a probe where it can be only one. Raises `NotFound`."""
    servers = _servers(config, finder)
    if len(servers) == 1:
        return servers[0]
    return first_usable(config, servers)[0] or servers[0]


def _servers(config: RedisConfig, finder: Finder | None) -> list[Server]:
    """`finder` is that of this process, unless given; what a document names itself needs none."""
    if not moves(config):
        return Seeker(config).servers()
    with closing((finder or settings.CONFIGURATION.start.finder).seeker(config)) as seeker:
        return seeker.servers()


def fault_of(error: Exception, config: RedisConfig, server: Server) -> Fault:
    member = diagnose(error).member
    if member in PLACES:
        member = next(name for name in PLACES if getattr(config, name) is not None)
    return Fault(member, told(error, server))


def told(error: Exception, place: object) -> Message:
    """For people: what is wrong, and what to do."""
    text, remedy = what_is_wrong(error, place), diagnose(error).remedy
    return _("%(fault)s. %(remedy)s", fault=text, remedy=remedy) if remedy else text


def what_is_wrong(error: Exception, place: object) -> Message:
    """For people: also in Redis's own words."""
    known = {"place": place, "what": diagnose(error).what, "reason": str(error) or type(error).__name__}
    return _("the Redis at %(place)s %(what)s (%(reason)s)", **known)


def explained(client: LazyClient, error: Exception) -> Exception:
    """`OnlyTls`, if a new connection was lost for want of TLS, of which the server says no word; else the error."""
    server, config = client.server, client.config
    is_lost = isinstance(error, (CannotConnect, LostAtOnce)) and diagnose(error) == LOST
    if server is None or server.socket or config.redis_tls or not is_lost:
        return error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent that is worth protecting
    with contextlib.suppress(OSError), socket.create_connection((server.host, server.port), CONNECT_TIMEOUT) as plain:
        plain.settimeout(COMMAND_TIMEOUT)
        context.wrap_socket(plain).close()
        return OnlyTls(str(error))
    return error

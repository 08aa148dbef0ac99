"""Where gunicorn listens, as its master knows it and its workers inherit it: the default of address and port."""

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..consul_agent import services
from ..consul_agent.client import Client
from ..consul_agent.errors import Denied, Unreachable

_ROUTED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # for documentation: nobody is there
_ANY_PORT = 9


class Bound(NamedTuple):
    """A TCP address and port that this instance listens on."""

    address: str
    port: int

    @property
    def is_wildcard(self) -> bool:
        """Whether it listens on every address of the machine: 0.0.0.0 or [::]."""
        try:
            return ipaddress.ip_address(self.address).is_unspecified
        except ValueError:
            return False

    @property
    def local_url(self) -> str:
        """Where a process of this machine reaches the instance."""
        loopback = "::1" if ":" in self.address else "127.0.0.1"
        address = loopback if self.is_wildcard else self.address
        return f"http://[{address}]:{self.port}" if ":" in address else f"http://{address}:{self.port}"


_bound: Bound | None = None


def remember(listeners: Iterable[Any]) -> None:
    """Keep the first TCP address of gunicorn's listening sockets."""
    global _bound
    names = [listener.getsockname() for listener in listeners]
    tcp = [Bound(name[0], name[1]) for name in names if isinstance(name, tuple)]
    _bound = tcp[0] if tcp else None


def bound() -> Bound | None:
    """Where this instance listens; None outside gunicorn and on a Unix socket."""
    return _bound


def reachable_address(client: Client, where: Bound) -> str:
    """The address at which others reach an instance that listens on all: the one that the local agent advertises.

    An agent on another machine, or one that refuses to tell, leaves the address of the route to it, or of the
    default route. Raises `ConsulError` when the agent cannot be asked, or there is no route.
    """
    agent = client.address
    if _is_loopback(agent.host):
        try:
            return services.advertised_address(client)
        except Denied:
            family = socket.AF_INET6 if ":" in where.address else socket.AF_INET
            found = _source_address(_ROUTED[family], _ANY_PORT)
    else:
        found = _source_address(agent.host, agent.port)
    if found is None:
        raise Unreachable("This instance listens on every address and has a route to nobody. Set SERVICE_ADDRESS.")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _source_address(host: str, port: int) -> str | None:
    """The address that this machine would send from. Connecting a UDP socket chooses it and sends nothing."""
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return None

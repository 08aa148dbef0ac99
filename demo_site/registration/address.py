"""The address at which others reach an instance that listens on every address of its machine."""

import ipaddress
import socket

from ..consul_agent import services
from ..consul_agent.client import Client
from ..consul_agent.errors import Denied, Unreachable
from ..instance.listeners import Bound
from ..messages import _

_ROUTED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # for documentation: nobody is there
_ANY_PORT = 9


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
        raise Unreachable(_("This instance listens on every address and has no route. Set SERVICE_ADDRESS."))
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

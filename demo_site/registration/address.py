"""The address at which others reach an instance that listens on all addresses of its machine."""

import socket

from ..consul_agent import services
from ..consul_agent.address import is_loopback
from ..consul_agent.client import Client
from ..consul_agent.errors import Denied, Unreachable
from ..instance.listeners import Bound
from ..messages import _

_DEFAULT_ROUTED = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # reserved for documentation
_ANY_PORT = 9


def reachable_address(client: Client, where: Bound) -> str:
    """The address that the local agent advertises, or the source address of a route.

    The route is the one to an agent on another machine, or the default route if the token lacks the right to ask a
    local agent. Raises `ConsulError` when the agent does not answer, or there is no route.
    """
    agent = client.address
    if not is_loopback(agent.host):
        return _source_address(agent.host, agent.port)
    try:
        return services.advertised_address(client)
    except Denied:
        family = socket.AF_INET6 if ":" in where.address else socket.AF_INET
        return _source_address(_DEFAULT_ROUTED[family], _ANY_PORT)


def _source_address(host: str, port: int) -> str:
    """The address that this machine would send from. Connecting a UDP socket selects it and sends nothing."""
    try:
        family, *_rest, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        message = _("This instance listens on every address and has no route. Set SERVICE_ADDRESS.")
        raise Unreachable(message) from None

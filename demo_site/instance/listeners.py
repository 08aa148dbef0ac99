"""Where gunicorn listens: the default of the registered address and port."""

import ipaddress
from collections.abc import Iterable
from typing import Any, NamedTuple


class Bound(NamedTuple):
    """A TCP address and port that this instance listens on, and whether it speaks HTTP or HTTPS there."""

    address: str
    port: int
    scheme: str = "http"

    @property
    def is_wildcard(self) -> bool:
        """Whether it listens on every address of the machine: 0.0.0.0 or [::]."""
        try:
            return ipaddress.ip_address(self.address).is_unspecified
        except ValueError:
            return False

    @property
    def local_url(self) -> str:
        """The URL at which a process of this machine reaches the instance."""
        loopback = "::1" if ":" in self.address else "127.0.0.1"
        address = loopback if self.is_wildcard else self.address
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}"


_bound: Bound | None = None
runserver_port: int | None = None  # it does not show its socket


def remember(listeners: Iterable[Any], is_tls: bool = False) -> None:
    """Store the first TCP address of gunicorn's listening sockets."""
    expect([listener.getsockname() for listener in listeners], is_tls)


def expect(addresses: Iterable[Any], is_tls: bool) -> None:
    """Store the first TCP address of those that gunicorn is told to listen on, until it does."""
    global _bound
    scheme = "https" if is_tls else "http"
    _bound = next((Bound(name[0], name[1], scheme) for name in addresses if isinstance(name, tuple)), None)


def bound() -> Bound | None:
    """Where this instance listens; None outside gunicorn and on a Unix socket."""
    return _bound

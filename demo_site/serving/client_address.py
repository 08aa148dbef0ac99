"""Whose request it is: the client's address, which a trusted proxy in front may give."""

import ipaddress

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(request: HttpRequest) -> str | None:
    """The address as text: the last one that somebody trusted gives. None: a Unix socket, and no word of a proxy.

    X-Forwarded-For is read from its end, where the nearest proxy writes, and only as long as FORWARDED_ALLOW_IPS has
    the one that wrote: what stands before may be the client's own invention.
    """
    address = _address(request.META.get("REMOTE_ADDR") or "")
    for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        forwarded = _address(hop) if _is_trusted(address) else None
        if forwarded is None:
            break
        address = forwarded
        if settings.ENVIRONMENT["FORWARDED_ALLOW_IPS"] is None:  # "*": the proxy that connects, whatever its address
            break
    return None if address is None else str(address)


def shown_address(request: HttpRequest | None) -> str:
    """The client's address for the log."""
    return (request and client_address(request)) or "this machine"


def _is_trusted(address: Address | None) -> bool:
    """As for gunicorn, who may open the Unix socket is trusted."""
    networks = settings.ENVIRONMENT["FORWARDED_ALLOW_IPS"]
    return address is None or networks is None or any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """Some proxies add the port: `192.0.2.1:5000`, `[2001:db8::1]:5000`. A zone (`%eth0`) means nothing elsewhere."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found

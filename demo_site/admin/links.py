"""Links out of the admin: an address that this machine knows need not lead there from that of who visits it."""

from urllib.parse import urlsplit

from ..consul_agent.address import is_loopback


def reach(host: str, visited: str) -> bool:
    """Whether `host` is the same for this site and for who visits it at `visited`."""
    return is_loopback(urlsplit(f"//{visited}").hostname or "") or not is_loopback(host)

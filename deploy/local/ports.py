"""Free ports on the loopback interface."""

import socket
from collections.abc import Callable


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port, TCP and UDP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As servers do, so that connections of an earlier server in TIME_WAIT do not matter.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


_given: set[int] = set()  # already chosen: their servers may not listen yet


def choose(preferred: int, purpose: str, say: Callable[[str], None], host: str = "127.0.0.1") -> int:
    """The preferred port, or the next free one above it, which is printed."""
    candidates = (port for port in range(preferred, min(preferred + 200, 65536)) if port not in _given)
    port = next((port for port in candidates if is_free(port, host)), None)
    if port is None:
        raise OSError(f"no free port from {preferred} upwards for {purpose}")
    _given.add(port)
    if port != preferred:
        say(f"Port {preferred} is taken: {purpose} uses port {port}.")
    return port

"""Free ports on loopback that no outgoing connection takes meanwhile."""

import itertools
import os
import random
import socket

# Below the range from which Linux (32768) and macOS (49152) take the ports of outgoing connections.
LOWEST, HIGHEST = 20_000, 32_000

# Those of this process: pytest-xdist runs several, which number themselves.
_MINE = range(
    LOWEST + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")),
    HIGHEST,
    int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")),
)
# Each once before any comes again: nobody listens yet on a port that was just given. The order is set here, because
# pytest-randomly seeds `random` with the same value before each fixture and test.
_PORTS = itertools.cycle(random.sample(_MINE, len(_MINE)))


def _is_free(port):
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                with socket.socket(family, kind) as probe:
                    probe.bind((host, port))
            except OSError as error:
                if family == socket.AF_INET or "in use" in str(error):
                    return False
    return True


def free_port():
    """A port that nothing uses on 127.0.0.1 and ::1, for TCP and for UDP."""
    return next(filter(_is_free, _PORTS))

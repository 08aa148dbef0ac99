"""HTTP requests to servers on this machine."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable

# Without proxies: these requests never leave the machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def request(url: str, *, method: str = "GET", body: bytes | None = None, timeout: float = 3.0) -> tuple[int, bytes]:
    """Status and body of the response, whatever the status; (0, reason) if there is no HTTP response."""
    asked = urllib.request.Request(url, data=body, method=method)  # noqa: S310 (the callers' own servers)
    try:
        with _OPENER.open(asked, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True

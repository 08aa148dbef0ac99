"""Health checks of the own instance, for TTL checks and the first status of a registration."""

import urllib.error
import urllib.request
from typing import NamedTuple

_MOST_BYTES = 4096  # Consul truncates a check's output to this size


class Verdict(NamedTuple):
    """The status of a Consul check, passing or critical, and its output for people."""

    status: str
    output: str


def ask(url: str, timeout: float) -> Verdict:
    """Critical unless there is an answer of success within `timeout` seconds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as response:
            return Verdict("passing", response.read(_MOST_BYTES).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return Verdict("critical", error.read(_MOST_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        return Verdict("critical", f"{url} gives no answer: {error}")

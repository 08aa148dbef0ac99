"""What the instance says of itself: asked by the one who keeps its registration."""

import urllib.error
import urllib.request
from typing import NamedTuple

_MOST_BYTES = 4096  # Consul keeps as much of a check's output


class Verdict(NamedTuple):
    """As a Consul check has it: passing or critical, and a text for people."""

    status: str
    output: str


def ask(url: str, timeout: float) -> Verdict:
    """Critical when the answer is not a success, or does not come within `timeout` seconds."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as response:
            return Verdict("passing", response.read(_MOST_BYTES).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return Verdict("critical", error.read(_MOST_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError, urllib.error.URLError) as error:
        return Verdict("critical", f"{url} gives no answer: {error}")

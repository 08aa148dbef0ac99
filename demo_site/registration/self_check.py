"""Health checks of the own instance, for TTL checks and the first status of a registration."""

import ssl
import urllib.error
import urllib.request
from typing import NamedTuple

from ..consul_agent.durations import seconds
from .definition import ServiceDefinition

_MOST_BYTES = 4096  # Consul truncates a check's output to this size


class CheckResult(NamedTuple):
    """The status of a Consul check, passing or critical, and its output for people."""

    status: str
    output: str


def ready(definition: ServiceDefinition, own_url: str = "") -> CheckResult:
    """Whether the instance gets traffic. `own_url` is where this process reaches it, if not where others do."""
    if definition.check_url:
        return _ask(definition.check_url, definition, verifies=not definition.tls_skip_verify)
    return _ask(f"{own_url or definition.base_url}/readyz", definition)


def live(definition: ServiceDefinition, own_url: str = "") -> CheckResult:
    """Whether the instance lives."""
    return _ask(f"{own_url or definition.base_url}/livez", definition)


def _ask(url: str, definition: ServiceDefinition, verifies: bool = False) -> CheckResult:
    """Critical unless there is an answer of success in time. The own certificate proves nothing to the instance."""
    tls = urllib.request.HTTPSHandler(context=None if verifies else _unverified())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)
    host = {"Host": definition.check_host} if definition.check_host else {}
    try:
        request = urllib.request.Request(url, headers=host)  # noqa: S310 (http or https, by the definition's rules)
        with opener.open(request, timeout=seconds(definition.timeout)) as response:
            return CheckResult("passing", response.read(_MOST_BYTES).decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return CheckResult("critical", error.read(_MOST_BYTES).decode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        return CheckResult("critical", f"{url} gives no answer: {error}")


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

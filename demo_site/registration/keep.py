"""Keeping the registration: a loop that compares the agent's entry with the desired one and repairs a difference."""

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from ..consul_agent import services
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..durations import seconds
from .definition import ServiceDefinition
from .register import is_registered

LOOK_SECONDS = 1.0
MOST_BACKOFF_SECONDS = 5.0

logger = logging.getLogger(__name__)


def keep(open_client: Callable[[], Client], definition: ServiceDefinition) -> Iterator[float]:
    """Each step makes the agent's entry the desired one and yields the seconds to wait before the next. Never ends."""
    backoff = LOOK_SECONDS
    while True:
        try:
            client = open_client()
            try:
                _step(client, definition)
            finally:
                client.close()
            backoff = LOOK_SECONDS
            yield min(LOOK_SECONDS, seconds(definition.interval))
        except ConsulError as error:
            logger.warning("The registration of %s cannot be kept: %s", definition.id, error)
            yield backoff
            backoff = min(backoff * 2, MOST_BACKOFF_SECONDS)


def run(steps: Iterator[float], stop: threading.Event) -> None:
    """Step until `stop` is set."""
    for pause in steps:
        if stop.wait(pause):
            return


def _step(client: Client, definition: ServiceDefinition) -> None:
    if not is_registered(client, definition):
        services.register(client, definition.payload())
        logger.info("Registered %s with Consul", definition.id)
    if definition.check == "ttl":
        beat(client, definition)


def beat(client: Client, definition: ServiceDefinition) -> None:
    """Bring the TTL checks up to date: the verdict of `/readyz` and of `/livez`."""
    for check_id, url in (
        (definition.ready_check_id, definition.check_url or f"{definition.base_url}/readyz"),
        (definition.live_check_id, f"{definition.base_url}/livez"),
    ):
        status, output = _verdict(url, seconds(definition.timeout))
        services.beat(client, check_id, status, output)


def _verdict(url: str, timeout: float) -> tuple[str, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout) as response:
            return "passing", response.read(4096).decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return "critical", error.read(4096).decode("utf-8", "replace")
    except OSError as error:
        return "critical", f"{url} cannot be reached: {error}"

"""One line each on Consul, Redis and the document, for the admin."""

from dataclasses import dataclass

from django.utils import timezone

from .config.effective import Masker
from .config.live import Live
from .consul_agent import kv
from .consul_agent.client import Client, Timeouts
from .consul_agent.errors import ConsulError
from .health import redis_state

_QUICK = Timeouts(connect=0.5, read=1.0)  # a page must come up while Consul hangs


@dataclass(frozen=True)
class Line:
    """`what` is Consul, Redis or Document; `text` says how it is and what to do."""

    what: str
    good: bool
    text: str


def lines(live: Live) -> list[Line]:
    """Ask Consul and Redis now, each for a second at most."""
    return [_consul(live), _redis(live), _document(live)]


def _consul(live: Live) -> Line:
    client = Client(live.start.address, _QUICK)
    try:
        kv.query(client, live.start.environment["DEMO_CONFIG_KEY"])
    except ConsulError as error:
        return Line("Consul", False, f"{error} The configuration in force stays as it is.")
    finally:
        client.close()
    return Line("Consul", True, f"reachable at {client.address.url}")


def _redis(live: Live) -> Line:
    state = redis_state(live.in_force)
    config = live.in_force.document.redis_config
    place = f"{config.redis_host}:{config.redis_port}, database {config.redis_db}"
    if state["ok"]:
        return Line("Redis", True, f"reachable at {place}")
    return Line("Redis", False, f"out of reach at {place}: {Masker([]).clean(state['error'])}. Pages answer 503.")


def _document(live: Live) -> Line:
    loaded, state = live.in_force.loaded, live.status
    since = timezone.localtime(loaded.loaded_at).strftime("%Y-%m-%d %H:%M:%S %Z")
    reason = f": {state.reason}" if state.reason else ""
    return Line(
        "Document", state.state in ("current", "file"), f"{state.state}{reason}; {loaded.origin}, loaded {since}"
    )

"""This serving process as one of the fleet: starts its publisher, and says whether it is published."""

import atexit
import os
import threading
from datetime import UTC, datetime

from ..config.live import Live
from ..config.revision import timestamp
from ..instance import worker_count
from ..messages import Message, _
from ..registration import membership
from ..registration.definition import DefinitionInvalid, instance_id
from .publisher import Publisher
from .worker import Worker, key

_publisher: Publisher | None = None
_off = _("this process serves no requests")


def publish(live: Live) -> None:
    """Publish this worker from now to its exit. To be called once in each serving process, after the fork.

    A worker that runs on a file asks for no Consul, so it publishes itself only where its instance is in Consul anyway.
    """
    global _publisher, _off
    environment = live.start.environment
    if live.in_force.revision.kind == "file" and not environment.get("CONSUL_REGISTER"):
        _off = _("this worker runs on a file and does not use Consul (CONSUL_REGISTER would)")
        return
    try:
        instance = instance_id(environment)
    except DefinitionInvalid as error:
        _off = _("this instance has no usable id: %(reason)s", reason=error.message)
        return
    started_at = timestamp(datetime.now(UTC))
    _publisher = Publisher(
        lambda: _describe(live, instance, started_at),
        live.start.open_client,
        key(live.start.key, instance, os.getpid()),
    )
    live.listeners.append(_publisher.change)
    threading.Thread(target=_publisher.run, name="fleet-publisher", daemon=True).start()
    atexit.register(_publisher.leave)


def trouble() -> Message | None:
    """Why this worker is not published, for people; None while it is."""
    return _publisher.trouble if _publisher else _off


def _describe(live: Live, instance: str, started_at: str) -> Worker:
    status = live.status
    return Worker(
        instance=instance,
        pid=os.getpid(),
        started_at=started_at,
        index=live.in_force.revision.index,
        state=status.state,
        reason=status.reason,
        workers=worker_count.workers(),
        seen_at=timestamp(datetime.now(UTC)),
        registers=membership.current is not None,
    )

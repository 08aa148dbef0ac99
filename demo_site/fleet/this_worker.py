"""This serving process as a member of the fleet: starts its publisher and reports the publisher's trouble."""

import atexit
import functools
import os
import threading
from datetime import UTC, datetime

from ..config.live import Live
from ..config.revision import timestamp
from ..instance import worker_count
from ..messages import Message, _
from ..registration import membership
from ..registration.definition import DefinitionInvalid, instance_id, instance_place
from .publisher import Publisher
from .worker import Worker, key

_publisher: Publisher | None = None
_not_publishing = _("this process serves no requests")


def publish(live: Live) -> None:
    """Publish this worker until it exits. Call it once in each serving process, after the fork.

    A worker that runs on a file does not need Consul, so it publishes itself only if its instance is registered there.
    """
    global _publisher, _not_publishing
    environment = live.start.environment
    if live.in_force.revision.kind == "file" and not environment["CONSUL_REGISTER"]:
        _not_publishing = _("this worker runs on a file and does not use Consul, because CONSUL_REGISTER is off")
        return
    try:
        instance = instance_id(environment)
    except DefinitionInvalid as error:
        _not_publishing = _("this instance has no usable id: %(reason)s", reason=error.message)
        return
    describe = functools.partial(_describe, live, instance)
    _publisher = Publisher(describe, live.start.open_client, key(live.start.key, instance, os.getpid()))
    live.listeners.append(_publisher.change)
    threading.Thread(target=_publisher.run, name="fleet-publisher", daemon=True).start()
    atexit.register(_publisher.leave)


def trouble() -> Message | None:
    """Why this worker is not published, for people; None while it is."""
    return _publisher.trouble if _publisher else _not_publishing


def _describe(live: Live, instance: str) -> Worker:
    status = live.status
    address, port = instance_place(live.start.environment)
    return Worker(
        instance=instance,
        pid=os.getpid(),
        started_at=timestamp(live.process_started_at),
        index=live.in_force.revision.index,
        state=status.state,
        reason=status.reason,
        workers=worker_count.workers(),
        seen_at=timestamp(datetime.now(UTC)),
        registers=membership.current is not None,
        address=address,
        port=port,
        rejected=status.rejected.index if status.rejected else None,
    )

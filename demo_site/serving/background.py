"""What every serving process runs beside the requests."""

import threading
import time

from django.conf import settings

from .. import metrics
from ..config import watcher
from ..config.follower import Follower
from ..config.live import Live
from ..config.server_watch import ServerWatch
from ..fleet import this_worker
from ..metrics import pulse
from .imports import import_for_requests


def start() -> None:
    """Follow the configuration and publish this worker. Call it once in each serving process, after the fork."""
    import_for_requests()
    live: Live = settings.CONFIGURATION
    live.serve()
    server_watch = ServerWatch(live)
    live.on_replaced = server_watch.ensure
    server_watch.ensure()
    if live.in_force.revision.kind == "file":
        metrics.publish(live)
    else:
        follower = Follower(live)
        follower.prove(watcher.WAIT_SECONDS)
        threading.Thread(target=watcher.run, args=(follower,), name="configuration-watch", daemon=True).start()
    threading.Thread(target=_take_pulse, name="pulse", daemon=True).start()
    this_worker.publish(live)


def _take_pulse() -> None:
    while True:
        time.sleep(pulse.seconds_until_due())
        metrics.take_pulse()

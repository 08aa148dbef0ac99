"""The settings of the production server: `gunicorn demo_site.asgi` reads this file. Command-line flags win over it.

https://docs.gunicorn.org/en/stable/settings.html
"""

import multiprocessing
import os
from typing import Any

from demo_site import startup

bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8000"

# An event loop in each worker (docs/decisions/serving.md); several workers, because each has one interpreter lock.
worker_class = "demo_site.serving.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(multiprocessing.cpu_count(), 4))

# The master reads the configuration once, before any worker exists. A start without one ends there, with one message
# and the condition's exit status; a replaced worker inherits the configuration in force and asks nobody. The workers
# also share the memory of the code.
preload_app = True
startup.gunicorn_master = os.getpid()

timeout = 30
graceful_timeout = 30
keepalive = 5
logger_class = "demo_site.serving.gunicorn_log.GunicornLog"
accesslog = None  # "-" turns it on; a line takes some 40 us of CPU, because it is masked, too
control_socket_disable = True  # it would be created in the home folder, which may be read-only


def when_ready(server: Any) -> None:
    """In the master: SIGTERM first makes the instance leave (docs/decisions/leaving.md)."""
    from django.conf import settings

    from demo_site.instance import leaving
    from demo_site.registration import membership

    membership.prepare(server, leaving.prepare(server, settings.ENVIRONMENT["SERVICE_DRAIN_SECONDS"]))


def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
    """In the master: the workers publish how many there should be."""
    from demo_site.instance import worker_count

    worker_count.remember(new_value)


def post_worker_init(worker: Any) -> None:
    """In the worker, because threads do not survive a fork: start what runs beside the requests."""
    from demo_site.instance import listeners
    from demo_site.registration import membership
    from demo_site.serving import background

    listeners.remember(worker.sockets, worker.cfg.is_ssl)
    background.start()
    if membership.current:
        membership.current.start_keeper()


def pre_exec(server: Any) -> None:
    """On SIGUSR2: the new master takes over the listening sockets, and the registration, which has the same id."""
    from demo_site.instance import leaving

    if leaving.current:
        leaving.current.hand_over()


def on_exit(server: Any) -> None:
    """In the master, after its workers, however they ended: deregister the instance."""
    from demo_site.registration import membership

    if membership.current:
        membership.current.deregister()

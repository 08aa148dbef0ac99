"""The production start: `gunicorn demo_site.asgi` reads this file by itself. Command-line flags win over it.

https://docs.gunicorn.org/en/stable/settings.html
"""

import multiprocessing
import os
from typing import Any

bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8000"

# An event loop in each worker (docs/decisions/serving.md); a few workers, because each has one interpreter lock.
worker_class = "demo_site.serving.worker.Worker"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(multiprocessing.cpu_count(), 4))

# The master reads the configuration once, before any worker exists. A start without one ends there, with one message;
# a worker that is replaced later inherits what is in force and asks nobody. It also shares the memory of the code.
preload_app = True

timeout = 30
graceful_timeout = 30
keepalive = 5
accesslog = None  # "-" turns it on; a line per request costs about a tenth of the speed
control_socket_disable = True  # it would be made under the home folder, which may be read-only


def when_ready(server: Any) -> None:
    """With CONSUL_REGISTER: SIGTERM first takes the instance out of the catalog (docs/decisions/leaving.md)."""
    from demo_site.registration import membership

    membership.prepare(server)


def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
    """In the master: every worker publishes how many there should be."""
    from demo_site.instance import worker_count

    worker_count.remember(new_value)


def post_worker_init(worker: Any) -> None:
    """What runs beside the requests: in the worker, because threads do not survive a fork."""
    from demo_site.instance import listeners
    from demo_site.registration import membership
    from demo_site.serving import background

    listeners.remember(worker.sockets)
    background.start()
    membership.start_keeper()


def pre_exec(server: Any) -> None:
    """SIGUSR2: the new master keeps the registration, which has the same id."""
    from demo_site.registration import membership

    membership.hand_over()


def on_exit(server: Any) -> None:
    """However it ends, with the workers gone the entry goes too."""
    from demo_site.registration import membership

    membership.leave_at_last()

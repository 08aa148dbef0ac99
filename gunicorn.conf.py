"""The production start: `gunicorn demo_site.wsgi` reads this file by itself. Command-line flags win over it.

https://docs.gunicorn.org/en/stable/settings.html
"""

import multiprocessing
import os
import sys
from typing import Any

bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8000"

# Threads, because a request waits for one Redis reply; a few processes, because each has one interpreter lock.
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(multiprocessing.cpu_count(), 4))
threads = 8

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

    _refuse_late_gevent(server)
    membership.prepare(server)


def _refuse_late_gevent(server: Any) -> None:
    """The site is loaded by now, and a lock that gevent has not patched stops the whole worker once two wait for it."""
    if "gevent" not in server.cfg.worker_class_str:  # its name, or the path of its class
        return
    from gevent import monkey

    if not monkey.is_module_patched("threading"):
        server.log.critical(
            "gevent must patch before the site is loaded: "
            "begin gunicorn.conf.py with `from gevent import monkey; monkey.patch_all()`."
        )
        sys.exit(os.EX_CONFIG)


def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
    """In the master: every worker publishes how many there should be."""
    from demo_site.instance import worker_count

    worker_count.remember(new_value)


def pre_fork(server: Any, worker: Any) -> None:
    """In the master, which knows the others: the CPU that a new worker keeps to."""
    from demo_site.serving import affinity

    worker.cpu = None
    if os.environ.get("GUNICORN_CPU_AFFINITY") != "off":
        taken = [getattr(other, "cpu", None) for other in server.WORKERS.values()]
        worker.cpu = affinity.choose(server.num_workers, taken)


def post_fork(server: Any, worker: Any) -> None:
    """In the worker, before it has threads."""
    from demo_site.serving import affinity

    affinity.pin_to(worker.cpu)


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

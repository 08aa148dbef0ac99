"""The settings of the production server: `gunicorn demo_site.wsgi` reads this file. Command-line flags win over it.

https://docs.gunicorn.org/en/stable/settings.html
"""

import multiprocessing
import os
import sys
from typing import Any

bind = os.environ.get("GUNICORN_BIND") or "127.0.0.1:8000"

# Threads, because each request waits for Redis once; several processes, because each has one interpreter lock.
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY") or min(multiprocessing.cpu_count(), 4))
threads = 8

# The master reads the configuration once, before any worker exists. A start without one ends there, with one message;
# a replaced worker inherits the configuration in force and asks nobody. The workers also share the memory of the code.
preload_app = True

timeout = 30
graceful_timeout = 30
keepalive = 5
accesslog = None  # "-" turns it on; a line per request costs about a tenth of the speed
control_socket_disable = True  # it would be created in the home folder, which may be read-only


def when_ready(server: Any) -> None:
    """In the master: with CONSUL_REGISTER, SIGTERM first deregisters the instance (docs/decisions/leaving.md)."""
    from demo_site.registration import membership

    _refuse_late_gevent(server)
    membership.prepare(server)


def _refuse_late_gevent(server: Any) -> None:
    """The site is loaded by now: a lock that gevent has not patched stops the whole worker once two wait for it."""
    if "gevent" not in server.cfg.worker_class_str:  # the name, or the path of the class
        return
    from gevent import monkey

    if not monkey.is_module_patched("threading"):
        server.log.critical(
            "gevent must patch before the site is loaded: "
            "begin gunicorn.conf.py with `from gevent import monkey; monkey.patch_all()`."
        )
        sys.exit(os.EX_CONFIG)


def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
    """In the master: the workers publish how many there should be."""
    from demo_site.instance import worker_count

    worker_count.remember(new_value)


def pre_fork(server: Any, worker: Any) -> None:
    """In the master, which knows the other workers: choose the CPU of a new one."""
    from demo_site.serving import affinity

    worker.cpu = None
    if os.environ.get("GUNICORN_CPU_AFFINITY") != "off":
        taken = [getattr(other, "cpu", None) for other in server.WORKERS.values()]
        worker.cpu = affinity.choose(server.num_workers, taken)


def post_fork(server: Any, worker: Any) -> None:
    """In the worker, before it has threads: pin it to its CPU."""
    from demo_site.serving import affinity

    affinity.pin_to(worker.cpu)


def post_worker_init(worker: Any) -> None:
    """In the worker, because threads do not survive a fork: start what runs beside the requests."""
    from demo_site.instance import listeners
    from demo_site.registration import membership
    from demo_site.serving import background

    listeners.remember(worker.sockets)
    background.start()
    if membership.current:
        membership.current.start_keeper()


def pre_exec(server: Any) -> None:
    """On SIGUSR2: the new master takes over the registration, which has the same id."""
    from demo_site.registration import membership

    if membership.current:
        membership.current.hand_over()


def on_exit(server: Any) -> None:
    """In the master, after its workers, however they ended: deregister the instance."""
    from demo_site.registration import membership

    if membership.current:
        membership.current.deregister()

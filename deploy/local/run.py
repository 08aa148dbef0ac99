"""`make run`: starts everything that the site needs on this machine; Ctrl-C stops all that it started.

Its data is under `.local/`: the key-value store, the counter, the database, the admin's password.
"""

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

import consul_server
import django_site
import environment
import locks
import ports
import redis_server
from consul_server import Consul
from django_site import ADMIN, InvalidDocument, Site
from private import keep_private
from processes import Failed, Process, Session
from servers import ServerNotFound, find_consul, find_redis

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
PASSWORD = LOCAL / "admin-password"
TEMPLATE = Path(__file__).with_name("document.json")
SITE_PORT = 8000
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """The exit status: 0 after a signal to stop."""
    session = Session()
    try:
        _on_stop(_interrupt)
        with _run_lock() as lock:
            _run(session, lock)
    except KeyboardInterrupt:
        say("Stopping")
        return 0
    except (Failed, ServerNotFound, OSError) as reason:
        say(f"FAILED: {reason}")
        return 1
    finally:
        # A second Ctrl-C must not leave processes behind; each step of the shutdown is bounded in time.
        _on_stop(lambda number, frame: None)
        session.close()


def say(text: str) -> None:
    """Print one step. A closed terminal must not stop the script."""
    with contextlib.suppress(OSError):
        print(f"==> {text}", flush=True)


def _run(session: Session, lock: TextIO) -> NoReturn:
    if ignored := sorted(filter(django_site.leads_elsewhere, os.environ)):
        say(f"Everything runs on this machine; these environment variables are ignored: {', '.join(ignored)}.")
    python = environment.provide(ROOT, locks.current(ROOT, ["requirements.txt"]), say)
    consul = consul_server.provide(partial(find_consul, LOCAL / "cache", say), LOCAL, session, say)
    site = Site(ROOT, python, ports.choose(SITE_PORT, "the site", say), f"127.0.0.1:{consul.port}")
    _prepare(site, consul, session)
    password = site.create_admin(PASSWORD)
    say("Starting the site")
    server = site.start(session)
    session.callback(_deregister, site)
    say("Registering the service")
    site.register()
    places = _places(site, consul, password)
    _show(places)
    lock.write(places)
    lock.flush()
    _watch(server, session)


def _prepare(site: Site, consul: Consul, session: Session) -> None:
    """Document, Redis and database. While the document is invalid, wait until somebody corrects it."""
    while True:
        document = _document(consul)
        redis = redis_server.provide(document, consul, partial(find_redis, LOCAL / "cache", say), LOCAL, session, say)
        say("Migrating the database")
        try:
            return site.migrate()
        except InvalidDocument as faults:
            say(str(faults))
            say(f"Correct the document at {consul.editor}: the start continues as soon as it changes. Ctrl-C stops.")
        while consul.document() == document:
            time.sleep(1)
        if redis:
            redis.stop()


def _document(consul: Consul) -> bytes:
    """The document; stored first if the key is missing."""
    while (document := consul.document()) is None:
        say(f"Storing the document `{consul_server.KEY}`")
        consul.put_if_missing(redis_server.first_document(TEMPLATE.read_bytes(), say))
    return document


def _places(site: Site, consul: Consul, password: str | None) -> str:
    known = f"password {password}" if password else "with the password that you gave it"
    kept = f"\n  Password   kept in {PASSWORD.relative_to(ROOT)}" if password else ""
    return (
        f"\n  Page       {site.url}/"
        f"\n  Admin      {site.url}/admin/   user {ADMIN}, {known}{kept}"
        f"\n  Consul UI  {consul.url}/ui/"
        f"\n  Stop       Ctrl-C; the next `make run` continues with the same data\n"
    )


def _show(text: str) -> None:
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _watch(server: Process, session: Session) -> NoReturn:
    """Report a server that ends. The end of the site is a failure. Raises Failed."""
    has_terminal = os.isatty(0)
    while not server.has_ended():
        # A closed terminal sends SIGHUP to its session leader only. If that is make, which does not pass the signal
        # on, the lost terminal is the only sign.
        if has_terminal and not os.isatty(0):
            raise KeyboardInterrupt
        for process in session.newly_ended():
            say(f"{process.name} has ended. To start it again, press Ctrl-C and run `make run`.")
        time.sleep(0.5)
    raise Failed("The site has ended; its messages are above.")


def _deregister(site: Site) -> None:
    say("Deregistering the service")
    done = site.deregister()
    if done.status:
        say(f"The service could not be deregistered: {done.output}")


@contextlib.contextmanager
def _run_lock() -> Iterator[TextIO]:
    """Holds the lock that prevents a second `make run` on the same data; its file says where all is. Raises Failed."""
    os.umask(0o077)  # for the servers too
    keep_private(LOCAL)
    (LOCAL / "log").mkdir(exist_ok=True)
    with (LOCAL / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            _show(lock.read())
            raise Failed("`make run` is already running in this checkout. Stop it first, or use that one.") from None
        lock.truncate(0)
        yield lock


def _on_stop(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in STOPS:
        # nohup ignores SIGHUP: then a lost terminal must not stop the script
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    _on_stop(lambda number, frame: None)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

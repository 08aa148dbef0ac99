"""The registration of an instance under gunicorn: one worker keeps it up, and it ends before the instance stops.

docs/decisions/leaving.md gives the reasons. gunicorn.conf.py calls `prepare` and the methods of `current`.
"""

import functools
import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from django.conf import settings

from ..consul_agent import services
from ..consul_agent.client import Timeouts
from ..consul_agent.errors import ConsulError
from ..instance import listeners, memory
from ..instance.latch import Latch
from ..messages import _
from .address import reachable_address
from .definition import DefinitionInvalid, address_is_open, define
from .keep import Keeper

ELECTION_SECONDS = 0.7  # between two attempts of a worker to become the keeper
_QUICK = Timeouts(connect=0.5, read=1.0)  # for an exit, which a hanging Consul must not delay
# Offsets in the memory: the keeper's lock and, in that byte, whether it has deregistered; a new master's pid.
_KEEPER, _SUCCESSOR = 0, 8

logger = logging.getLogger(__name__)


class Membership:
    """The state that master and workers share for one registration. Create it in the master, before any fork."""

    def __init__(self, drain_seconds: float, predecessor: int) -> None:
        self._master_pid = os.getpid()
        self._predecessor = predecessor
        self._drain_seconds = drain_seconds
        self._memory = memory.SharedMemory(16)
        self._leaving = Latch()

    # In the master, which has no threads: they would not survive its forks.

    def leave_before_stopping(self) -> None:
        """On SIGTERM, leave the catalog and let the drain time pass before gunicorn's own handler runs."""
        stop: Any = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda _number, frame: stop(signal.SIGTERM, frame))

        def leave(number: int, frame: Any) -> None:
            is_first = os.getpid() == self._master_pid and not self._leaving.is_set
            if is_first and not self._is_one_of_two():
                self._leaving.set()
                signal.setitimer(signal.ITIMER_REAL, max(self._drain_seconds, 0.001))
            else:
                signal.setitimer(signal.ITIMER_REAL, 0)
                stop(number, frame)

        signal.signal(signal.SIGTERM, leave)

    def deregister(self) -> None:
        """Deregister when the workers have ended, unless the keeper has done so or another master needs the entry."""
        if not self._memory.data[_KEEPER] and not self._is_one_of_two():
            client = settings.CONFIGURATION.start.open_client(_QUICK)
            try:
                services.deregister(client, define(settings.ENVIRONMENT).id)
            except (ConsulError, DefinitionInvalid) as error:
                logger.warning("The entry in Consul may stay: %s", error)
            finally:
                client.close()

    def hand_over(self) -> None:
        """Mark this process, a fork of the master, as the master of a new version at the same address (SIGUSR2)."""
        self._memory.data[_SUCCESSOR:] = os.getpid().to_bytes(8, "big")

    def _is_one_of_two(self) -> bool:
        """Whether another master serves at the same address under the same entry: an upgrade is in progress.

        When the old master dies, the new one gets another parent; gunicorn uses the same sign.
        """
        return self._has_successor() or (self._predecessor != 0 and os.getppid() == self._predecessor)

    def _has_successor(self) -> bool:
        pid = int.from_bytes(self._memory.data[_SUCCESSOR:], "big")
        return pid != 0 and memory.lives(pid)

    # In each worker.

    def start_keeper(self) -> None:
        """Start the thread that takes part in the leader election and keeps the registration as its leader."""
        threading.Thread(target=self._run, name="registration", daemon=True).start()

    def _run(self) -> None:
        """Start again after any exception, even one of a bug."""
        while True:
            try:
                while not self._memory.try_lock(_KEEPER):  # the kernel releases it when its holder dies
                    time.sleep(ELECTION_SECONDS)
                self._keep()
                return
            except Exception:
                logger.exception("Keeping the registration failed and starts again")
                time.sleep(ELECTION_SECONDS)

    def _keep(self) -> None:
        keeper = _keeper()
        for pause in keeper.steps() if not self._leaving.is_set else ():
            if self._leaving.wait(pause):
                break
            while self._has_successor():
                time.sleep(ELECTION_SECONDS)
        for pause in keeper.leave():
            time.sleep(pause)
        self._memory.data[_KEEPER] = 1


def _keeper() -> Keeper:
    environment, where = settings.ENVIRONMENT, listeners.bound()
    find_address = functools.partial(reachable_address, where=where) if where and address_is_open(environment) else None
    client = settings.CONFIGURATION.start.open_client()
    return Keeper(client, define(environment), where.local_url if where else "", find_address)


current: Membership | None = None  # None where this instance does not register itself


def prepare(master: Any) -> None:
    """With CONSUL_REGISTER, prepare to register and to leave. An invalid definition ends the start."""
    global current
    environment = settings.ENVIRONMENT
    if not environment["CONSUL_REGISTER"]:
        master.log.info("CONSUL_REGISTER is off: gunicorn does not register this instance with Consul")
        return
    listeners.remember(master.LISTENERS)
    is_named = environment["SERVICE_ADDRESS"] and environment["SERVICE_PORT"]
    try:
        if master.LISTENERS and not listeners.bound() and not is_named:
            problem = _("address: gunicorn listens on no TCP port; set SERVICE_ADDRESS and SERVICE_PORT")
            raise DefinitionInvalid([problem])
        define(environment)
    except DefinitionInvalid as error:
        sys.stderr.write(f"The service cannot be registered like this (CONSUL_REGISTER is on):\n{error}\n")
        sys.exit(os.EX_CONFIG)
    current = Membership(environment["SERVICE_DRAIN_SECONDS"], predecessor=master.master_pid)
    current.leave_before_stopping()

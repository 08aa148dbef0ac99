"""The registration of an instance under gunicorn: kept by one of its workers, and ended before the instance stops.

docs/decisions/leaving.md says why it is done like this. gunicorn.conf.py calls the functions.
"""

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
from .definition import DEFAULT_ADDRESS, DefinitionInvalid, ServiceDefinition, address_is_open, define
from .keep import Keeper

ELECTION_SECONDS = 0.7  # between two attempts of a worker to become the one who keeps
_QUICK = Timeouts(connect=0.5, read=1.0)  # at the very end nobody waits for a Consul that hangs
# Offsets in the memory: the keeper's lock and, in that byte, whether the entry was taken out; a new master's pid.
_KEEPER, _SUCCESSOR = 0, 8

logger = logging.getLogger(__name__)


class Membership:
    """What master and workers share to be one member of the service. Made in the master, before any fork."""

    def __init__(self, drain_seconds: float, predecessor: int) -> None:
        self._master_pid = os.getpid()
        self._predecessor = predecessor
        self._drain_seconds = drain_seconds
        self._memory = memory.SharedMemory(16)
        self._leaving = Latch()

    # In the master, which stays without threads: a thread would not survive its forks.

    def leave_before_stopping(self) -> None:
        """Put the drain time before what SIGTERM does: out of the catalog first, then gunicorn's own way to stop."""
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

    def leave_at_last(self) -> None:
        """After the workers: whatever ended them, the entry goes, unless it is gone or another master's."""
        if not self._memory.data[_KEEPER] and not self._is_one_of_two():
            client = settings.CONFIGURATION.start.open_client(_QUICK)
            try:
                services.deregister(client, _definition().id)
            except (ConsulError, DefinitionInvalid) as error:
                logger.warning("The entry in Consul may stay: %s", error)
            finally:
                client.close()

    def hand_over(self) -> None:
        """This process, a fork of the master, becomes the master of a new version at the same address (SIGUSR2)."""
        self._memory.data[_SUCCESSOR:] = os.getpid().to_bytes(8, "big")

    def _is_one_of_two(self) -> bool:
        """Whether another master serves at the same address under the same entry: the upgrade is not over.

        The old one's death makes the new one another's child; gunicorn goes by the same sign.
        """
        return self._has_successor() or (self._predecessor != 0 and os.getppid() == self._predecessor)

    def _has_successor(self) -> bool:
        pid = int.from_bytes(self._memory.data[_SUCCESSOR:], "big")
        return pid != 0 and memory.lives(pid)

    # In each worker.

    def start_keeper(self) -> None:
        """Start the thread that keeps the registration while no other worker does."""
        threading.Thread(target=self._keep_for_ever, name="registration", daemon=True).start()

    def _keep_for_ever(self) -> None:
        """Not even a fault of our own ends it."""
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
    start, where = settings.CONFIGURATION.start, listeners.bound()
    client = start.open_client()
    if where and address_is_open(start.environment):
        return Keeper(client, _definition(), where.local_url, lambda client: reachable_address(client, where))
    return Keeper(client, _definition(), where.local_url if where else "")


def _definition() -> ServiceDefinition:
    """The definition; one whose address the agent has yet to tell holds another in its place."""
    environment = settings.ENVIRONMENT
    return define(environment, address=DEFAULT_ADDRESS if address_is_open(environment) else None)


def _require_place(is_known: bool) -> None:
    """Without a TCP socket there is no default for where others reach the instance."""
    environment = settings.ENVIRONMENT
    if not is_known and not (environment["SERVICE_ADDRESS"] and environment["SERVICE_PORT"]):
        raise DefinitionInvalid([_("address: gunicorn listens on no TCP port; set SERVICE_ADDRESS and SERVICE_PORT")])


_membership: Membership | None = None


def prepare(master: Any) -> None:
    """For `when_ready`: with CONSUL_REGISTER, be ready to join and to leave. A wrong definition ends the start."""
    global _membership
    if not settings.ENVIRONMENT["CONSUL_REGISTER"]:
        master.log.info("CONSUL_REGISTER is off: gunicorn does not register this instance with Consul")
        return
    listeners.remember(master.LISTENERS)
    try:
        _require_place(is_known=listeners.bound() is not None or not master.LISTENERS)
        _definition()
    except DefinitionInvalid as error:
        sys.stderr.write(f"The service cannot be registered like this (CONSUL_REGISTER is on):\n{error}\n")
        sys.exit(os.EX_CONFIG)
    _membership = Membership(settings.ENVIRONMENT["SERVICE_DRAIN_SECONDS"], predecessor=master.master_pid)
    _membership.leave_before_stopping()


def is_kept() -> bool:
    """Whether this instance keeps itself registered."""
    return _membership is not None


def start_keeper() -> None:
    """For `post_worker_init`."""
    if _membership:
        _membership.start_keeper()


def hand_over() -> None:
    """For `pre_exec`."""
    if _membership:
        _membership.hand_over()


def leave_at_last() -> None:
    """For `on_exit`."""
    if _membership:
        _membership.leave_at_last()

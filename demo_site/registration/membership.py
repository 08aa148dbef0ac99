"""The registration of an instance under gunicorn: one worker keeps it up, and it ends before the instance stops.

docs/decisions/leaving.md gives the reasons. gunicorn.conf.py calls `prepare` and the methods of `current`.
"""

import functools
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings

from .. import metrics
from ..consul_agent import services
from ..consul_agent.client import Timeouts
from ..consul_agent.errors import ConsulError
from ..instance import listeners
from ..instance.leaving import Leaving
from ..instance.memory import SharedMemory
from ..messages import Message, _
from .address import reachable_address
from .definition import DefinitionInvalid, address_is_open, define
from .keep import Keeper

ELECTION_SECONDS = 0.7  # between two attempts of a worker to become the keeper
_TROUBLE_BYTES = 4096  # a text of 500 characters in JSON takes 3,000 at most
_QUICK = Timeouts(connect=0.5, read=1.0)  # for an exit, which a hanging Consul must not delay

logger = logging.getLogger(__name__)


class Membership:
    """The state that master and workers share for one registration. Create it in the master, before any fork."""

    def __init__(self, leaving: Leaving) -> None:
        self._leaving = leaving
        self._keeper = SharedMemory(1)  # its lock and, in that byte, whether it has deregistered
        self._trouble = SharedMemory(_TROUBLE_BYTES)

    # In the master.

    def deregister(self) -> None:
        """Deregister when the workers have ended, unless the keeper has done so or another master needs the entry."""
        if not self._keeper.data[0] and not self._leaving.is_one_of_two():
            client = settings.CONFIGURATION.start.open_client(_QUICK)
            try:
                services.deregister(client, define(settings.ENVIRONMENT).id)
            except (ConsulError, DefinitionInvalid) as error:
                logger.warning("The entry in Consul may stay: %s", error)
            finally:
                client.close()

    # In each worker.

    @property
    def trouble(self) -> Message | None:
        """Why the registration cannot be kept, as the keeper says, whichever worker has it; None while it can."""
        try:
            return Message.from_json(json.loads(bytes(self._trouble.data).rstrip(b"\0")))
        except ValueError:  # none, or the keeper is writing it
            return None

    def _report(self, trouble: Message | None) -> None:
        text = json.dumps(trouble.as_json()).encode() if trouble else b""
        if len(text) > _TROUBLE_BYTES:
            text = json.dumps(Message.of(str(trouble)).as_json()).encode()
        self._trouble.data[:] = text.ljust(_TROUBLE_BYTES, b"\0")

    def start_keeper(self) -> None:
        """Start the thread that takes part in the leader election and keeps the registration as its leader."""
        metrics.REGISTERED.set(-1)
        threading.Thread(target=self._run, name="registration", daemon=True).start()

    def _run(self) -> None:
        """Start again after any exception, even one of a bug."""
        while True:
            try:
                while not self._keeper.try_lock():  # the kernel releases it when its holder dies
                    time.sleep(ELECTION_SECONDS)
                self._keep()
                return
            except Exception:
                logger.exception("Keeping the registration failed and starts again")
                time.sleep(ELECTION_SECONDS)

    def _keep(self) -> None:
        keeper = _keeper(self._report)
        for pause in keeper.steps() if not self._leaving.latch.is_set else ():
            if self._leaving.latch.wait(pause):
                break
            while self._leaving.has_successor():
                time.sleep(ELECTION_SECONDS)
        for pause in keeper.leave():
            time.sleep(pause)
        self._keeper.data[0] = 1


def _keeper(report: Callable[[Message | None], None]) -> Keeper:
    environment, where = settings.ENVIRONMENT, listeners.bound()
    find_address = functools.partial(reachable_address, where=where) if where and address_is_open(environment) else None
    client = settings.CONFIGURATION.start.open_client()
    return Keeper(client, define(environment), where.local_url if where else "", find_address, report)


current: Membership | None = None  # None where this instance does not register itself


def prepare(master: Any, leaving: Leaving) -> None:
    """With CONSUL_REGISTER, prepare to register. An invalid definition ends the start."""
    global current
    environment = settings.ENVIRONMENT
    if not environment["CONSUL_REGISTER"]:
        master.log.info("CONSUL_REGISTER is off: gunicorn does not register this instance with Consul")
        return
    listeners.remember(master.LISTENERS, master.cfg.is_ssl)
    is_named = environment["SERVICE_ADDRESS"] and environment["SERVICE_PORT"]
    try:
        if master.LISTENERS and not listeners.bound() and not is_named:
            problem = _("address: gunicorn listens on no TCP port; set SERVICE_ADDRESS and SERVICE_PORT")
            raise DefinitionInvalid([problem])
        define(environment)
    except DefinitionInvalid as error:
        sys.stderr.write(f"The service cannot be registered like this (CONSUL_REGISTER is on):\n{error}\n")
        sys.exit(os.EX_CONFIG)
    current = Membership(leaving)

"""What the Sentinels of a document say: which server is the master, and whether another one is about to be.

Sentinel makes a replica the master 0.1 s or more after it has published that it begins, and goes on naming the old one,
which takes writes all the while: what was counted there is lost, and its numbers are shown again. So nothing is counted
from the first word of a failover until there is another master.
"""

import select
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from pydantic import SecretStr
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from ..document.model import RedisConfig
from ..messages import _
from . import COMMAND_TIMEOUT, EXCHANGE_TIMEOUT, tls_of
from .pool import RetirablePool
from .servers import FailoverUnderWay, NotFound, Seeker, Server

_POLL_SECONDS = 1.0  # the Sentinels are asked at least so often: not every word of theirs may have come
_ANSWER_SECONDS = 2 * EXCHANGE_TIMEOUT  # it subscribes, and is asked
_BELIEVED_SECONDS = 30.0
_MOST_WORDS = 100  # of one that talks without end, before the others are heard again
_IN_PROGRESS = "failover_in_progress"


class _State(NamedTuple):
    """What one Sentinel says. Of several, the greatest is right: the latest failover has the highest epoch."""

    epoch: int
    is_under_way: bool
    old: tuple[str, int]  # the master before the failover that is under way, if one is
    master: tuple[str, int]


class SentinelSeeker(Seeker):
    """Asks all Sentinels, and from the first `wait` on hears what they publish.

    Each is asked in a thread: one that does not answer must not keep us from hearing the others. It is asked again and
    again, and waited for no longer until it has answered.
    """

    def __init__(self, config: RedisConfig, password: Callable[[], SecretStr | None]) -> None:
        super().__init__(config, password)
        self._sentinels = [_Sentinel(config, address, password) for address in config.redis_sentinels or []]
        self._threads = ThreadPoolExecutor(len(self._sentinels), "sentinel")
        self._asked: dict[_Sentinel, Future[_State]] = {}
        self._hears = False
        self._believed: tuple[_Sentinel, _State] | None = None
        self._believed_until = 0.0

    def servers(self) -> list[Server]:
        """The master. Raises `NotFound`, and as such `FailoverUnderWay`."""
        name, states = self.config.redis_master or "", self._states()
        if not states:
            errors = [future.exception() for future in self._asked.values() if future.done()]
            reason = errors[-1] if errors else "no answer in time"
            text = _("no Sentinel names the master %(name)s (%(reason)s)", name=name, reason=reason)
            raise NotFound("redis_sentinels", text)
        state = self._believe(states)
        if state.is_under_way and state.old == state.master:
            raise FailoverUnderWay("redis_sentinels", _("Sentinel is replacing the master %(name)s", name=name))
        return [Server(*state.master, password=self.password())]

    def _believe(self, states: dict["_Sentinel", _State]) -> _State:
        """The greatest, which one of them keeps though the Sentinel that said it is not heard for a moment.

        Others name the old master until they have heard of the new one. After half a minute they may be right: the one
        that said it was reset, or died before it had done anything.
        """
        teller = max(states, key=lambda sentinel: states[sentinel])
        state = states[teller]
        if self._believed and time.monotonic() < self._believed_until:
            by, before = self._believed
            if state[:2] < before[:2] and (by not in states or state.epoch < before.epoch):
                return before
        self._believed, self._believed_until = (teller, state), time.monotonic() + _BELIEVED_SECONDS
        return state

    def wait(self) -> None:
        """Until one of them says something, for a second at most."""
        if not self._hears:
            self._hears = True  # what was said before is asked for
            return None
        heard = {int(each.heard.fileno()): each for each in self._sentinels if each.heard}
        if not heard:
            return super().wait()
        poll = select.poll()  # `select` takes no descriptor above 1023
        for descriptor in heard:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _event in poll.poll(_POLL_SECONDS * 1000):
            heard[descriptor].drain()
        return None

    def close(self) -> None:
        self._threads.shutdown(wait=False)
        for sentinel in self._sentinels:
            sentinel.close()

    def _states(self) -> dict["_Sentinel", _State]:
        answering = []
        for sentinel in self._sentinels:
            before = self._asked.get(sentinel)
            if before is None or before.done():
                self._asked[sentinel] = self._threads.submit(sentinel.state, self._hears)
                if before and before.exception() is None:
                    answering.append(self._asked[sentinel])
        for waited in (answering, list(self._asked.values())):
            done, _pending = wait(waited, _ANSWER_SECONDS)
            told = {each: future for each, future in self._asked.items() if future in done and not future.exception()}
            if told:
                return {each: future.result() for each, future in told.items()}
        return {}


class _Sentinel:
    """One of them. Its password, if it has one, is that of Redis."""

    def __init__(self, config: RedisConfig, address: str, password: Callable[[], SecretStr | None]) -> None:
        self._config, self._address, self.password = config, address, password
        self._has_password = False
        self._client = self._new_client()
        self.heard: Any = None  # the connection over which it publishes

    def state(self, hears: bool) -> _State:
        """Ask it, after it was asked to publish: no word is missed in between. Raises `RedisError`."""
        try:
            return self._told(hears)
        except AuthenticationError:
            self._client.connection_pool.retire()
            self._has_password = not self._has_password
            self._client = self._new_client()
            return self._told(hears)

    def drain(self) -> None:
        """Read what it has said: whatever it was, all are asked now. `connect` renews the deadline of the exchange."""
        connection = self.heard
        try:
            connection.connect()
            connection.read_response()
            for _more in range(_MOST_WORDS):
                if not connection.can_read(timeout=0):
                    break
                connection.read_response()
        except RedisError:
            self._end(connection)

    def close(self) -> None:
        self._end(self.heard)
        self._client.connection_pool.retire()

    def _new_client(self) -> Any:
        host, _colon, port = self._address.rpartition(":")
        options: dict[str, Any] = {"host": host.strip("[]"), "port": int(port), "tls": tls_of(self._config)}
        password = self.password() if self._has_password else None
        if password:
            options |= {"password": password.get_secret_value(), "username": self._config.redis_username}
        pool = RetirablePool(socket_timeout=COMMAND_TIMEOUT, protocol=2, driver_info=None, **options)
        return Redis(connection_pool=pool)

    def _told(self, hears: bool) -> _State:
        heard, name = self.heard or (self._listening() if hears else None), self._config.redis_master
        try:
            master = self._client.sentinel_master(name, return_responses=True)
            host, port = self._client.sentinel_get_master_addr_by_name(name, return_responses=True)
            is_under_way = _IN_PROGRESS in master["flags"].split(",")
            named = Server(host.decode() if isinstance(host, bytes) else str(host), int(port))
            old = master["ip"], master["port"]
            state = _State(master["config-epoch"], is_under_way, old, (named.host, named.port))
        except Exception:  # of a peer that is no Sentinel, too
            self._end(heard)  # it may be dead as well, and nothing would say so
            raise
        self.heard = heard
        return state

    def _listening(self) -> Any:
        connection = self._client.connection_pool.get_connection()
        try:
            connection.send_command("PSUBSCRIBE", "*")
            connection.read_response()
        except RedisError:
            self._end(connection)
            raise
        return connection

    def _end(self, connection: Any) -> None:
        self.heard = None
        if connection:
            connection.disconnect()
            self._client.connection_pool.release(connection)

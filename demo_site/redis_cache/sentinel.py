"""What the Sentinels of a document say: which server is the master, and whether another one is about to be.

Sentinel makes a replica the master 0.1 s or more after it has published that it begins, and goes on naming the old one,
which takes writes all the while: what was counted there is lost, and its numbers are shown again. So nothing is counted
from the first word of a failover until there is another master.
"""

import select
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from ..document.model import RedisConfig
from ..messages import _
from . import COMMAND_TIMEOUT, tls_of
from .pool import RetirablePool
from .servers import FailoverUnderWay, NotFound, Seeker, Server

_POLL_SECONDS = 1.0  # the Sentinels are asked at least so often: not every word of theirs may have come
_IN_PROGRESS = "failover_in_progress"


class SentinelSeeker(Seeker):
    """Asks all Sentinels, and hears what they publish. Their password, if they have one, is that of Redis."""

    def __init__(self, config: RedisConfig, password: Callable[[], SecretStr | None]) -> None:
        super().__init__(config, password)
        self._sentinels = [self._client(address, with_password=False) for address in config.redis_sentinels or []]
        self._heard: dict[str, Any] = {}  # by address: the connection over which one of them publishes

    def servers(self) -> list[Server]:
        """The master. Raises `NotFound`, and as such `FailoverUnderWay`."""
        name = self.config.redis_master or ""
        states, errors = [], []
        for position, sentinel in enumerate(self._sentinels):
            try:
                states.append(self._state(position, sentinel, name))
            except RedisError as error:
                errors.append(error)
        if not states:
            text = _("no Sentinel names the master %(name)s (%(reason)s)", name=name, reason=errors[-1])
            raise NotFound("redis_sentinels", text)
        # Which of them is right, while not all know: the latest failover has the highest epoch.
        _epoch, is_under_way, old, host, port = max(states)
        if is_under_way and old == (host, port):
            raise FailoverUnderWay("redis_sentinels", _("Sentinel is replacing the master %(name)s", name=name))
        return [Server(host, port, password=self._password())]

    def wait(self) -> None:
        """Until one of them says something, for a second at most."""
        for address, sentinel in zip(self.config.redis_sentinels or [], self._sentinels, strict=True):
            if address not in self._heard:
                self._listen(address, sentinel)
        if not self._heard:
            return super().wait()
        ready, _writable, _failed = select.select(list(self._heard.values()), [], [], _POLL_SECONDS)
        for address, connection in list(self._heard.items()):
            if connection in ready:
                self._drain(address, connection)
        return None

    def close(self) -> None:
        for connection in self._heard.values():
            connection.disconnect()
        for sentinel in self._sentinels:
            sentinel.connection_pool.disconnect()

    def _client(self, address: str, with_password: bool) -> Any:
        host, _colon, port = address.rpartition(":")
        options: dict[str, Any] = {"host": host.strip("[]"), "port": int(port), "tls": tls_of(self.config)}
        password = self._password() if with_password else None
        if password:
            options |= {"password": password.get_secret_value(), "username": self.config.redis_username}
        pool = RetirablePool(socket_timeout=COMMAND_TIMEOUT, protocol=2, driver_info=None, **options)
        return Redis(connection_pool=pool)

    def _state(self, position: int, sentinel: Any, name: str) -> tuple[int, bool, tuple[str, int], str, int]:
        """Its epoch, whether it is replacing the master, the master as it was, and as it is now."""
        try:
            master = _asked(sentinel, name)
        except AuthenticationError:
            address = (self.config.redis_sentinels or [])[position]
            self._sentinels[position] = sentinel = self._client(address, with_password=True)
            master = _asked(sentinel, name)
        host, port = sentinel.sentinel_get_master_addr_by_name(name, return_responses=True)
        is_under_way = _IN_PROGRESS in master["flags"].split(",")
        return master["config-epoch"], is_under_way, (master["ip"], master["port"]), _text(host), int(port)

    def _listen(self, address: str, sentinel: Any) -> None:
        connection = sentinel.connection_pool.get_connection()
        try:
            connection.send_command("PSUBSCRIBE", "*")
            connection.read_response()
        except RedisError:
            connection.disconnect()
            sentinel.connection_pool.release(connection)
        else:
            self._heard[address] = connection

    def _drain(self, address: str, connection: Any) -> None:
        """Read what it has said: whatever it was, they are asked now. `connect` renews the deadline of the exchange."""
        try:
            connection.connect()
            connection.read_response()
            while connection.can_read(timeout=0):
                connection.read_response()
        except RedisError:
            connection.disconnect()
            del self._heard[address]


def _asked(sentinel: Any, name: str) -> dict[str, Any]:
    state: dict[str, Any] = sentinel.sentinel_master(name, return_responses=True)
    return state


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

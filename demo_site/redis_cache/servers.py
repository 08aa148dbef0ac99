"""Where a `RedisConfig` leads to now: the server's address and password, which Consul, Sentinel or a file may tell."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from ..consul_agent import catalog
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError, Denied
from ..consul_agent.services import PASSING
from ..document.model import RedisConfig
from ..messages import Message, MessageError, _, joined
from . import where

_FILE_SECONDS = 0.5  # how often the file of the password is looked at
_SERVICE_SECONDS = 10  # the longest blocking query: after it a worker sees that its document names another service
_PAUSE_SECONDS = 1.0  # after Consul could not be asked


@dataclass(frozen=True)
class Server:
    """A Redis server: at `host` and `port`, or at `socket`."""

    host: str = ""
    port: int = 0
    socket: str = ""
    password: SecretStr | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


class NotFound(MessageError):
    """No server is known now; `member` of the group is where that shows."""

    def __init__(self, member: str, message: Message) -> None:
        super().__init__(message)
        self.member = member


class FailoverUnderWay(NotFound):
    """Sentinel is about to have another master: nothing may be written to the present one."""


class Seeker:
    """Finds the server of one `RedisConfig`. This one is for a server at a host or a socket."""

    def __init__(self, config: RedisConfig, password: Callable[[], SecretStr | None] | None = None) -> None:
        self.config = config
        self._password = password or (lambda: config.redis_password)

    def servers(self) -> list[Server]:
        """Those that it may be, the first one that works is meant. Raises `NotFound`, after a few seconds at most."""
        config = self.config
        return [Server(config.redis_host or "", config.redis_port or 0, config.redis_socket or "", self._password())]

    def wait(self) -> None:
        """Return when `servers` may have something new to say."""
        time.sleep(_FILE_SECONDS)

    def close(self) -> None:
        """Give back what is open."""


class ServiceSeeker(Seeker):
    """Asks Consul for the passing instances of a service, ordered by id: every worker takes the same."""

    def __init__(
        self, config: RedisConfig, password: Callable[[], SecretStr | None], open_client: Callable[[], Client]
    ) -> None:
        super().__init__(config, password)
        self._client = open_client()
        self._index = 0
        self._found: list[catalog.CatalogInstance] | None = None

    def servers(self) -> list[Server]:
        if self._found is None:
            self._ask()
        password, tag = self._password(), self.config.redis_tag
        passing = [
            Server(instance.address, instance.service.port, password=password)
            for instance in sorted(self._found or [], key=lambda instance: instance.service.id)
            if instance.health == PASSING and (tag is None or tag in (instance.service.tags or []))
            if instance.address and instance.service.port
        ]
        if not passing:
            text = _("Consul shows this token no passing instance of %(service)s", service=where(self.config))
            raise NotFound("redis_tag" if tag else "redis_service", text)
        return passing

    def wait(self) -> None:
        waits = _FILE_SECONDS if self.config.redis_password_file else _SERVICE_SECONDS
        try:
            self._ask(waits)
        except NotFound:  # said by `servers`, which asks again
            self._index, self._found = 0, None
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        self._client.close()

    def _ask(self, wait: float = 0) -> None:
        name = self.config.redis_service or ""
        try:
            index, self._found = catalog.follow(self._client, name, self._index, wait)
        except ConsulError as error:
            right = _("The token needs `service:read` on `%(service)s`.", service=name)
            reason = joined([error.message, right], " ") if isinstance(error, Denied) else error.message
            raise NotFound("redis_service", reason) from error
        self._index = index if index >= self._index else 0


def moves(config: RedisConfig) -> bool:
    """Whether another server, or another password, may come without another document."""
    return bool(config.redis_service or config.redis_sentinels or config.redis_password_file)

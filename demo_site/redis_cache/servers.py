"""Where a `RedisConfig` leads to now: the server's address and password, which Consul, Sentinel or a file may tell."""

import os
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from ..bounded import read_file
from ..consul_agent import catalog
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError, Denied
from ..consul_agent.services import PASSING
from ..document.model import RedisConfig
from ..messages import Message, MessageError, _, joined

_MOST_PASSWORD_BYTES = 64 * 1024
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

    def __init__(self, config: RedisConfig, password: Callable[[], SecretStr | None]) -> None:
        self.config, self._password = config, password

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
        ]
        if not passing:
            named = {"service": self.config.redis_service, "tag": tag}
            text = _("Consul has no passing instance of the service %(service)s", service=named["service"])
            if tag:
                text = _("Consul has no passing instance of the service %(service)s with the tag %(tag)s", **named)
            raise NotFound("redis_tag" if tag else "redis_service", text)
        return passing

    def wait(self) -> None:
        waits = _FILE_SECONDS if self.config.redis_password_file else _SERVICE_SECONDS
        try:
            self._ask(waits)
        except NotFound:
            self._index = 0
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


@dataclass(frozen=True)
class Finder:
    """Makes seekers. `passwords` is the directory below which the file of a password must be."""

    open_client: Callable[[], Client]
    passwords: Path

    def seeker(self, config: RedisConfig) -> Seeker:
        def password() -> SecretStr | None:
            return self._from_file(config.redis_password_file) if config.redis_password_file else config.redis_password

        if config.redis_service:
            return ServiceSeeker(config, password, self.open_client)
        if config.redis_sentinels:
            from .sentinel import SentinelSeeker  # redis-py takes 0.15 s to import

            return SentinelSeeker(config, password)
        return Seeker(config, password)

    def _from_file(self, name: str) -> SecretStr:
        """Its first line. Only of files that are there to be passwords: what it says goes over the network."""
        path, directory = (Path(os.path.realpath(each)) for each in (name, self.passwords))
        if directory not in path.parents:
            text = _("%(file)s is not below %(directory)s (REDIS_PASSWORD_DIR)", file=name, directory=self.passwords)
            raise NotFound("redis_password_file", text)
        try:
            password = read_file(path, _MOST_PASSWORD_BYTES).decode().partition("\n")[0].removesuffix("\r")
        except OSError as error:
            reason = _("%(file)s cannot be read: %(reason)s", file=name, reason=error.strerror)
            raise NotFound("redis_password_file", reason) from None
        except UnicodeDecodeError:
            raise NotFound("redis_password_file", _("%(file)s is not UTF-8", file=name)) from None
        if not password:
            raise NotFound("redis_password_file", _("%(file)s is empty", file=name))
        return SecretStr(password)


def find(config: RedisConfig, finder: Finder) -> Server:
    """The server of the document, without a probe where it can be only one. Raises `NotFound`."""
    with closing(finder.seeker(config)) as seeker:
        servers = seeker.servers()
    if len(servers) == 1:
        return servers[0]
    from .probe import first_usable

    return first_usable(config, servers)[0] or servers[0]


def moves(config: RedisConfig) -> bool:
    """Whether another server, or another password, may come without another document."""
    return bool(config.redis_service or config.redis_sentinels or config.redis_password_file)

"""Where a `RedisConfig` leads to now: the server's address and password, which Consul, Sentinel or a file may tell."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from ..document.model import RedisConfig, network_host
from ..messages import Message, MessageError

FILE_SECONDS = 0.5  # how often the file of the password is looked at


@dataclass(frozen=True)
class Server:
    """A Redis server: at `host` and `port`, or at `socket`."""

    host: str = ""
    port: int = 0
    socket: str = ""
    password: SecretStr | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raises `ValueError`: a catalog or a Sentinel may say anything, and a URL is made of it."""
        if not self.socket:
            network_host(self.host)
            if not 1 <= self.port <= 65535:
                raise ValueError("no port")

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
        self.password = password or (lambda: config.redis_password)

    def servers(self) -> list[Server]:
        """Those that it may be, the first one that works is meant. Raises `NotFound`, after a few seconds at most."""
        config = self.config
        return [Server(config.redis_host or "", config.redis_port or 0, config.redis_socket or "", self.password())]

    def wait(self) -> None:
        """Return when `servers` may have something new to say."""
        time.sleep(FILE_SECONDS)

    def close(self) -> None:
        """Give back what is open."""


def moves(config: RedisConfig) -> bool:
    """Whether another server, or another password, may come without another document."""
    return bool(config.redis_service or config.redis_sentinels or config.redis_password_file)

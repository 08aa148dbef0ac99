"""Which way a document finds its Redis, and the file of its password."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from ..bounded import read_file
from ..consul_agent.client import Client
from ..document.model import RedisConfig
from ..messages import _
from .servers import NotFound, Seeker

_MOST_PASSWORD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Finder:
    """Makes seekers. `passwords` is the directory below which the file of a password must be."""

    open_client: Callable[[], Client]
    passwords: Path

    def seeker(self, config: RedisConfig) -> Seeker:
        def password() -> SecretStr | None:
            return self._from_file(config.redis_password_file) if config.redis_password_file else config.redis_password

        if config.redis_service:
            from .service import ServiceSeeker  # most documents do without

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

"""What Consul's catalog says of the service of a document: which of its instances pass."""

import contextlib
import time
from collections.abc import Callable

from pydantic import SecretStr

from ..consul_agent import catalog
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError, Denied
from ..consul_agent.services import PASSING
from ..document.model import RedisConfig
from ..messages import _, joined
from . import where
from .servers import FILE_SECONDS, NotFound, Seeker, Server

_LONGEST_SECONDS = 10  # of a blocking query: after it a worker sees that its document names another service
_PAUSE_SECONDS = 1.0  # after Consul could not be asked


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
        password, tag = self.password(), self.config.redis_tag
        passing: list[Server] = []
        for instance in sorted(self._found or [], key=lambda instance: instance.service.id):
            is_tagged = tag is None or tag in (instance.service.tags or [])
            if instance.health == PASSING and is_tagged and instance.service.port:
                with contextlib.suppress(ValueError):  # its address is none
                    passing.append(Server(instance.address, instance.service.port, password=password))
        if not passing:
            text = _("Consul shows this token no passing instance of %(service)s", service=where(self.config))
            raise NotFound("redis_tag" if tag else "redis_service", text)
        return passing

    def wait(self) -> None:
        waits = FILE_SECONDS if self.config.redis_password_file else _LONGEST_SECONDS
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

"""django-redis's public hooks CLIENT_CLASS and CONNECTION_FACTORY: the cache follows the configuration in force."""

from typing import Any

from django_redis.client import DefaultClient
from django_redis.pool import ConnectionFactory as DjangoRedisConnectionFactory
from redis import Redis

from ..document.model import RedisConfig
from . import cache_entry
from .servers import Server


class ConnectionFactory(DjangoRedisConnectionFactory[Any, Any, Any]):
    """Creates a pool for each configuration.

    django-redis caches its pools by URL, so a new password under the same URL would change nothing.
    """

    def make_connection_params(self, url: str) -> dict[str, Any]:
        """Reduce connecting from five commands to one, and take the password out of its `SecretStr`."""
        params: dict[str, Any] = super().make_connection_params(url) | {"protocol": 2, "driver_info": None}
        if "password" in params:
            params["password"] = params["password"].get_secret_value()
        return params

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> Any:
        """Always create a pool: it lives as long as its client."""
        return self.get_connection_pool(params)


class FollowingClient(DefaultClient[Any, Any, Any]):
    """Returns the Redis client of the configuration that is in force at each call."""

    def get_client(self, write: bool = True, tried: list[int] | None = None) -> Redis:
        """The client in force, from `OPTIONS["FOLLOW"]`."""
        client: Redis = self.connection_factory.options["FOLLOW"]()
        return client

    def get_client_with_index(self, write: bool = True, tried: list[int] | None = None) -> tuple[Redis, int]:
        """The same for django-redis's own methods; the index of the only server is 0."""
        return self.get_client(write, tried), 0


def open_client(config: RedisConfig, server: Server) -> Redis:
    """A client of this server with a pool of its own, created as django-redis does from the `CACHES` entry."""
    entry = cache_entry(config, server)
    client: Redis = ConnectionFactory(entry["OPTIONS"]).connect(entry["LOCATION"])
    return client

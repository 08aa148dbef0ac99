"""django-redis's two public hooks, CLIENT_CLASS and CONNECTION_FACTORY, so that a cache follows the configuration."""

from typing import Any

from django_redis.client import DefaultClient
from django_redis.pool import ConnectionFactory as DjangoRedisConnectionFactory
from redis import Redis

from ..document.model import RedisConfig
from . import cache_entry


class ConnectionFactory(DjangoRedisConnectionFactory[Any, Any, Any]):
    """Builds a pool for each configuration.

    django-redis keeps its pools by URL for ever, so a new password under the same URL would change nothing.
    """

    def make_connection_params(self, url: str) -> dict[str, Any]:
        """Add what makes connecting one command, not five, and bring the password out of its `SecretStr`."""
        params: dict[str, Any] = super().make_connection_params(url) | {"protocol": 2, "driver_info": None}
        if "password" in params:
            params["password"] = params["password"].get_secret_value()
        return params

    def get_or_create_connection_pool(self, params: dict[str, Any]) -> Any:
        """Always create: whoever holds the client holds its pool."""
        return self.get_connection_pool(params)


class FollowingClient(DefaultClient[Any, Any, Any]):
    """Hands out the Redis client of the configuration in force, whichever that is when asked."""

    def get_client(self, write: bool = True, tried: list[int] | None = None) -> Redis:
        """The client in force; `OPTIONS["FOLLOW"]` returns it."""
        client: Redis = self.connection_factory.options["FOLLOW"]()
        return client

    def get_client_with_index(self, write: bool = True, tried: list[int] | None = None) -> tuple[Redis, int]:
        """The same, for django-redis's own methods; there is one server, so its index is 0."""
        return self.get_client(write, tried), 0


def open_client(config: RedisConfig) -> Redis:
    """A Redis client with a pool of its own, built as django-redis builds one from the `CACHES` entry."""
    entry = cache_entry(config)
    client: Redis = ConnectionFactory(entry["OPTIONS"]).connect(entry["LOCATION"])
    return client

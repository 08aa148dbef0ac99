"""From a `RedisConfig` to a `CACHES` entry; django-redis then follows the configuration in force."""

from typing import Any

from ..document.model import Document, RedisConfig
from ..messages import Message, _

# Seconds. A server may keep each step below its own limit and still send its answer byte by byte: the last one is for
# the whole exchange, connecting included, so that a request that fails is answered within a second.
CONNECT_TIMEOUT = 0.3
COMMAND_TIMEOUT = 0.4
EXCHANGE_TIMEOUT = 0.7


def cache_entry(config: RedisConfig, **options: Any) -> dict[str, Any]:
    """Django's `CACHES` entry for the server in `config`, with further `options` for django-redis.

    The password stays a `SecretStr`, so that no `repr` of the settings contains it.
    """
    host = f"[{config.redis_host}]" if ":" in config.redis_host else config.redis_host
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{host}:{config.redis_port}/{config.redis_db}",
        "OPTIONS": {
            "CLIENT_CLASS": "demo_site.redis_cache.client.FollowingClient",
            "CONNECTION_FACTORY": "demo_site.redis_cache.client.ConnectionFactory",
            "CONNECTION_POOL_CLASS": "demo_site.redis_cache.pool.RetirablePool",
            "PASSWORD": config.redis_password,
            "SOCKET_CONNECT_TIMEOUT": CONNECT_TIMEOUT,
            "SOCKET_TIMEOUT": COMMAND_TIMEOUT,
            **options,
        },
    }


def place(document: Document) -> Message:
    """For people: the address and database of the document's Redis."""
    config = document.redis_config
    where = f"{config.redis_host}:{config.redis_port}"
    return _("%(place)s, database %(database)s", place=where, database=config.redis_db)

"""From a `RedisConfig` to a `CACHES` entry; django-redis then follows the configuration in force."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ..document.model import Document, RedisConfig
from ..messages import Message, _
from .servers import Server

# Seconds. A server may keep each step below its own limit and still send its answer byte by byte: the last one is for
# the whole exchange, connecting included, so that a request that fails is answered within a second.
CONNECT_TIMEOUT = 0.3
COMMAND_TIMEOUT = 0.4
EXCHANGE_TIMEOUT = 0.7


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files, empty where there is none; `name` is the one in the server's certificate, if not its host."""

    ca_file: str = ""
    name: str = ""
    cert_file: str = ""
    key_file: str = ""


def cache_entry(config: RedisConfig, server: Server | None = None, **options: Any) -> dict[str, Any]:
    """Django's `CACHES` entry for this server of `config`, with further `options` for django-redis.

    Without a server it is that of `settings`, whose cache follows the configuration in force: a service or a master
    stands for the server that it will be. The password stays a `SecretStr`, so that no `repr` contains it.
    """
    if server:
        url = _url(config, server.host, server.port, server.socket)
    else:
        host = config.redis_host or config.redis_service or config.redis_master or ""
        url = _url(config, host, config.redis_port or 6379, config.redis_socket or "")
    return {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "OPTIONS": {
            "CLIENT_CLASS": "demo_site.redis_cache.client.FollowingClient",
            "CONNECTION_FACTORY": "demo_site.redis_cache.client.ConnectionFactory",
            "CONNECTION_POOL_CLASS": "demo_site.redis_cache.pool.RetirablePool",
            "CONNECTION_POOL_KWARGS": {"tls": tls_of(config)},
            "USERNAME": config.redis_username,
            "PASSWORD": server.password if server else config.redis_password,
            "SOCKET_CONNECT_TIMEOUT": CONNECT_TIMEOUT,
            "SOCKET_TIMEOUT": COMMAND_TIMEOUT,
            **options,
        },
    }


def _url(config: RedisConfig, host: str, port: int, socket: str) -> str:
    """Without user and password."""
    if socket:
        return f"unix://{quote(socket)}?db={config.redis_db}"
    scheme = "rediss" if config.redis_tls else "redis"
    name = host.replace("%", "%25")  # of an IPv6 zone
    return f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/{config.redis_db}"


def place(document: Document, server: object = None) -> Message:
    """For people: the address and database of the document's Redis; where it is found, the `server` as well."""
    config = document.redis_config
    named = where(config)
    if server is not None and str(server) != named:
        named = _("%(server)s (%(named)s)", server=server, named=named)
    return _("%(place)s, database %(database)s", place=named, database=config.redis_db)


def where(config: RedisConfig) -> Message:
    """For people: what the document says of the place of its Redis."""
    if config.redis_service:
        service = f"{config.redis_tag}.{config.redis_service}" if config.redis_tag else config.redis_service
        return _("service %(name)s", name=service)
    if config.redis_sentinels:
        return _("%(name)s at Sentinel", name=config.redis_master)
    return Message.of(config.redis_socket or f"{config.redis_host}:{config.redis_port}")


def tls_of(config: RedisConfig) -> Tls | None:
    named = (config.redis_ca_file, config.redis_tls_name, config.redis_cert_file, config.redis_key_file)
    return Tls(*(name or "" for name in named)) if config.redis_tls else None

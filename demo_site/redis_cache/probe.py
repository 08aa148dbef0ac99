"""Whether the Redis that a document names can be used, told by field."""

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from .lazy import LazyClient


def faults(client: LazyClient) -> list[str]:
    """PING with the document's own credentials and database. Empty when it answers; else why not, by path."""
    config = client.config
    place = f"the Redis at {config.redis_host}:{config.redis_port}"
    try:
        client.get().ping()
    except AuthenticationError as error:
        return [f"redis_config.redis_password: {place} refuses it ({error})"]
    except ResponseError as error:
        member = "redis_config.redis_db" if "DB index" in str(error) else "redis_config"
        return [f"{member}: {place} answers {error}"]
    except (RedisError, OSError, ValueError) as error:  # ValueError: an address that no system call takes
        return [f"redis_config.redis_host: {place} does not answer ({error})"]
    return []

"""The probe of a document's Redis."""

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from ..document.model import RedisConfig
from ..document.parsing import Fault
from ..messages import _
from .lazy import LazyClient


def faults(config: RedisConfig) -> list[Fault]:
    """PING with the document's credentials and database. Empty if Redis answers, else the faults by member."""
    place = f"{config.redis_host}:{config.redis_port}"
    client = LazyClient(config)
    try:
        if not client.get().ping():
            return [
                Fault("redis_host", _("what listens at %(place)s is not Redis: it does not answer PONG", place=place))
            ]
    except AuthenticationError as error:
        return [Fault("redis_password", _("the Redis at %(place)s refuses it (%(reason)s)", place=place, reason=error))]
    except ResponseError as error:
        member = "redis_db" if "DB index" in str(error) else ""
        return [Fault(member, _("the Redis at %(place)s answers %(reason)s", place=place, reason=error))]
    except (RedisError, OSError, ValueError) as error:  # ValueError: an address that the system rejects
        return [
            Fault("redis_host", _("the Redis at %(place)s does not answer (%(reason)s)", place=place, reason=error))
        ]
    finally:
        client.retire()
    return []

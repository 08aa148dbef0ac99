"""Documents for the tests: the smallest valid one, and changed copies."""

import copy
import json

MESSAGE = "this is a python-consul-redis demo"
SMALLEST = {
    "redis_config": {"redis_host": "127.0.0.1", "redis_port": 6379, "redis_db": 0, "redis_password": "aaaa1111"},
    "show_message": MESSAGE,
}


def document(redis=None, message=MESSAGE, **members):
    """A valid document as an object: for this RedisServer, with this message and further members."""
    config = redis.document() if redis else dict(SMALLEST["redis_config"])
    return {"redis_config": config, "show_message": message, **members}


def changed(path, value):
    """The smallest document with the member at the dotted `path` replaced; `...` removes it."""
    result = copy.deepcopy(SMALLEST)
    *parents, name = path.split(".")
    holder = result
    for parent in parents:
        holder = holder[parent]
    if value is ...:
        del holder[name]
    else:
        holder[name] = value
    return result


def raw(value):
    """The object as the bytes of a KV value."""
    return json.dumps(value).encode()

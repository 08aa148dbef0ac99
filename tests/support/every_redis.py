"""What becomes of a Redis, of its entry in Consul and of its password: for short tests and long ones."""

import contextlib

from tests.support.secrets import GUARD
from tests.support.workers import NUMBER


def put(consul, key, redis_config, message="here"):
    """Put a document with this `redis_config`."""
    return consul.put(key, {"redis_config": redis_config, "show_message": message})


def number(site):
    """The number on the page; None where it is another answer."""
    answer = site.get("/")
    page = NUMBER.match(answer.text)
    return int(page[2]) if answer.status_code == 200 and page else None


TROUBLE = {
    "replica": "is a read-only replica",
    "text": "has something other than a number at `hits`",
    "user": "does not let this user count",
    "memory": "has no memory left",
    "largest": "has no number left for `hits`",
    "replicas": "has too few replicas to take writes",
}


@contextlib.contextmanager
def trouble(kind, server, other):
    """What may become of a Redis in force."""
    with server.client() as client:
        if kind == "replica":
            server.make_replica_of(other)
            yield
            server.promote()
        elif kind in ("text", "largest"):
            value = "many" if kind == "text" else 2**63 - 1
            with client.pipeline(transaction=True) as together:
                together.rename("hits", "kept").set("hits", value).execute()
            yield
            client.rename("kept", "hits")
        elif kind == "user":
            client.execute_command("ACL", "SETUSER", "default", "-incr", "-incrby")
            yield
            client.execute_command("ACL", "SETUSER", "default", "+@all")
        elif kind == "replicas":
            client.config_set("min-replicas-to-write", 1)
            yield
            client.config_set("min-replicas-to-write", 0)
        else:
            with server.full_memory():
                yield


MOVED = "The Redis in use is the one at"


def moves(site):
    """How often a worker of the site took another server, or the same with another password."""
    return site.log().count(MOVED)


def rotate(server, file, both_know):
    """Give the server another password, which a file has: the old one ends when `both_know` returns."""
    old, new = server.password, GUARD.new("another password")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{new}")
        server.password = new
        file.with_suffix(".new").write_text(f"{new}\n")
        file.with_suffix(".new").rename(file)
        both_know()
        client.execute_command("ACL", "SETUSER", "default", f"<{old}")


def register(consul, server, name, service="redis-main", tags=()):
    """Register the server as an instance of a service, with a check that `turn` turns."""
    check = {"CheckID": f"check-{name}", "TTL": "1h", "Status": "passing"}
    definition = {
        "ID": name,
        "Name": service,
        "Address": server.host,
        "Port": server.port,
        "Tags": list(tags),
        "Check": check,
    }
    assert consul.api("PUT", "/v1/agent/service/register", json=definition).ok


def turn(consul, name, status):
    """Have the check of an instance "pass" or "fail"."""
    assert consul.api("PUT", f"/v1/agent/check/{status}/check-{name}").ok

"""Consul sessions and keys that live no longer than the session that holds them.

https://developer.hashicorp.com/consul/api-docs/session. python-consul's own calls read an unknown session as an error
of the library, so these use its HTTP layer. All raise `ConsulError`.
"""

import json
from typing import Any

from .client import Client

LEAST_TTL_SECONDS = 10  # Consul accepts no shorter one


def create(client: Client, name: str, ttl: int) -> str:
    """A new session's id. Consul ends it within two `ttl` (seconds) of its last renewal, and deletes what it holds.

    It also ends when its node fails (the check serfHealth, which Consul adds). No lock delay: the keys are no locks
    that two would compete for, and their owner must get them back at once with its next session.
    """
    session = {"Name": name, "TTL": f"{ttl}s", "Behavior": "delete", "LockDelay": "0s"}
    return str(client.http.put(_created, "/v1/session/create", data=json.dumps(session)))


def renew(client: Client, session: str) -> bool:
    """Restart the session's TTL. False when Consul does not know it (any more)."""
    return bool(client.http.put(_renewed, f"/v1/session/renew/{session}"))


def destroy(client: Client, session: str) -> None:
    """End the session: the keys that it holds are deleted with it."""
    client.http.put(lambda response: None, f"/v1/session/destroy/{session}")


def acquire(client: Client, key: str, value: bytes, session: str) -> bool:
    """Write the key and hold it, or update it where the session holds it. False when another session does."""
    return bool(client.kv.put(key, value, acquire=session))


def _renewed(response: Any) -> bool:
    return response.code != 404 and bool(json.loads(response.body)[0]["ID"])


def _created(response: Any) -> Any:
    return json.loads(response.body)["ID"]

"""Consul sessions, and keys that are deleted with the session that holds them.

https://developer.hashicorp.com/consul/api-docs/session. python-consul's own calls turn an unknown session into an error
of the library, so these use its HTTP layer. All raise `ConsulError`.
"""

import json
import re
from typing import Any

from .client import SMALL, Client

LEAST_TTL_SECONDS = 10  # Consul rejects a shorter one
_ID = re.compile(r"[0-9a-f-]{1,100}")  # it becomes a part of URLs


def create(client: Client, name: str, ttl: int) -> str:
    """Create a session and return its id.

    Consul invalidates it within two `ttl` (seconds) of its last renewal, and deletes the keys it holds. There is no
    lock delay, because nobody competes for these keys and their owner must reacquire them at once with its next
    session. Nor is there the check serfHealth, which Consul would add: servers that lost their state do not have it
    until the agents' gossip has reached them, and refuse sessions with it for half a minute.
    """
    session = json.dumps(
        {"Name": name, "TTL": f"{ttl}s", "Behavior": "delete", "LockDelay": "0s", "NodeChecks": [], "Checks": []}
    )

    def its_id(response: Any) -> str:
        session = json.loads(response.body)["ID"]
        if not _ID.fullmatch(session):
            raise ValueError("not the id of a session")
        return str(session)

    return str(client.http.put(its_id, "/v1/session/create", data=session, most_bytes=SMALL))


def renew(client: Client, session: str) -> bool:
    """Restart the session's TTL. False when Consul does not know the session."""

    def is_renewed(response: Any) -> bool:
        return response.code != 404 and bool(json.loads(response.body)[0]["ID"])

    return bool(client.http.put(is_renewed, f"/v1/session/renew/{session}", most_bytes=SMALL))


def destroy(client: Client, session: str) -> None:
    """End the session; Consul deletes the keys it holds."""
    client.http.put(lambda response: None, f"/v1/session/destroy/{session}", most_bytes=SMALL)


def acquire(client: Client, key: str, value: bytes, session: str) -> bool:
    """Write the key and hold it with the session. False when another session holds it."""
    return bool(client.kv.put(key, value, acquire=session))

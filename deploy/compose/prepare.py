"""Prepares the Consul of compose.yaml: policies, the site's token, and the document. What is there already stays.

It runs in the site's image, with the standard library alone, and may be run any number of times.
"""

import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

SECONDS = 60.0  # for Consul to start and to elect its leader
ANONYMOUS = "00000000-0000-0000-0000-000000000002"

# Of docs/policies.md: start, edit, publish, register, and show the fleet; and DNS, whose queries have no token.
SITE = """
key "demo-config" { policy = "write" }
key_prefix "demo-config.history/" { policy = "write" }
key_prefix "demo-config.workers/" { policy = "write" }
session_prefix "" { policy = "write" }
service "mydemo" { policy = "write" }
node_prefix "" { policy = "read" }
"""
DNS = """
service "mydemo" { policy = "read" }
node_prefix "" { policy = "read" }
"""


class Refused(Exception):
    """Consul did not do what it was asked for."""


class Consul:
    """Requests to Consul with one token."""

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address, token

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The answer's status and its JSON, or its text. Raises `OSError`, `HTTPException`."""
        connection = http.client.HTTPConnection(self._address, timeout=10)
        try:
            sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, f"/v1/{path}", sent, {"X-Consul-Token": self._token})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if answer.status == 200 else text
        finally:
            connection.close()

    def told(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer that must be a success."""
        status, said = self.ask(method, path, body)
        if status != 200:
            raise Refused(f"{method} /v1/{path} was answered {status}: {said[:200]}")
        return said


def wait(consul: Consul) -> None:
    """Until the management token is known, which takes a leader."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            status, said = consul.ask("GET", "acl/token/self")
            if status == 200:
                return
        except (OSError, http.client.HTTPException) as error:
            said = error
        if time.monotonic() > deadline:
            raise Refused(f"Consul is not ready: {said}")
        time.sleep(0.5)


def put_policy(consul: Consul, name: str, rules: str) -> dict[str, str]:
    known = {policy["Name"]: policy["ID"] for policy in consul.told("GET", "acl/policies")}
    path = f"acl/policy/{known[name]}" if name in known else "acl/policy"
    consul.told("PUT", path, {"Name": name, "Rules": rules})
    return {"Name": name}


def prepare(address: str, management: str, site: str, document: bytes) -> None:
    """Raises `Refused`, `OSError`, `HTTPException`."""
    consul = Consul(address, management)
    wait(consul)
    policy = put_policy(consul, "mydemo", SITE)
    if Consul(address, site).ask("GET", "acl/token/self")[0] != 200:
        consul.told("PUT", "acl/token", {"SecretID": site, "Description": "the site", "Policies": [policy]})
    dns = put_policy(consul, "mydemo-dns", DNS)
    consul.told("PUT", f"acl/token/{ANONYMOUS}", {"Description": "Anonymous Token", "Policies": [dns]})
    is_new = consul.told("PUT", "kv/demo-config?cas=0", document)
    print("The document was stored." if is_new else "The document stays as it is.")


def main() -> None:
    folder = Path(os.environ["SECRETS"])
    management, site = ((folder / f"consul_{name}_token").read_text().strip() for name in ("management", "site"))
    document = Path(__file__).with_name("document.json").read_bytes()
    try:
        prepare(os.environ["CONSUL_HTTP_ADDR"], management, site, document)
    except (Refused, OSError, http.client.HTTPException) as reason:
        sys.exit(f"Consul was not prepared. {reason}")


if __name__ == "__main__":
    main()

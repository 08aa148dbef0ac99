"""Several writes as one: all are made, or none. https://developer.hashicorp.com/consul/api-docs/txn"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from ..messages import _
from .client import Client
from .errors import Refused

MAX_OPERATIONS = 64
# Of the whole request, in which values stand in base64: the default of the agent's limits.txn_max_req_len.
MAX_BYTES = 512 * 1024

Operation = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Failure:
    """Why one operation, counted from 0, stopped the transaction; `reason` is the agent's own word."""

    operation: int
    reason: str

    @property
    def is_denied(self) -> bool:
        """Whether the token lacks a right."""
        return "permission denied" in self.reason.lower()


@dataclass(frozen=True)
class Outcome:
    """`index` is the modify index of everything that was written; None when nothing was, for `failures`."""

    index: int | None
    failures: tuple[Failure, ...] = ()


def compare_and_set(key: str, value: bytes, index: int) -> Operation:
    """Write the key while its modify index is `index`; with 0, only if it is not there."""
    return {"KV": {"Verb": "cas", "Key": key, "Value": base64.b64encode(value).decode(), "Index": index}}


def delete(key: str) -> Operation:
    """Remove the key; one that is not there is no failure."""
    return {"KV": {"Verb": "delete", "Key": key}}


def size(operations: list[Operation]) -> int:
    """The bytes of the request."""
    return len(json.dumps(operations))


def commit(client: Client, operations: list[Operation]) -> Outcome:
    """Make all of the writes, or none. Raises `ConsulError`; after an `Unreachable` they may have been made."""
    if len(operations) > MAX_OPERATIONS or size(operations) > MAX_BYTES:
        limits = {"count": MAX_OPERATIONS, "bytes": MAX_BYTES}
        raise Refused(_("A transaction has at most %(count)s operations and %(bytes)s bytes.", **limits))
    found: Outcome = client.http.put(_outcome, "/v1/txn", data=json.dumps(operations))
    return found


def _outcome(response: Any) -> Outcome:
    answer = json.loads(response.body)
    if response.code == 409:
        return Outcome(None, tuple(Failure(error["OpIndex"], error["What"]) for error in answer["Errors"]))
    return Outcome(max(result["KV"]["ModifyIndex"] for result in answer["Results"] if "KV" in result))

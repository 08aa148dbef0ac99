"""Transactions: all writes are made, or none. https://developer.hashicorp.com/consul/api-docs/txn"""

import base64
import json
from dataclasses import dataclass
from typing import Any

from .client import SMALL, Client

MAX_OPERATIONS = 64  # in one transaction
MAX_BYTES = 512 * 1024  # of the whole request: the default of the agent's limits.txn_max_req_len

Operation = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Failure:
    """Why the operation at this position, counted from 0, failed; `reason` is the agent's text."""

    operation: int
    reason: str

    @property
    def is_denied(self) -> bool:
        return "permission denied" in self.reason.lower()


@dataclass(frozen=True)
class Outcome:
    """`index` is the modify index of everything written; None when nothing was, because of `failures`."""

    index: int | None
    failures: tuple[Failure, ...] = ()


def compare_and_set(key: str, value: bytes, index: int) -> Operation:
    """Write the key if its modify index is `index`; 0: if it does not exist."""
    return {"KV": {"Verb": "cas", "Key": key, "Value": base64.b64encode(value).decode(), "Index": index}}


def delete(key: str) -> Operation:
    """Delete the key, if it exists."""
    return {"KV": {"Verb": "delete", "Key": key}}


def size(operations: list[Operation]) -> int:
    return len(json.dumps(operations))


def commit(client: Client, operations: list[Operation]) -> Outcome:
    """Make all of the writes, or none. Raises `ConsulError`; after an `Unreachable` they may have been made."""

    def outcome(response: Any) -> Outcome:
        answer = json.loads(response.body)
        if response.code == 409:
            return Outcome(None, tuple(failure(error["OpIndex"], error["What"]) for error in answer["Errors"]))
        index = max(result["KV"]["ModifyIndex"] for result in answer["Results"] if "KV" in result)
        if type(index) is not int or index < 1:
            raise TypeError("not an index")
        return Outcome(index)

    def failure(operation: Any, reason: Any) -> Failure:
        if operation not in range(len(operations)) or not isinstance(reason, str):
            raise TypeError("not the failure of an operation")
        return Failure(operation, client.http.reason(reason))

    found: Outcome = client.http.put(outcome, "/v1/txn", data=json.dumps(operations), most_bytes=SMALL)
    return found

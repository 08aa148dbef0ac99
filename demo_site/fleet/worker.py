"""The state that a worker publishes, and its key in Consul KV."""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from ..bounded import remembering
from ..messages import Line, Message, _
from ..registration.definition import ID

UNREADABLE = _("unreadable")
_LONGEST_REASON = 500  # characters: a bad document has a reason for each fault, and every worker stores and shows it
_NAME = re.compile(rf"({ID})/(0|[1-9][0-9]{{0,9}})")


@dataclass(frozen=True)
class Worker:
    """One serving process. `state`, `index` and `reason` are those of `/readyz`; times are ISO 8601 in UTC.

    `workers` is how many workers the instance should have, as far as this one knows, and `registers` whether the
    instance registers itself. `rejected` is the ModifyIndex of a document that it does not take over. At `address` and
    `port` others reach the instance, as far as this worker knows. `state` is "unreadable" if the key's value is not
    what a worker publishes.
    """

    instance: str
    pid: int
    started_at: str
    index: int | None
    state: str
    reason: str | None
    workers: int
    seen_at: str = field(compare=False)
    registers: bool = False
    address: str = ""
    port: int = 0
    rejected: int | None = None

    @property
    def good(self) -> bool:
        """Whether it runs what it should; if not, `reason` says why."""
        return self.state in ("current", "file")

    def as_json(self) -> bytes:
        """The value of the worker's key. It has the reason also as a message, which readers can translate."""
        members = asdict(self) | {"reason": self.reason and self.reason[:_LONGEST_REASON]}
        if isinstance(self.reason, Message) and len(self.reason) <= _LONGEST_REASON:
            members["reason_message"] = self.reason.as_json()
        return json.dumps(members, ensure_ascii=False).encode()


def _cut(reason: Any) -> Any:
    return reason[:_LONGEST_REASON] if isinstance(reason, str) else reason


class _Published(BaseModel):
    """The members of a worker's key. Other versions of the site may add some, or lack those that have a default."""

    started_at: Line
    index: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    state: Annotated[Line, Field(min_length=1)]
    reason: Annotated[Line, BeforeValidator(_cut)] | None = None
    reason_message: Any = None
    workers: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    seen_at: Line
    registers: bool = False
    address: Line = ""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    rejected: Annotated[int, Field(ge=0, lt=2**63)] | None = None

    @property
    def message(self) -> str | None:
        """The reason as a message, if the worker published one with this text; else as text."""
        if self.reason_message is None:
            return self.reason
        try:
            message = Message.from_json(self.reason_message)
        except (ValueError, KeyError):
            return self.reason
        return message if message == self.reason else self.reason


def prefix(config_key: str) -> str:
    """The prefix of the keys of all workers that follow `config_key`. A token needs `key:write` on it."""
    return f"{config_key}.workers/"


def key(config_key: str, instance: str, pid: int) -> str:
    return f"{prefix(config_key)}{instance}/{pid}"


def instance_of(name: str) -> str | None:
    """The instance whose worker has the key `name`, as it is below the prefix; None if it is no worker's."""
    found = _NAME.fullmatch(name)
    return found and found[1]


def parsed(name: str, value: bytes, alive_at: str = "") -> Worker | None:
    """The worker that `value` describes, or None if `name`, its key below the prefix, is no worker's.

    `alive_at` is a time at which the worker was alive; the worker's own `seen_at` may be older.
    """
    worker = _read(value, name)
    if worker is None or worker.seen_at >= alive_at:
        return worker
    return replace(worker, seen_at=alive_at)


@remembering(1024, 4096)
def _read(value: bytes, name: str) -> Worker | None:
    found = _NAME.fullmatch(name)
    if not found:
        return None
    instance, pid = found[1], int(found[2])
    try:
        said = _Published.model_validate_json(value, strict=True)
    except ValidationError:
        reason = _("its key does not contain a worker's state")
        return Worker(instance, pid, "", None, UNREADABLE, reason, 0, "")
    return Worker(
        instance=instance,
        pid=pid,
        started_at=said.started_at,
        index=said.index,
        state=Message(said.state),
        reason=said.message,
        workers=said.workers or 0,
        seen_at=said.seen_at,
        registers=said.registers,
        address=said.address,
        port=said.port,
        rejected=said.rejected,
    )

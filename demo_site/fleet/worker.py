"""The state that a worker publishes, and its key in Consul KV."""

import functools
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from ..messages import Message, _

UNREADABLE = _("unreadable")
_state = functools.lru_cache(maxsize=64)(Message)  # there are a handful, and hundreds of workers
_LONGEST_REASON = 500  # characters: a bad document has a reason for each fault, and every worker stores and shows it


@dataclass(frozen=True)
class Worker:
    """One serving process. `state`, `index` and `reason` are those of `/readyz`; times are ISO 8601 in UTC.

    `workers` is how many workers the instance should have, as far as this one knows, and `registers` whether the
    instance registers itself. `state` is "unreadable" if the key's value is not what a worker publishes.
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

    @property
    def good(self) -> bool:
        """Whether it runs what it should; if not, `reason` says why."""
        return self.state in ("current", "file")

    def as_json(self) -> bytes:
        """The value of the worker's key. It has the reason also as a message, which readers can translate."""
        members = asdict(self) | {"reason": self.reason and self.reason[:_LONGEST_REASON]}
        if isinstance(self.reason, Message):
            members["reason_message"] = self.reason.as_json()
        return json.dumps(members, ensure_ascii=False).encode()


def prefix(config_key: str) -> str:
    """The prefix of the keys of all workers that follow `config_key`. A token needs `key:write` on it."""
    return f"{config_key}.workers/"


def key(config_key: str, instance: str, pid: int) -> str:
    return f"{prefix(config_key)}{instance}/{pid}"


def parsed(name: str, value: bytes, alive_at: str = "") -> Worker | None:
    """The worker that `value` describes, or None if `name`, its key below the prefix, is no worker's.

    `alive_at` is a time at which the worker was alive; the worker's own `seen_at` may be older. Tolerant, because
    different versions of the site may run side by side.
    """
    instance, _slash, pid = name.rpartition("/")
    if not instance or not (pid.isascii() and pid.isdigit()):
        return None
    try:
        return _from_members(instance, int(pid), json.loads(value.decode()), alive_at)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        reason = _("its key does not contain a worker's state")
        return Worker(instance, int(pid), "", None, UNREADABLE, reason, 0, alive_at)


def _from_members(instance: str, pid: int, members: dict[str, Any], alive_at: str) -> Worker:
    index = members.get("index")
    return Worker(
        instance=instance,
        pid=pid,
        started_at=str(members["started_at"]),
        index=None if index is None else int(index),
        state=_state(str(members["state"])),
        reason=_reason(members),
        workers=int(members.get("workers") or 0),
        seen_at=max(str(members["seen_at"]), alive_at),
        registers=bool(members.get("registers")),
    )


def _reason(members: dict[str, Any]) -> str | None:
    """The reason as a message, if the worker published one with this text; else as text."""
    reason = members.get("reason")
    if reason is None:
        return None
    text = str(reason)[:_LONGEST_REASON]
    try:
        message = Message.from_json(members.get("reason_message"))
    except (ValueError, KeyError):
        return text
    return message if message[:_LONGEST_REASON] == text else text

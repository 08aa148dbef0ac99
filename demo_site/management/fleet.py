"""What the workers of all instances run, as `effective_config` prints it."""

from collections import Counter
from typing import Any, NamedTuple

from django.conf import settings
from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from ..consul_agent import kv
from ..consul_agent.client import Timeouts
from ..consul_agent.errors import ConsulError
from ..fleet.instances import Fleet, Instance, overview
from ..fleet.worker import prefix
from ..messages import Message
from ..monitoring import verdict
from .errors import command_error
from .table import coloured, table

_SHOWN = ("instance", "pid", "index", "state", "started_at", "seen_at")
_COLUMNS = (*_SHOWN, "reason")
_NONE = (
    "No worker has published itself, and no instance is registered that the token may see "
    "(`service:read`, `node:read`).\n"
    "A worker needs `session:write` and `key:write` on `%s`; if it lacks one, its log says so."
)


class Report(NamedTuple):
    """`rows` has one for each worker that is there. `text` is for people: the rows, each reason once, the instances."""

    rows: list[dict[str, Any]]
    text: str
    notes: tuple[Message, ...]
    is_well: bool


def report(out: OutputWrapper, style: Style) -> Report:
    """What the fleet runs, and whether that is as it should be.

    Raises `CommandError`.
    """
    start = settings.CONFIGURATION.start
    try:
        with start.open_client() as client:
            _index, stored = kv.query(client, start.key)
    except ConsulError as error:
        raise command_error(error, f"The token needs `key:read` on `{start.key}`.") from error
    try:
        index = stored.modify_index if stored else None
        found = _fleet(Timeouts(), index)
    except ConsulError as error:
        raise command_error(error) from error
    rows = [{name: getattr(w, name) for name in _COLUMNS} for instance in found.instances for w in instance.workers]
    moments = ("started_at", "seen_at")  # a narrow column may break them at the blank
    shown = [row | {name: row[name].replace("T", " ")[:19] for name in moments} for row in rows]
    lines = [table(shown, _SHOWN, out, style), "", *_reasons(found, style)] if rows else []
    lines += [_sentence(instance, style) for instance in found.instances]
    judged = verdict.of(found, index=index)
    text = "\n".join([*lines, "", coloured(judged.level, judged.text, style)]) if lines else _NONE % prefix(start.key)
    return Report(rows, text, found.notes, judged.level == "good")


def summary(stored_index: int | None) -> str:
    """What the workers run, in a few words; nothing while that cannot be read, because the rows matter more."""
    try:
        found = _fleet(Timeouts(connect=0.5, read=1.0), stored_index)
    except ConsulError:
        return ""
    counts = Counter((worker.state, worker.index) for worker in found.workers)
    return ", ".join(f"{count} {state} on version {index}" for (state, index), count in counts.items())


def _fleet(timeouts: Timeouts, stored_index: int | None) -> Fleet:
    start = settings.CONFIGURATION.start
    with start.open_client(timeouts) as client:
        return overview(client, start.key, start.environment["SERVICE_NAME"], stored_index)


def _reasons(found: Fleet, style: Style) -> list[str]:
    """Such as "rejected, 2 workers: REASON"."""
    counts = Counter((worker.state, worker.reason) for worker in found.workers if worker.reason)
    return [
        coloured(state, Message.of(f"{state}, {count} worker{'s'[: count > 1]}: {reason}"), style)
        for (state, reason), count in counts.items()
    ]


def _sentence(instance: Instance, style: Style) -> str:
    """Such as "NAME-web1-8000: 1 of 2 workers (1 MISSING: ...), passing"."""
    missing = f" ({instance.missing} MISSING: dead, hanging, or cut off from Consul)" if instance.missing else ""
    unread = f" ({instance.unread} not read)" if instance.unread else ""
    unseen = "NOT REGISTERED, but it should be, or the token may not see it (`service:read`, `node:read`)"
    absent = unseen if instance.lost else "not registered"
    text = Message.of(f"{instance.name}: {instance.count} workers{missing}{unread}, {instance.health or absent}")
    return str(style.ERROR(text)) if instance.missing or instance.lost else text

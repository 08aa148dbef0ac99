"""Template filters of the configuration's pages."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from ..fleet.instances import Instance
from ..fleet.worker import Worker
from ..messages import translated

register = template.Library()


@register.filter
def words(value: Any) -> Any:
    """A message in the visitor's language; whatever else as it is."""
    return translated(value, gettext)


@register.filter
def plain(value: Any) -> str:
    """A setting's value as text: true or false as JSON has them, a list as lines; a message as `words` has it."""
    if value in ("", []):
        return gettext("(empty)")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(translated(value, gettext))


@register.filter
def moment(value: datetime | str) -> str:
    """A moment in UTC, to the second; text is ISO 8601. What cannot be read stays as it is."""
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        return str(value)
    at = at.astimezone(UTC)
    return format_html('<time datetime="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S} UTC")


@register.filter
def rows(instance: Instance) -> str:
    """The instance's rows in the table of who runs what."""
    return _rows(instance, get_language())


@lru_cache(maxsize=1024)  # hundreds of instances, and at the next refresh nearly all of them are as they were
def _rows(instance: Instance, language: str | None) -> str:
    return render_to_string("demo_site/_instance.html", {"instance": instance})


@register.filter
def current_ones(workers: Iterable[Worker]) -> list[tuple[int | None, list[Worker]]]:
    """The workers that run what they should, by the index that they run."""
    found = defaultdict(list)
    for worker in workers:
        if worker.good:
            found[worker.index].append(worker)
    return list(found.items())


@register.filter
def troubled_ones(workers: Iterable[Worker]) -> list[tuple[Worker, str]]:
    """Of the workers that do not run what they should: one for each state, index and reason, and the pids of all such.

    A document that one rejects, all reject: one row says it.
    """
    found = defaultdict(list)
    for worker in workers:
        if not worker.good:
            found[worker.state, worker.index, worker.reason].append(worker)
    return [(alike[0], ", ".join(str(worker.pid) for worker in alike)) for alike in found.values()]


@register.filter
def items(workers: Iterable[Worker]) -> str:
    """The workers as items of a list. Made here because a template takes five times as long, and there may be 500."""
    text = gettext("pid %(pid)s, started %(time)s")
    return SafeString("".join(_item(worker, text) for worker in workers))


def _item(worker: Worker, text: str) -> str:
    shown = text % {"pid": worker.pid, "time": f"{worker.started_at[:19].replace('T', ' ')} UTC"}
    return f'<li data-worker="{worker.pid:d}" data-state="{escape(worker.state)}">{escape(shown)}</li>'

"""Template filters of the configuration's pages."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from ..fleet.worker import Worker
from ..wording import localized

register = template.Library()


@register.filter
def words(value: Any) -> Any:
    """A sentence of ours in the visitor's language; whatever else as it is."""
    return localized(value) if isinstance(value, str) else value


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
def current_ones(workers: Iterable[Worker]) -> list[tuple[int | None, list[Worker]]]:
    """The workers that run what they should, by the index that they run."""
    found = defaultdict(list)
    for worker in workers:
        if worker.good:
            found[worker.index].append(worker)
    return list(found.items())


@register.filter
def items(workers: Iterable[Worker]) -> str:
    """The workers as items of a list. Made here because a template takes five times as long, and there may be 500."""
    text = gettext("pid %(pid)s, started %(time)s")
    return SafeString("".join(_item(worker, text) for worker in workers))


def _item(worker: Worker, text: str) -> str:
    shown = text % {"pid": worker.pid, "time": f"{worker.started_at[:19].replace('T', ' ')} UTC"}
    return f'<li data-worker="{worker.pid:d}" data-state="{escape(worker.state)}">{escape(shown)}</li>'

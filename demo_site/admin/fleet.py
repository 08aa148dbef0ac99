"""Instances and workers, as the first page shows it."""

from collections import defaultdict
from collections.abc import Container, Iterable
from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.translation import get_language, gettext

from ..config.live import Live
from ..config.source import QUICK
from ..fleet.instances import Fleet, Instance, overview
from ..fleet.publisher import LEAST_GAP_SECONDS
from ..fleet.worker import Worker
from ..messages import _
from ..registration.definition import DEFAULT_ADDRESS, DefinitionInvalid, define
from ..templatetags.configuration import moment
from . import links

_SETTLED_SECONDS = 2 * LEAST_GAP_SECONDS  # after a change every worker has published it
_MOST_INSTANCES = 500  # on the page
# By language, the rows of the last page: at the next refresh nearly all of hundreds of instances are as they were.
_rendered: dict[str | None, dict[tuple[Instance, frozenset[str], str | None], str]] = {}


def read(live: Live, index: int | None) -> Fleet:
    """The fleet; `index` is the key's. Raises `ConsulError`."""
    # For a moment the others may have taken a change over and not published that yet.
    is_new = (datetime.now(UTC) - live.in_force.revision.loaded_at).total_seconds() < _SETTLED_SECONDS
    with live.start.open_client(QUICK) as client:
        service = live.start.environment["SERVICE_NAME"]
        return overview(client, live.start.key, service, None if is_new else index)


def shown(live: Live, found: Fleet, told: Iterable[str], visited: str) -> dict[str, Any]:
    """For the template: the rows of each instance. `told` are reasons of rejections that the page says anyway.

    The links of the instances are for who visits the site at `visited`.
    """
    # The ones that somebody must look at first.
    instances = sorted(found.instances, key=lambda instance: (instance.good, not instance.registered))
    notes = list(found.notes)
    if len(instances) > _MOST_INSTANCES:
        left = len(instances) - _MOST_INSTANCES
        notes.append(_("There are more instances than this page shows. Not shown: %(count)s.", count=left))
    language = get_language()
    before = _rendered.get(language, {})
    scheme, reasons = _scheme(live), frozenset(told)
    keys = [
        (instance, reasons, scheme if links.reach(instance.place[0], visited) else None)
        for instance in instances[:_MOST_INSTANCES]
    ]
    rows = {key: before.get(key) or _rows(*key) for key in keys}
    _rendered[language] = rows
    return {"fleet": rows.values(), "fleet_notes": notes}


def _scheme(live: Live) -> str:
    """How the instances are asked: all as this one."""
    try:
        return define(live.start.environment, address=DEFAULT_ADDRESS).scheme
    except DefinitionInvalid:
        return "http"


def _rows(instance: Instance, told: Container[str], scheme: str | None) -> str:
    """Workers that run what they should are shown by index. Of the others one for each state, index and reason, with
    the pids of all such: a document that one rejects, all reject. A reason that is `told` already is left out.
    """
    current, troubled = defaultdict(list), defaultdict(list)
    for worker in instance.workers:
        if worker.good:
            current[worker.index].append(worker)
        else:
            troubled[worker.state, worker.index, worker.reason].append(worker)
    known = {
        "instance": instance,
        "place": _joined(*instance.place) if instance.place[0] else "",
        "url": f"{scheme}://{_joined(*instance.place)}" if scheme and instance.place[0] else None,
        "current": [(index, len(workers), _items(workers)) for index, workers in current.items()],
        "troubled": [_troubled(alike, told) for alike in troubled.values()],
    }
    return render_to_string("demo_site/_fleet_instance.html", known)


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _troubled(alike: list[Worker], told: Container[str]) -> tuple[Worker, str, str | None]:
    worker, pids = alike[0], ", ".join(str(each.pid) for each in alike)
    return worker, pids, None if worker.rejected and worker.reason in told else worker.reason


def _items(workers: Iterable[Worker]) -> str:
    """The workers as items of a list. Made here because a template takes five times as long, and there may be 500."""
    text = gettext("pid %(pid)s, started %(time)s") % {"pid": "{pid}", "time": "{time}"}
    items = ((each.pid, each.state, format_html(text, pid=each.pid, time=moment(each.started_at))) for each in workers)
    return format_html_join("", '<li data-worker="{}" data-state="{}">{}</li>', items)

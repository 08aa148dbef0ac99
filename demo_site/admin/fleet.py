"""Who runs what, as the first page shows it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.translation import get_language, gettext

from ..config.live import Live
from ..config.source import QUICK
from ..consul_agent.errors import ConsulError
from ..fleet import this_worker
from ..fleet.instances import Fleet, Instance, overview
from ..fleet.publisher import LEAST_GAP_SECONDS
from ..fleet.worker import Worker
from ..messages import _

_SETTLED_SECONDS = 2 * LEAST_GAP_SECONDS  # after a change every worker has published it
_MOST_INSTANCES = 500  # on the page
# By language, the rows of the last page: at the next refresh nearly all of hundreds of instances are as they were.
_rendered: dict[str | None, dict[Instance, str]] = {}


def shown(live: Live, index: int | None) -> dict[str, Any]:
    """For the template: the rows of each instance, or why they cannot be read. `index` is the key's."""
    known: dict[str, Any] = {"unpublished": this_worker.trouble()}
    try:
        found = _read(live, index)
    except ConsulError as error:
        return known | {"fleet_trouble": error.message}
    # The ones that somebody must look at first.
    instances = sorted(found.instances, key=lambda instance: (instance.good, not instance.registered))
    notes = list(found.notes)
    if len(instances) > _MOST_INSTANCES:
        left = len(instances) - _MOST_INSTANCES
        notes.append(_("There are more instances than this page shows. Not shown: %(count)s.", count=left))
    language = get_language()
    before = _rendered.get(language, {})
    rows = {instance: before.get(instance) or _rows(instance) for instance in instances[:_MOST_INSTANCES]}
    _rendered[language] = rows
    return known | {"fleet": rows.values(), "fleet_notes": notes}


def _read(live: Live, index: int | None) -> Fleet:
    # For a moment the others may have taken a change over and not published that yet.
    is_new = (datetime.now(UTC) - live.in_force.revision.loaded_at).total_seconds() < _SETTLED_SECONDS
    with live.start.open_client(QUICK) as client:
        service = live.start.environment["SERVICE_NAME"]
        return overview(client, live.start.key, service, None if is_new else index)


def _rows(instance: Instance) -> str:
    """Workers that run what they should are shown by index. Of the others one for each state, index and reason, with
    the pids of all such: a document that one rejects, all reject.
    """
    current, troubled = defaultdict(list), defaultdict(list)
    for worker in instance.workers:
        if worker.good:
            current[worker.index].append(worker)
        else:
            troubled[worker.state, worker.index, worker.reason].append(worker)
    known = {
        "instance": instance,
        "current": [(index, len(workers), _items(workers)) for index, workers in current.items()],
        "troubled": [(alike[0], ", ".join(str(worker.pid) for worker in alike)) for alike in troubled.values()],
    }
    return render_to_string("demo_site/_fleet_instance.html", known)


def _items(workers: Iterable[Worker]) -> str:
    """The workers as items of a list. Made here because a template takes five times as long, and there may be 500."""
    text = gettext("pid %(pid)s, started %(time)s")
    items = (
        (each.pid, each.state, text % {"pid": each.pid, "time": f"{each.started_at[:19].replace('T', ' ')} UTC"})
        for each in workers
    )
    return format_html_join("", '<li data-worker="{}" data-state="{}">{}</li>', items)

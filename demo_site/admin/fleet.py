"""Who runs what, as the first page shows it."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.translation import get_language, gettext

from ..config.live import Live
from ..consul_agent.errors import ConsulError
from ..fleet import this_worker
from ..fleet.instances import Instance, overview
from ..fleet.publisher import LEAST_GAP_SECONDS
from ..fleet.worker import Worker
from ..monitoring import checks

_SETTLED_SECONDS = 2 * LEAST_GAP_SECONDS  # after a change every worker has published it


def shown(live: Live, index: int | None) -> dict[str, Any]:
    """For the template: the rows of each instance, or why they cannot be read. `index` is the key's."""
    known: dict[str, Any] = {"unpublished": this_worker.trouble()}
    try:
        known["fleet"] = [_rows(instance, get_language()) for instance in _instances(live, index)]
    except ConsulError as error:
        known["fleet_trouble"] = error.message
    return known


def _instances(live: Live, index: int | None) -> list[Instance]:
    """The instances, the ones that somebody must look at first."""
    # For a moment the others may have taken a change over and not published that yet.
    is_new = (datetime.now(UTC) - live.in_force.revision.loaded_at).total_seconds() < _SETTLED_SECONDS
    with live.start.open_client(checks.QUICK) as client:
        service = live.start.environment["SERVICE_NAME"]
        found = overview(client, live.start.key, service, None if is_new else index)
    return sorted(found, key=lambda instance: instance.good)


@lru_cache(maxsize=1024)  # hundreds of instances, and at the next refresh nearly all of them are as they were
def _rows(instance: Instance, language: str | None) -> str:
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

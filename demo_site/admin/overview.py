"""The first page for an operator: how everything is, who runs what, what was changed last, every setting."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from ..config.live import Live
from ..consul_agent.errors import ConsulError
from ..fleet import this_worker
from ..fleet.instances import Instance, overview
from ..fleet.publisher import LEAST_GAP_SECONDS
from ..monitoring import checks, effective
from . import history

_LAST_CHANGES = 3
_SETTLED_SECONDS = 2 * LEAST_GAP_SECONDS  # after a change every worker has published it


def show(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The whole page. Works when Consul and Redis are down."""
    live: Live = settings.CONFIGURATION
    known = _status(live)
    events = _last_changes(live) if known["fleet"] is not None else ()  # do not wait for Consul in vain
    known |= {"page": "overview", "title": gettext("Effective configuration")}
    known |= {"rows": effective.rows(live), "events": events}
    return TemplateResponse(request, "demo_site/effective_configuration.html", context | known)


def show_status(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The part of the page that changes by itself, for the script that asks for it again and again."""
    return TemplateResponse(request, "demo_site/_status.html", _status(settings.CONFIGURATION))


def _status(live: Live) -> dict[str, Any]:
    lines, index = checks.lines(live)
    known: dict[str, Any] = {"statuses": lines, "fleet": None}
    if all(line.good for line in lines if line.what == "Consul"):
        known["unpublished"] = this_worker.trouble()
        known["version"] = f"{index} {live.in_force.revision.index}"  # what changes with the rest of the page
        try:
            known["fleet"] = _fleet(live, index)
        except ConsulError as error:
            known["fleet_trouble"] = error.message
    return known


def _fleet(live: Live, index: int | None) -> list[Instance]:
    """The instances, the ones that somebody must look at first. `index` is the key's."""
    # For a moment the others may have taken a change over and not published that yet.
    is_new = (datetime.now(UTC) - live.in_force.revision.loaded_at).total_seconds() < _SETTLED_SECONDS
    with closing(live.start.open_client(checks.QUICK)) as client:
        service = live.start.environment["SERVICE_NAME"]
        found = overview(client, live.start.key, service, None if is_new else index)
    return sorted(found, key=lambda instance: instance.good)


def _last_changes(live: Live) -> Any:
    try:
        return history.events(live, _LAST_CHANGES)
    except ConsulError:
        return ()  # the status reports it

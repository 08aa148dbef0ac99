"""The first page for an operator: how everything is, who runs what, what was changed last, every setting."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from .. import status
from ..config import effective
from ..config.live import Live
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..fleet import this_worker
from ..fleet.overview import Instance, overview
from . import rollback

_LAST_CHANGES = 3


def show(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The whole page. Works when Consul and Redis are down."""
    live: Live = settings.CONFIGURATION
    known = _status(live)
    events = _last_changes(live) if known["fleet"] is not None else ()  # do not wait for Consul in vain
    more = {"page": "overview", "title": _("Effective configuration"), "rows": effective.rows(live), "events": events}
    return TemplateResponse(request, "demo_site/effective_configuration.html", context | known | more)


def show_status(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The part of the page that changes by itself, for the script that asks for it again and again."""
    return TemplateResponse(request, "demo_site/_status.html", _status(settings.CONFIGURATION))


def _status(live: Live) -> dict[str, Any]:
    lines = status.lines(live)
    reachable = all(line.good for line in lines if line.what == "Consul")
    return {
        "statuses": lines,
        "fleet": _fleet(live) if reachable else None,
        "unpublished": this_worker.trouble() if reachable else None,
    }


def _fleet(live: Live) -> list[Instance] | None:
    """The instances, the ones that somebody must look at first; None when Consul does not tell."""
    environment, client = live.start.environment, Client(live.start.address, status.QUICK)
    try:
        found = overview(client, environment["DEMO_CONFIG_KEY"], environment["SERVICE_NAME"])
    except ConsulError:
        return None
    finally:
        client.close()
    return sorted(found, key=lambda instance: instance.good)


def _last_changes(live: Live) -> Any:
    try:
        return rollback.events(live, _LAST_CHANGES)
    except ConsulError:
        return ()  # the status says it

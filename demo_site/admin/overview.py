"""The first page for an operator: how everything is, who runs what, what was changed last, every setting."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from ..config.live import Live
from ..consul_agent.errors import ConsulError
from ..fleet import this_worker
from ..fleet.instances import Fleet
from ..monitoring import checks, verdict
from . import fleet, links, pulse, settings_groups
from .timeline import last_changes, restorable


def show(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The whole page. Works when Consul and Redis are down."""
    live: Live = settings.CONFIGURATION
    known = _status(live, request.get_host())
    if "version" in known:  # do not wait for Consul in vain
        known |= last_changes(live)
    known |= {"page": "overview", "title": gettext("Effective configuration")} | settings_groups.shown(live)
    known["pulse"] = pulse.shown(live)
    return TemplateResponse(request, "demo_site/effective_configuration.html", context | known)


def show_status(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The part of the page that changes by itself, for the script that asks for it again and again."""
    live: Live = settings.CONFIGURATION
    known = {"title": gettext("Effective configuration"), "pulse": pulse.shown(live)}
    return TemplateResponse(request, "demo_site/_status.html", context | known | _status(live, request.get_host()))


def in_brief() -> dict[str, Any]:
    """The verdict and the last change, for a template."""
    known = _status(settings.CONFIGURATION)
    if "version" in known:
        known |= last_changes(settings.CONFIGURATION, 1)
    return known


def _status(live: Live, visited: str = "") -> dict[str, Any]:
    lines, index = checks.lines(live)
    found: Fleet | None = None
    known: dict[str, Any] = {"statuses": lines, "unpublished": this_worker.trouble()}
    known["consul_page"] = _consul_page(live, visited)
    if all(line.good for line in lines if line.what == "Consul"):
        known["restorable"] = restorable(live, index)
        known["version"] = f"{index} {live.in_force.revision.index}"  # what changes with the rest of the page
        try:
            found = fleet.read(live, index)
            known |= fleet.shown(live, found, [live.status.reason or ""], visited)
        except ConsulError as error:
            known["fleet_trouble"] = error.message
    return known | {"verdict": verdict.of(found, lines, index)}


def _consul_page(live: Live, visited: str) -> str | None:
    agent = live.start.address
    return f"{agent.url}/ui/" if links.reach(agent.host, visited) else None

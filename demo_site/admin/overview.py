"""The first page for an operator: how everything is, who runs what, what was changed last, every setting."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from ..config.live import Live
from ..monitoring import checks, effective
from . import fleet
from .history import last_changes


def show(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The whole page. Works when Consul and Redis are down."""
    live: Live = settings.CONFIGURATION
    known = _status(live)
    if "version" in known:  # do not wait for Consul in vain
        known |= last_changes(live)
    known |= {"page": "overview", "title": gettext("Effective configuration"), "rows": effective.rows(live)}
    return TemplateResponse(request, "demo_site/effective_configuration.html", context | known)


def show_status(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The part of the page that changes by itself, for the script that asks for it again and again."""
    return TemplateResponse(request, "demo_site/_status.html", _status(settings.CONFIGURATION))


def _status(live: Live) -> dict[str, Any]:
    lines, index = checks.lines(live)
    known: dict[str, Any] = {"statuses": lines}
    if all(line.good for line in lines if line.what == "Consul"):
        known["version"] = f"{index} {live.in_force.revision.index}"  # what changes with the rest of the page
        known |= fleet.shown(live, index)
    return known

"""One version of the document: how far it has come in the fleet, who made it, and the way back."""

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from ..config.live import Live
from ..config.source import QUICK
from ..consul_agent import kv
from ..consul_agent.errors import ConsulError
from ..monitoring import rollout, verdict
from . import fleet
from .timeline import change


def show(request: HttpRequest, context: dict[str, Any], index: int) -> HttpResponse:
    """The page where a save leads to, and where each version can be looked up later."""
    live: Live = settings.CONFIGURATION
    known = _progress(live, index, request.get_host()) | _titled(index)
    try:
        made_by = change(live, index)
        known |= {"events": [made_by] if made_by else []}
        if made_by is None and known.get("version") != str(index):
            raise Http404
    except ConsulError as error:
        known["events_trouble"] = error.message
    return TemplateResponse(request, "demo_site/version.html", context | known)


def show_status(request: HttpRequest, context: dict[str, Any], index: int) -> HttpResponse:
    """The part of the page that changes by itself."""
    known = _progress(settings.CONFIGURATION, index, request.get_host()) | _titled(index)
    return TemplateResponse(request, "demo_site/_rollout.html", context | known)


def _titled(index: int) -> dict[str, Any]:
    return {"page": "version", "index": index, "title": gettext("Version %(index)s") % {"index": index}}


def _progress(live: Live, index: int, visited: str) -> dict[str, Any]:
    try:
        with live.start.open_client(QUICK) as client:
            _index, entry = kv.query(client, live.start.key)
        stored = entry.modify_index if entry else None
        found = fleet.read(live, stored)
        progress = rollout.of(found, index, stored)
        known = {"version": str(stored or ""), "rollout": progress, "verdict": progress.verdict}
        if progress.verdict.level == "bad" and (made_by := change(live, index)):
            known["way_back"] = made_by.way_back
        told = {worker.reason or "" for worker in found.workers if worker.rejected == index}
        return known | fleet.shown(live, found, told, visited)
    except ConsulError as error:
        return {"verdict": verdict.Verdict("bad", error.message)}

"""The answers to errors that no view handled, in the admin's look.

A database that cannot be used is an outage, not a crash.
"""

import logging
import sys
import time

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext
from django.views import defaults

from ..messages import Message
from .logs import is_outage

# Each page that fails would log a line, and an open overview asks every few seconds.
_LINE_SECONDS, _MOST_LINES = 60.0, 5

logger = logging.getLogger(__name__)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, called while the error is handled; with DEBUG on Django shows its own page instead."""
    error = sys.exc_info()[1]
    if error is None or not is_outage(error):
        return defaults.server_error(request)
    _lines.tell(Message.of(error))
    # Not with the request: who is logged in stands in the database.
    context = {"site_header": admin.site.site_header, "is_sent": request.method == "POST"}
    with translation.override(translation.get_language_from_request(request)):
        page = render_to_string("demo_site/database_unusable.html", context)
    response = HttpResponse(page, status=503, headers={"Retry-After": "5"})
    add_never_cache_headers(response)
    return response


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    text = gettext("You are logged in as %(user)s, who lacks the permission. Ask whoever manages the users for it.")
    return _refused(request, 403, gettext("You may not see this page"), text % {"user": request.user.get_username()})


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    if not request.path_info.startswith(reverse("admin:index")):
        return defaults.page_not_found(request, exception)
    text = gettext("There is no such page, or it is about something that is gone, such as an old version.")
    return _refused(request, 404, gettext("Page not found"), text)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    text = gettext("Somebody has logged in or out since the form was loaded, or the browser sends no cookies.")
    return _refused(request, 403, gettext("This form cannot be accepted"), f"{text} {reason}")


def _refused(request: HttpRequest, status: int, title: str, text: str) -> HttpResponse:
    context = admin.site.each_context(request) | {"title": title, "text": text}
    return render(request, "demo_site/refused.html", context, status=status)


class _Lines:
    """Each reason once in `_LINE_SECONDS`, and no more than `_MOST_LINES` of them."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}

    def tell(self, reason: Message) -> None:
        now = time.monotonic()
        self._told_at = {told: at for told, at in self._told_at.items() if now - at < _LINE_SECONDS}
        if reason not in self._told_at and len(self._told_at) < _MOST_LINES:
            self._told_at[reason] = now
            logger.warning("The database cannot be used, so pages of the admin answer 503: %s", reason)


_lines = _Lines()

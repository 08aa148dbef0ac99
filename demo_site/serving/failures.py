"""The answer to an error that no view handled: a database that cannot be used is an outage, not a crash."""

import logging
import sys
import time

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.cache import add_never_cache_headers
from django.views import defaults

from ..messages import Message
from .logs import is_outage

_LINE_SECONDS = 60.0  # each page that fails would log a line, and an open overview asks every few seconds

logger = logging.getLogger(__name__)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, called while the error is handled; with DEBUG on Django shows its own page instead."""
    error = sys.exc_info()[1]
    if error is None or not is_outage(error):
        return defaults.server_error(request)
    _line.tell(error)
    # Not with the request: who is logged in stands in the database.
    context = {"site_header": admin.site.site_header, "is_sent": request.method == "POST"}
    with translation.override(translation.get_language_from_request(request)):
        page = render_to_string("demo_site/database_unusable.html", context)
    response = HttpResponse(page, status=503, headers={"Retry-After": "5"})
    add_never_cache_headers(response)
    return response


class _Line:
    def __init__(self) -> None:
        self._told_at = -_LINE_SECONDS

    def tell(self, error: BaseException) -> None:
        now = time.monotonic()
        if now - self._told_at >= _LINE_SECONDS:
            self._told_at = now
            logger.warning("The database cannot be used, so pages of the admin answer 503: %s", Message.of(error))


_line = _Line()

"""Logins that fail: a line in the log for each, and after a few of one user from one address no more for a while.

django-axes counts them, in the database. A second factor belongs in `AdminSite.login_form` and AUTHENTICATION_BACKENDS.
"""

import logging
from typing import Any

from django.conf import settings
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone, translation

from ..answer import Answer, Ask
from ..messages import Message, _
from .client_address import shown_address

PATH = "/admin/login/"
_BUSY = _("Too many logins at once. Please try again in a few seconds.")

logger = logging.getLogger(__name__)


def log_failure(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any) -> None:
    """Receives Django's signal `user_login_failed`, also for a login that is refused unseen."""
    logger.warning('Login of "%s" from %s failed', Message.of(credentials.get("username")), shown_address(request))


def refuse(request: HttpRequest, *args: Any) -> HttpResponse:
    """429 and the login page without its form (AXES_LOCKOUT_CALLABLE)."""
    from axes.handlers.proxy import AxesProxyHandler  # here, because apps.py imports this module before the models
    from django.contrib import admin

    failures = AxesProxyHandler.get_implementation().get_user_attempts(
        request, getattr(request, "axes_credentials", None)
    )[0]
    last = failures.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    seconds = max(1, round((last + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()))
    context = admin.site.each_context(request) | {"minutes": -(-seconds // 60)}
    response = render(request, "demo_site/login_refused.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response


async def busy(ask: Ask) -> Answer:
    """503: each login that waits would hold what the pages of those who are logged in need."""
    with translation.override(ask.language()):
        text = f"{translation.gettext(_BUSY)}\n"
    headers = ((b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store"), (b"Retry-After", b"5"))
    return Answer(503, headers, text.encode())

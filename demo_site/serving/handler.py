"""Two of Django's WSGI handlers: one with middlewares for the admin, one without for the other paths.

The seven middlewares of the admin would cost each counted page about 55 microseconds, and the receivers that clean up
after database, cache and URL configuration another 35; and a POST to `/` would not get a plain 405.
"""

import time
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import django
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch
from django.utils.log import log_response

from .. import metrics

FULL_PREFIXES = ("/admin", "/static/")  # CommonMiddleware redirects /admin to /admin/
_KINDS = {"/": "page", "/livez": "health", "/readyz": "health", "/metrics": "health"}  # in the metrics


class LeanHandler(WSGIHandler):
    """Calls the view and converts exceptions to responses, nothing else.

    It supports no coroutines, no TemplateResponse and no transaction for each request.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        self._matches: dict[str, ResolverMatch] = {}
        self._middleware_chain = convert_exception_to_response(self._answer)

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """The answer. ROOT_URLCONF is always the URL configuration, so it is not set for the thread."""
        response: Any = self._middleware_chain(request)
        if response.status_code >= 400:
            log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)
        return response  # type: ignore[no-any-return]

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        view, arguments, options = self.resolve_request(request)
        answer: HttpResponseBase = view(request, *arguments, **options)
        return answer

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Look a path up once. The routes have no parameters, so there are only as many paths as routes."""
        match = self._matches.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            self._matches[request.path_info] = match
        request.resolver_match = match
        return match


class SiteHandler:
    """The site's WSGI application, timed. `settings.MIDDLEWARE` applies to the paths of `FULL_PREFIXES` only."""

    def __init__(self) -> None:
        django.setup(set_prefix=False)
        self._lean = LeanHandler()

    @cached_property
    def _full(self) -> WSGIHandler:
        """Created at its first use: WhiteNoise scans all static files, and most workers never serve one."""
        return WSGIHandler()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        began, path = time.perf_counter(), environ["PATH_INFO"]
        is_full = path.startswith(FULL_PREFIXES)
        response: Iterable[bytes] = (self._full if is_full else self._lean)(environ, start_response)
        kind = _KINDS.get(path) or ("admin" if is_full else "other")
        metrics.DURATION.observe(time.perf_counter() - began, kind)
        return response


def confine_receivers() -> None:
    """Let Django clean up around its own handler's requests only: the lean one's leave nothing behind."""
    for signal, receivers in (
        (request_started, (reset_queries, close_old_connections)),
        (request_finished, (close_old_connections, close_caches, reset_urlconf)),
    ):
        for receiver in receivers:
            signal.disconnect(receiver)
            signal.connect(receiver, sender=WSGIHandler)

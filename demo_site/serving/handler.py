"""Django's WSGI handler, twice: with the middlewares for the admin, and with none for the paths that need none.

The seven middlewares that the admin needs would cost every counted page about 55 microseconds, the receivers that clean
up after database, cache and URL configuration another 35, and a POST to `/` its plain 405.
"""

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

FULL_PREFIXES = ("/admin", "/static/")  # /admin without a slash: CommonMiddleware turns it into /admin/


class LeanHandler(WSGIHandler):
    """Calls the view, turns exceptions into responses, and nothing else.

    Its views answer at once: no coroutines, no TemplateResponse, no transaction for each request.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        """Load none."""
        self._matches: dict[str, ResolverMatch] = {}
        self._middleware_chain = convert_exception_to_response(self._answer)

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        """The answer; the URL configuration is the settings', so no thread has to be told which."""
        response: Any = self._middleware_chain(request)
        if response.status_code >= 400:
            log_response("%s: %s", response.reason_phrase, request.path, response=response, request=request)
        return response  # type: ignore[no-any-return]

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        view, arguments, options = self.resolve_request(request)
        answer: HttpResponseBase = view(request, *arguments, **options)
        return answer

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Look a path up once. Its routes have no parameters, so there are only as many paths as routes."""
        match = self._matches.get(request.path_info)
        if match is None:
            match = super().resolve_request(request)
            self._matches[request.path_info] = match
        request.resolver_match = match
        return match


class SiteHandler:
    """The site's WSGI application: `settings.MIDDLEWARE` acts on the paths of `FULL_PREFIXES` only."""

    def __init__(self) -> None:
        django.setup(set_prefix=False)
        self._lean = LeanHandler()

    @cached_property
    def _full(self) -> WSGIHandler:
        """Made when first asked for: WhiteNoise looks at every static file, and most workers never serve one."""
        return WSGIHandler()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        handler = self._full if environ["PATH_INFO"].startswith(FULL_PREFIXES) else self._lean
        return handler(environ, start_response)


def confine_receivers() -> None:
    """Let Django clean up around the requests that leave something: those of its own handler, not of the lean one."""
    for signal, receivers in (
        (request_started, (reset_queries, close_old_connections)),
        (request_finished, (close_old_connections, close_caches, reset_urlconf)),
    ):
        for receiver in receivers:
            signal.disconnect(receiver)
            signal.connect(receiver, sender=WSGIHandler)

"""Django's WSGI handler, twice: with the middlewares for the admin, and with none for the paths that need none.

The seven middlewares that the admin needs would cost every counted page about 55 microseconds, the receivers that look
after the database connections another 35, and a POST to `/` its plain 405.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import django
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries

FULL_PREFIXES = ("/admin", "/static/")  # /admin without a slash: CommonMiddleware turns it into /admin/


class LeanHandler(WSGIHandler):
    """Calls the view, turns exceptions into responses, and nothing else."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Load none."""
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        self._middleware_chain = convert_exception_to_response(self._get_response)  # type: ignore[attr-defined]


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


def confine_database_receivers() -> None:
    """Let Django look after database connections around the requests that may use one: those of its own handler."""
    request_started.disconnect(reset_queries)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_started.connect(reset_queries, sender=WSGIHandler)
    request_started.connect(close_old_connections, sender=WSGIHandler)
    request_finished.connect(close_old_connections, sender=WSGIHandler)

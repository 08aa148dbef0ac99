"""Middlewares for the admin's pages and the static files."""

from collections.abc import Callable
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import resolve
from whitenoise.middleware import WhiteNoiseMiddleware

from .lean import PATHS

# Only what the site itself serves, and no inline scripts or styles. The counter's page has a policy of its own.
# https://developer.mozilla.org/docs/Web/HTTP/Guides/CSP
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the admin's style sheets contain small images
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class LeanPathsMiddleware:
    """Answers the paths that need no other middleware, as the ASGI application does without Django's handler.

    The others would turn a POST to `/` into a 403, and the health check of an agent that names another host into a 400.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info not in PATHS:
            return self.get_response(request)
        answer: HttpResponse = resolve(request.path_info).func(request)
        return answer


class ContentSecurityPolicyMiddleware:
    """Sets the policy on every response that has none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Serves the admin's static files from where they are installed."""

    def add_files(self, root: str, prefix: str | None = None) -> None:
        """Skip a missing STATIC_ROOT without a warning: the finders serve the files before any `collectstatic`."""
        if Path(root).is_dir():
            super().add_files(root, prefix)

"""Middlewares for the admin's pages and the static files."""

from collections.abc import Callable
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

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

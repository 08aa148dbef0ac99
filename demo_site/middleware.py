"""Django's middlewares, confined to the paths that need them.

The seven that the admin needs would cost every counted page about 55 microseconds and a POST to `/` its plain 405.
Subclasses, because the admin's system checks look for them.
"""

from pathlib import Path
from typing import Any

from django.contrib.auth import middleware as auth
from django.contrib.messages import middleware as messages
from django.contrib.sessions import middleware as sessions
from django.http import HttpRequest
from django.middleware import clickjacking, common, csrf, security
from whitenoise import middleware as whitenoise


def _confined(middleware: Any, *prefixes: str) -> Any:
    """A subclass of `middleware` that acts on paths with one of these prefixes and steps aside on all others."""

    class Confined(middleware):
        def __call__(self, request: HttpRequest) -> Any:
            return super().__call__(request) if self._concerns(request) else self.get_response(request)

        @staticmethod
        def _concerns(request: HttpRequest) -> bool:
            return request.path_info.startswith(prefixes)

        if hasattr(middleware, "process_view"):

            def process_view(self, request: HttpRequest, *args: Any) -> Any:
                return super().process_view(request, *args) if self._concerns(request) else None

    return Confined


class _WhiteNoise(whitenoise.WhiteNoiseMiddleware):
    def add_files(self, root: str, prefix: str | None = None) -> None:
        """Without a `collectstatic` there is no such folder, and nothing to warn of: the finders know the files."""
        if Path(root).is_dir():
            super().add_files(root, prefix)


_ADMIN = "/admin"  # without a slash at the end: CommonMiddleware turns /admin into /admin/
_STATIC = "/static/"

SecurityMiddleware = _confined(security.SecurityMiddleware, _ADMIN, _STATIC)
StaticFilesMiddleware = _confined(_WhiteNoise, _STATIC)
SessionMiddleware = _confined(sessions.SessionMiddleware, _ADMIN)
CommonMiddleware = _confined(common.CommonMiddleware, _ADMIN)
CsrfViewMiddleware = _confined(csrf.CsrfViewMiddleware, _ADMIN)
AuthenticationMiddleware = _confined(auth.AuthenticationMiddleware, _ADMIN)
MessageMiddleware = _confined(messages.MessageMiddleware, _ADMIN)
XFrameOptionsMiddleware = _confined(clickjacking.XFrameOptionsMiddleware, _ADMIN)

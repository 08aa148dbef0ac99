"""The admin site with pages of its own, each behind its permission."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.functional import lazy
from django.utils.module_loading import import_string
from django.utils.translation import get_language, gettext
from django.views.decorators.debug import sensitive_post_parameters

from ..identity import LABEL, TITLES

VIEW = f"{LABEL}.view_effective_configuration"
CHANGE = f"{LABEL}.change_configuration"
ROLL_BACK = f"{LABEL}.roll_back_configuration"

# Route, name, the function in this package (imported when it is asked for: a start does without), permission.
_PAGES = (
    ("", "effective_configuration", "overview.show", VIEW),
    ("status/", "configuration_status", "overview.show_status", VIEW),
    ("version/<int:index>/", "configuration_version", "version.show", VIEW),
    ("version/<int:index>/status/", "configuration_version_status", "version.show_status", VIEW),
    ("edit/", "configuration_edit", "edit.edit", CHANGE),
    ("history/", "configuration_history", "timeline.show_history", VIEW),
    ("restore/", "configuration_restore", "history.restore_in_force", ROLL_BACK),
    ("history/<str:save_id>/restore/", "configuration_restore_version", "history.restore", ROLL_BACK),
    ("history/<str:save_id>/rollback/", "configuration_rollback", "history.roll_back", ROLL_BACK),
)


class DemoAdminSite(admin.AdminSite):
    site_header = site_title = lazy(lambda: TITLES.get(get_language() or "", TITLES["en"]), str)()
    login_template = "demo_site/login.html"
    index_template = "demo_site/admin_index.html"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        pages = [
            path(f"effective-configuration/{route}", self.admin_view(self._allowed(page, permission)), name=name)
            for route, name, page, permission in _PAGES
        ]
        return [*pages, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Django's, and the pages of the configuration as one more application: so every sidebar has them."""
        listed: list[Any] = super().get_app_list(request, app_label)
        pages = self._pages(request)
        if app_label or not pages:
            return listed
        known = {"name": gettext("Configuration"), "app_label": "configuration", "app_url": pages[0]["admin_url"]}
        return [known | {"has_module_perms": True, "models": pages}, *listed]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """With a module of its own for the configuration, which has a verdict for who may view it."""
        listed = super().get_app_list(request)
        context = {"app_list": listed, "pages": self._pages(request)} | (extra_context or {})
        if request.user.has_perm(VIEW):
            context |= import_string(f"{__package__}.overview.in_brief")()
        return super().index(request, context)

    def _pages(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The links to the pages that the visitor may see, as `get_app_list` has models."""
        pages = (
            (gettext("Effective configuration"), "effective_configuration", VIEW),
            (gettext("Edit"), "configuration_edit", CHANGE),
            (gettext("History"), "configuration_history", VIEW),
        )
        return [
            {"name": name, "object_name": page, "admin_url": reverse(f"admin:{page}"), "add_url": None, "perms": {}}
            for name, page, permission in pages
            if request.user.has_perm(permission)
        ]

    def _allowed(self, page: str, permission: str) -> Callable[..., HttpResponse]:
        """The page for users with the permission, and 403 for others. What is typed stays out of error reports."""

        @sensitive_post_parameters()
        def view(request: HttpRequest, **arguments: Any) -> HttpResponse:
            if not request.user.has_perm(permission):
                raise PermissionDenied
            context = self.each_context(request) | {"is_nav_sidebar_enabled": False}  # they need the width
            answer: HttpResponse = import_string(f"{__package__}.{page}")(request, context, **arguments)
            return answer

        return view

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Also say what the visitor may do, for the links between the pages."""
        may = {"view": VIEW, "change": CHANGE, "roll_back": ROLL_BACK}
        allowed = {name: request.user.has_perm(permission) for name, permission in may.items()}
        return super().each_context(request) | {"may": allowed}

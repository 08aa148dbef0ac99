"""The admin site with one more page: the effective configuration."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path

from . import status
from .config import effective

PERMISSION = "demo_site.view_effective_configuration"


class DemoAdminSite(admin.AdminSite):
    site_header = site_title = "Demo site"
    index_template = "demo_site/admin_index.html"

    def get_urls(self) -> list[URLPattern | URLResolver]:
        page = path(
            "effective-configuration/",
            self.admin_view(self.effective_configuration),
            name="effective_configuration",
        )
        return [page, *super().get_urls()]

    def effective_configuration(self, request: HttpRequest) -> HttpResponse:
        """Every setting, and a status line each for Consul, Redis and the document. Works when all are down."""
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        context = self.each_context(request) | {
            "title": "Effective configuration",
            "rows": effective.rows(settings.CONFIGURATION),
            "statuses": status.lines(settings.CONFIGURATION),
        }
        return TemplateResponse(request, "demo_site/effective_configuration.html", context)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Also say whether the visitor may see the page, for the link on the index."""
        may_view = request.user.has_perm(PERMISSION)
        return super().each_context(request) | {"may_view_effective_configuration": may_view}

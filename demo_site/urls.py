from django.contrib import admin
from django.urls import path

from .answer import as_view
from .serving.lean import PATHS

urlpatterns = [
    *(path(route.removeprefix("/"), as_view(handler)) for route, handler in PATHS.items()),
    path("admin/", admin.site.urls),
]
handler403 = "demo_site.serving.failures.permission_denied"
handler404 = "demo_site.serving.failures.not_found"
handler500 = "demo_site.serving.failures.server_error"

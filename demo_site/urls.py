from django.contrib import admin
from django.urls import path

from .answer import as_view
from .serving.lean import PATHS

urlpatterns = [
    *(path(route.removeprefix("/"), as_view(handler)) for route, handler in PATHS.items()),
    path("admin/", admin.site.urls),
]
handler500 = "demo_site.serving.failures.server_error"

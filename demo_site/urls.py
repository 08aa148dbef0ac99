from django.contrib import admin
from django.urls import include, path

from . import health

urlpatterns = [
    path("", include("counter.urls")),
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", health.prometheus),
    path("admin/", admin.site.urls),
]

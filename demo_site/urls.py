from django.contrib import admin
from django.urls import path

from counter.urls import urlpatterns as counter_urls

from .monitoring import health

urlpatterns = [
    *counter_urls,
    path("livez", health.livez),
    path("readyz", health.readyz),
    path("metrics", health.prometheus),
    path("admin/", admin.site.urls),
]

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpResponse
from django.urls import path


def index(request):
    number = cache.incr("hits", ignore_key_check=True)
    return HttpResponse(f"bench! I have been seen {number} times.\n", content_type="text/plain; charset=utf-8")


urlpatterns = [path("", index), path("admin/", admin.site.urls)]

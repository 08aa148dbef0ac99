"""The ASGI application, for `gunicorn demo_site.asgi`."""

import gc
import os
import sys
import time
from importlib import import_module
from typing import Any

# What imports make stays: looking for garbage in it again and again is a tenth of the start, and would later copy the
# pages that the workers share with gunicorn's master.
gc.disable()

import django  # noqa: E402

from . import metrics  # noqa: E402
from .startup import StartupError  # noqa: E402

# gunicorn's Arbiter.APP_LOAD_ERROR. In a worker it is the one status that ends the master as well; with any other the
# master would start a new worker for ever.
_APP_LOAD_ERROR = 4
_OF_DJANGO_REDIS = ("django_redis.cache", "django_redis.serializers.pickle", "django_redis.compressors.identity")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
try:
    django.setup(set_prefix=False)
    # What the first request would import. In a worker several threads would, at once and beside the watch, and meet
    # modules that are half there: a worker that took a dead one's place answered 500 to its first visitors.
    for module in ("demo_site.urls", "demo_site.redis_cache.client", *_OF_DJANGO_REDIS):
        import_module(module)
except StartupError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_APP_LOAD_ERROR)

from .serving import lean  # noqa: E402
from .serving.django_requests import DjangoRequests  # noqa: E402

_django = DjangoRequests()
gc.freeze()
gc.enable()

_HANDLERS = {"/": "page", "/livez": "health", "/readyz": "health", "/metrics": "health"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The lean paths on the loop, all others by Django. Both are timed."""
    began = time.perf_counter()
    path = scope["path"]
    if path in lean.PATHS:
        await lean.application(scope, receive, send)
    else:
        await _django(scope, receive, send)
    handler = _HANDLERS.get(path) or ("admin" if path.startswith("/admin") else "other")
    metrics.DURATION.observe(time.perf_counter() - began, handler)

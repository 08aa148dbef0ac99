"""The ASGI application, for `gunicorn demo_site.asgi`."""

import gc
import os
import time
from typing import Any

# What modules allocate stays in use: collecting garbage meanwhile takes a tenth of the start, and would later copy the
# memory pages that the workers share with gunicorn's master.
gc.disable()

import django  # noqa: E402

from . import metrics  # noqa: E402
from .serving import logs  # noqa: E402
from .serving.imports import import_for_requests  # noqa: E402
from .startup import ending_gunicorn  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
with ending_gunicorn(logs.say):
    django.setup(set_prefix=False)
    import_for_requests()

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

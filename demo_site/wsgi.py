"""The WSGI application, for `gunicorn demo_site.wsgi`."""

import gc
import os
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

# What imports make stays: looking for garbage in it again and again is a tenth of the start, and would later copy the
# pages that the workers share with gunicorn's master.
gc.disable()

from django.conf import settings  # noqa: E402

from . import metrics  # noqa: E402
from .serving.handler import SiteHandler  # noqa: E402
from .startup import StartupError  # noqa: E402

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# gunicorn's Arbiter.APP_LOAD_ERROR. In a worker it is the one status that ends the master as well; with any other the
# master would start a new worker for ever.
_APP_LOAD_ERROR = 4
_OF_DJANGO_REDIS = ("django_redis.cache", "django_redis.serializers.pickle", "django_redis.compressors.identity")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
try:
    _django = SiteHandler()
    # What the first request would import. In a worker several threads would, at once and beside the watch, and meet
    # modules that are half there: a worker that took a dead one's place answered 500 to its first visitors.
    for module in (settings.ROOT_URLCONF, "demo_site.redis_cache.client", *_OF_DJANGO_REDIS):
        import_module(module)
except StartupError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_APP_LOAD_ERROR)
gc.freeze()
gc.enable()

_HANDLERS = {"/": "page", "/livez": "health", "/readyz": "health", "/metrics": "health"}


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Django's application, timed."""
    began = time.perf_counter()
    response = _django(environ, start_response)
    path = environ.get("PATH_INFO", "")
    handler = _HANDLERS.get(path) or ("admin" if path.startswith(("/admin", "/static/")) else "other")
    metrics.DURATION.observe(time.perf_counter() - began, handler)
    return response

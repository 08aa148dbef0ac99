"""The WSGI application, for `gunicorn demo_site.wsgi`."""

import gc
import os
import sys
from importlib import import_module

# What modules allocate stays in use: collecting garbage meanwhile takes a tenth of the start, and would later copy the
# memory pages that the workers share with gunicorn's master.
gc.disable()

from django.conf import settings  # noqa: E402

from .serving.handler import SiteHandler  # noqa: E402
from .startup import StartupError  # noqa: E402

# gunicorn's Arbiter.APP_LOAD_ERROR: the status with which a worker ends its master too, instead of being replaced
# forever.
_APP_LOAD_ERROR = 4
_OF_DJANGO_REDIS = ("django_redis.cache", "django_redis.serializers.pickle", "django_redis.compressors.identity")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
try:
    application = SiteHandler()
    # What the first request would import. Several threads of a worker would import it at once, beside the watch, and
    # meet half-initialised modules: a worker that replaced a dead one answered 500 to its first visitors.
    for module in (settings.ROOT_URLCONF, "demo_site.redis_cache.client", *_OF_DJANGO_REDIS):
        import_module(module)
except StartupError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_APP_LOAD_ERROR)
gc.freeze()
gc.enable()

"""The WSGI application, for `gunicorn demo_site.wsgi`."""

import os
import sys

from django.core.wsgi import get_wsgi_application

from .startup import StartupError

# gunicorn's Arbiter.APP_LOAD_ERROR. In a worker it is the one status that ends the master as well; with any other the
# master would start a new worker for ever.
_APP_LOAD_ERROR = 4

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
try:
    application = get_wsgi_application()
except StartupError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(_APP_LOAD_ERROR)

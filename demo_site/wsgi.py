"""The WSGI application, for `runserver` and for `gunicorn -k gthread demo_site.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

from .serving import logs
from .startup import ending_gunicorn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_site.settings")
with ending_gunicorn(logs.say):
    application = get_wsgi_application()

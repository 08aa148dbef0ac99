"""An empty Django project with the admin: what start-up and memory are compared with."""

from ordinary_settings import *  # noqa: F403

ROOT_URLCONF = "empty_urls"
CACHES = {}

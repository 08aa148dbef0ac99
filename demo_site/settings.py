"""Django's settings. What differs between installations comes from Consul or the environment."""

import contextlib
from datetime import timedelta
from pathlib import Path

import dj_database_url

from . import startup
from .bounded import LONGEST_BODY
from .config.live import Live
from .config.source import start
from .redis_cache import cache_entry
from .serving import logs

BASE_DIR = Path(__file__).resolve().parent.parent
LOCAL_DIR = BASE_DIR / ".local"

# The document in Consul KV becomes CACHES and SHOW_MESSAGE. Without a usable document the start ends here, with one
# message and the exit status of its condition (startup.py).
CONFIGURATION = Live(start())
if CONFIGURATION.start.error and startup.is_operator_command():
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    SHOW_MESSAGE = ""
else:
    _document = CONFIGURATION.in_force.document
    CACHES = {"default": cache_entry(_document.redis_config, FOLLOW=CONFIGURATION.redis)}
    SHOW_MESSAGE = _document.show_message

ENVIRONMENT = CONFIGURATION.start.environment
SECRET_KEY = ENVIRONMENT["DJANGO_SECRET_KEY"] or startup.secret_key_in(LOCAL_DIR / "secret_key")
SECRET_KEY_FALLBACKS = ENVIRONMENT["DJANGO_SECRET_KEY_FALLBACKS"]
DEBUG = ENVIRONMENT["DJANGO_DEBUG"]
ALLOWED_HOSTS = ENVIRONMENT["DJANGO_ALLOWED_HOSTS"]
CSRF_TRUSTED_ORIGINS = ENVIRONMENT["DJANGO_CSRF_TRUSTED_ORIGINS"]
# Behind a proxy that ends TLS the admin's pages are for TLS only. Health checks are not redirected (serving/lean.py).
SECURE_PROXY_SSL_HEADER = ENVIRONMENT["DJANGO_SECURE_PROXY_SSL_HEADER"]
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_PROXY_SSL_HEADER is not None
SECURE_HSTS_SECONDS = ENVIRONMENT["DJANGO_SECURE_HSTS_SECONDS"] if SECURE_SSL_REDIRECT else 0
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "demo_site.serving.failures.csrf_failure"
# HSTS for subdomains and for preloading: the owner of the domain decides on both, for all that runs there.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not ENVIRONMENT["DATABASE_URL"]:
    with contextlib.suppress(OSError):  # a site that nobody logs in to needs no database
        startup.private_file(LOCAL_DIR / "db.sqlite3")
DATABASES = {"default": dj_database_url.parse(ENVIRONMENT["DATABASE_URL"] or f"sqlite:///{LOCAL_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A transaction that reads and then writes would fail at once, without waiting, where another process writes.
    DATABASES["default"].setdefault("OPTIONS", {})["transaction_mode"] = "IMMEDIATE"
else:
    DATABASES["default"]["ENGINE"] = "demo_site.postgresql"

INSTALLED_APPS = [
    "demo_site.apps.DemoSiteConfig",
    "demo_site.apps.DemoAdminConfig",
    "counter",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
]

# For the admin's pages and static files only: the first one answers the paths that need none of the others.
MIDDLEWARE = [
    "demo_site.serving.middleware.LeanPathsMiddleware",
    "demo_site.serving.error_reports.MaskedErrorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "demo_site.serving.middleware.StaticFilesMiddleware",
    "demo_site.serving.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

# django-axes counts the failed logins in the database: after five of one user from one address 429, for 15 minutes.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or whoever goes on trying keeps the user out for good
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True  # it would keep every login for ever
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False  # serving/logins.py writes the lines of the log
AXES_CLIENT_IP_CALLABLE = "demo_site.serving.client_address.client_address"
AXES_LOCKOUT_CALLABLE = "demo_site.serving.logins.refuse"
PASSWORD_HASHERS = ["demo_site.serving.hashing.PasswordHasher"]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

ROOT_URLCONF = "demo_site.urls"
WSGI_APPLICATION = "demo_site.wsgi.application"
ASGI_APPLICATION = "demo_site.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
TIME_ZONE = "UTC"

# A request's body stays in memory: what is longer is refused before it is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = LONGEST_BODY
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]

STATIC_URL = "/static/"
STATIC_ROOT = LOCAL_DIR / "static"
FILE_UPLOAD_PERMISSIONS, FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o600, 0o700  # of collectstatic, too
WHITENOISE_USE_FINDERS = True  # serves the admin's files from where they are installed, without collectstatic

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]

DEFAULT_EXCEPTION_REPORTER = "demo_site.serving.error_reports.Reporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "demo_site.serving.error_reports.ReporterFilter"

LOGGING_CONFIG = "demo_site.serving.logs.configure"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"()": logs.formatter, "plain": logs.LINE},
        "request": {"()": logs.formatter, "plain": "[{asctime}] {message}"},
    },
    "filters": {
        "crash": {"()": "django.utils.log.CallbackFilter", "callback": logs.is_crash},  # an outage would fill the log
        "routine": {"()": "django.utils.log.CallbackFilter", "callback": logs.is_logged},
        "production": {"()": "django.utils.log.RequireDebugFalse"},
        "debug": {"()": "django.utils.log.RequireDebugTrue"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "requests": {"class": "logging.StreamHandler", "formatter": "request", "filters": ["routine"]},
        "debug": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["debug"]},
        "crashes": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["crash", "production"]},
    },
    "loggers": {name: {"handlers": ["stderr"], "level": "INFO"} for name in ("demo_site", "counter")}
    | {
        "django": {"handlers": ["debug"], "level": "INFO"},  # in place of Django's own handler, with another formatter
        "axes": {"handlers": ["stderr"], "level": "ERROR"},
        "py.warnings": {"handlers": ["stderr"]},
        "django.request": {"handlers": ["crashes"], "level": "ERROR"},
        "django.server": {"handlers": ["requests"], "level": "INFO", "propagate": False},
    },
}

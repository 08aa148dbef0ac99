"""What a log may contain: no secret, nothing that a terminal would obey, of the health checks only those that fail."""

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import InterfaceError, OperationalError

from ..messages import escaped
from ..startup import StartupError

if TYPE_CHECKING:
    from ..config.masking import Masker

_HEALTH_CHECKS = ("GET /livez ", "GET /readyz ")


class Formatter(logging.Formatter):
    """A record as one line, with further ones indented: no text of another program can look like a record of its own.

    Messages and exceptions repeat what Consul, Redis, a client or a library said.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        masks = masker(getattr(record, "request", None)) if settings.configured else None
        return escaped(masks.clean(text) if masks else text).replace("\n", "\n    ")


def masker(request: Any = None) -> "Masker":
    """Knows every secret of the environment, of the document in force, and of the request's fields for a password."""
    from ..config.masking import Masker  # the settings import this module

    live = settings.CONFIGURATION
    try:
        document = live.in_force.document
    except StartupError:  # an operator's command
        document = None
    return Masker(live.start.environment, document, _typed(request))


def _typed(request: Any) -> dict[str, Any]:
    """Secrets by the names of their fields; of runserver, `request` is a socket."""
    from django.views.debug import SafeExceptionReporterFilter
    from pydantic import SecretStr

    try:
        posted = request.POST.items() if hasattr(request, "POST") else ()
    except Exception:  # what is reported may be that the body cannot be read
        return {}
    is_secret = SafeExceptionReporterFilter.hidden_settings.search
    return {name: SecretStr(str(value)) for name, value in posted if is_secret(name)}


def is_logged(record: logging.LogRecord) -> bool:
    """False for a successful health check, because there is one every five seconds.

    The arguments of runserver's records are the request line and the status.
    """
    request, status, *_ = record.args if isinstance(record.args, tuple) and len(record.args) > 1 else ("", "")
    return not (str(request).startswith(_HEALTH_CHECKS) and str(status) == "200")


def is_crash(record: logging.LogRecord) -> bool:
    """False for a 503 that a view returns, which has no traceback, and for a page that the database failed."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not is_outage(error)


def is_outage(error: BaseException) -> bool:
    """Whether it means that the database cannot be used now."""
    return isinstance(error, (InterfaceError, OperationalError))

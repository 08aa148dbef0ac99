"""What a log may contain: no secret, nothing that a terminal would obey, and of what is routine only what fails."""

import functools
import json
import logging
import math
import os
import re
import socket
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from logging.config import dictConfig
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import InterfaceError, OperationalError

from ..instance import listeners
from ..messages import Message, escaped
from ..startup import StartupError

if TYPE_CHECKING:
    from ..config.masking import Masker

_ROUTINE = ("GET /livez ", "GET /readyz ", "GET /static/")
_NAMED = re.compile(r"%\((.+?)\)")
# uvicorn's record of a request has its parameters in this order.
_NAMES = {"uvicorn.access": ("client", "method", "path", "http_version", "status")}
LINE = "{asctime} [{process}] {levelname} {name}: {message}"

logger = logging.getLogger(__name__)


def is_json() -> bool:
    """Whether the log is JSON: of the process, because gunicorn logs before there are settings, and when they fail."""
    return os.environ.get("DJANGO_LOG_FORMAT") == "json"


def formatter(plain: str, style: Any = "{", datefmt: str | None = None) -> logging.Formatter:
    """The formatter of a handler: for JSON, or for lines in the format `plain`."""
    return JsonFormatter() if is_json() else Formatter(plain, datefmt, style)


class Formatter(logging.Formatter):
    """A record as one line, with further ones indented: no text of another program can look like a record of its own.

    Messages and exceptions repeat what Consul, Redis, a client or a library said.
    """

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (the library's)
        time = datetime.fromtimestamp(record.created, UTC)
        return time.strftime(datefmt) if datefmt else time.isoformat(" ", "milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        return _clean(super().format(record), _masks(record)).replace("\n", "\n    ")


class JsonFormatter(logging.Formatter):
    """A record as a JSON object on one line. It is ASCII, so that no encoding of the output breaks it."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_template(record),
            "pid": record.process,
            "instance": _instance(),
        }
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            shown["stack"] = record.stack_info
        return json.dumps(_cleaned(shown, _masks(record)))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # its parameters do not fit: an error of whoever logs it
        return str(record.msg)


def _template(record: logging.LogRecord) -> dict[str, Any]:
    """What the message was made of. A text of our own stands for itself, not for the "%s" that it is logged with."""
    template, args = record.msg, record.args or ()
    if template == "%s" and len(args) == 1 and isinstance(args, tuple):
        template, args = args[0], ()
    if isinstance(template, Message):
        return template.as_json()
    if isinstance(args, Mapping):  # gunicorn's have every header, too
        parameters = {name: args[name] for name in _NAMED.findall(str(template))}
    else:
        names = _NAMES.get(record.name) or [str(number) for number in range(1, len(args) + 1)]
        parameters = dict(zip(names, args, strict=False))
    return {"template": str(template), "parameters": parameters}


def _instance() -> str:
    """The id of the instance, or what is known of it before there are settings."""
    if not settings.configured:
        return os.environ.get("SERVICE_ID") or socket.gethostname()
    return _instance_id(listeners.bound(), listeners.runserver_port)


@functools.cache
def _instance_id(*_where: Any) -> str:
    """As it is registered, and as the fleet shows it. It depends on where the instance listens."""
    from ..registration.definition import known_instance_id  # the settings import this module

    return known_instance_id(settings.CONFIGURATION.start.environment) or socket.gethostname()


def _masks(record: logging.LogRecord) -> "Masker | None":
    return masker(getattr(record, "request", None)) if settings.configured else None


def _cleaned(value: Any, masks: "Masker | None") -> Any:
    """As JSON has it, with every text in it masked and escaped."""
    if isinstance(value, Message):
        return _cleaned(value.as_json(), masks)
    if isinstance(value, dict):
        return {name: _cleaned(item, masks) for name, item in value.items()}
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _clean(str(value), masks)


def _clean(text: str, masks: "Masker | None") -> str:
    return escaped(masks.clean(text) if masks else text)


def configure(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG: what no logger handles and what no code catches is logged like all else."""
    dictConfig(config)
    if logging.lastResort:  # libraries, such as asyncio
        logging.lastResort.setFormatter(formatter(LINE))
    if is_json():
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
        threading.excepthook = sys.unraisablehook = _log_uncaught_elsewhere


def _log_uncaught(kind: Any, error: Any, traceback: Any) -> None:
    logger.critical("An exception was not caught", exc_info=(kind, error, traceback))


def _log_uncaught_elsewhere(raised: Any) -> None:
    """In a thread, or where nobody could catch it, such as in a `__del__`."""
    _log_uncaught(raised.exc_type, raised.exc_value, raised.exc_traceback)


def say(message: Message) -> None:
    """The end of a start, on standard error: there may be no logger yet."""
    record = logging.LogRecord("demo_site.startup", logging.CRITICAL, "", 0, message, (), None)
    sys.stderr.write(f"{JsonFormatter().format(record) if is_json() else message}\n")


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
    """False for what hides the rest: a health check every five seconds and the files of a page, as long as all is well.

    The arguments of runserver's records are the request line and the status.
    """
    request, status, *_ = record.args if isinstance(record.args, tuple) and len(record.args) > 1 else ("", "")
    return not (str(request).startswith(_ROUTINE) and str(status) in ("200", "304"))


def is_crash(record: logging.LogRecord) -> bool:
    """False for a 503 that a view returns, which has no traceback, and for a page that the database failed."""
    error = record.exc_info[1] if record.exc_info else None
    return error is not None and not is_outage(error)


def is_outage(error: BaseException) -> bool:
    """Whether it means that the database cannot be used now."""
    return isinstance(error, (InterfaceError, OperationalError))

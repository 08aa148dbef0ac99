"""gunicorn's log, uvicorn's included, as the site's own: without secrets and control characters."""

import logging
from typing import Any

from gunicorn.glogging import Logger

from .logs import Formatter


class GunicornLog(Logger):
    def _set_handler(self, log: logging.Logger, output: Any, fmt: logging.Formatter, stream: Any = None) -> None:
        super()._set_handler(log, output, Formatter(fmt._fmt, fmt.datefmt), stream)

"""gunicorn's log, uvicorn's included, as the site's own: without secrets and control characters, and maybe as JSON."""

import logging
from typing import Any

from gunicorn.glogging import Logger

from ..instance import listeners
from .logs import formatter


class GunicornLog(Logger):
    def setup(self, cfg: Any) -> None:
        listeners.expect(cfg.address, cfg.is_ssl)  # which names the instance in the log
        super().setup(cfg)

    def _set_handler(self, log: logging.Logger, output: Any, fmt: logging.Formatter, stream: Any = None) -> None:
        super()._set_handler(log, output, formatter(fmt._fmt or "", "%", fmt.datefmt), stream)

"""What runserver's log omits."""

import logging

_HEALTH_CHECKS = ("GET /livez ", "GET /readyz ")


def is_logged(record: logging.LogRecord) -> bool:
    """False for a successful health check, because there is one every five seconds.

    The arguments of runserver's records are the request line and the status.
    """
    request, status, *_ = record.args if isinstance(record.args, tuple) and len(record.args) > 1 else ("", "")
    return not (str(request).startswith(_HEALTH_CHECKS) and str(status) == "200")

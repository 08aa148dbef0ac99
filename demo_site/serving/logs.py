"""What the log leaves out."""

import logging

_HEALTH_CHECKS = ("GET /livez ", "GET /readyz ")


def is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whether runserver logs this request: not the health checks that pass, one every five seconds and always the same.

    runserver's records have the request line and the status as their arguments.
    """
    request, status, *_ = record.args if isinstance(record.args, tuple) and len(record.args) > 1 else ("", "")
    return not (str(request).startswith(_HEALTH_CHECKS) and str(status) == "200")

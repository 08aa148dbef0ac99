"""The message and the exit status of a management command whose request to Consul failed."""

import os

from django.core.management.base import CommandError

from ..consul_agent.errors import ConsulError, Denied, Missing, Refused

_STATUSES = {Denied: os.EX_NOPERM, Missing: os.EX_NOINPUT, Refused: os.EX_CONFIG}


def command_error(error: ConsulError, rights: str = "") -> CommandError:
    """`rights` says what a token needs, for a denied request.

    The statuses are those of a start: 69 unreachable (or not Consul at all), 77 denied, 66 missing, 78 refused.
    """
    text = f"{error}\n{rights}" if rights and isinstance(error, Denied) else str(error)
    return CommandError(text, returncode=_STATUSES.get(type(error), os.EX_UNAVAILABLE))

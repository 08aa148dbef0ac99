"""What a management command says, and its exit status, when Consul does not do what it asks."""

import os

from django.core.management.base import CommandError

from ..consul_agent.errors import ConsulError, Denied, Missing, Refused

_STATUSES = {Denied: os.EX_NOPERM, Missing: os.EX_NOINPUT, Refused: os.EX_CONFIG}


def command_error(error: ConsulError, remedy: str = "") -> CommandError:
    """The statuses are those of a start: 69 unreachable (or not Consul at all), 77 denied, 66 missing, 78 refused."""
    status = _STATUSES.get(type(error), os.EX_UNAVAILABLE)
    return CommandError(f"{error}\n{remedy}" if remedy else str(error), returncode=status)

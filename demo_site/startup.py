"""How a start ends when the site has no usable configuration: one message, one exit status, no traceback.

The statuses are those of sysexits.h: 69 unreachable, 77 denied, 66 missing, 78 invalid.
"""

import sys
from collections.abc import Callable, Sequence

from django.core.exceptions import ImproperlyConfigured

# They show, explain or clean up what is broken, so they run without a configuration in force.
OPERATOR_COMMANDS = frozenset({"effective_config", "consul_services", "consul_deregister", "help"})


class StartupError(ImproperlyConfigured):
    """Why the site cannot start. An `ImproperlyConfigured`, so that `manage.py help` still works.

    `condition` is one of unreachable, denied, missing, invalid; `status` its exit status.
    """

    def __init__(self, condition: str, status: int, message: str, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.condition = condition
        self.status = status
        self.faults = tuple(faults)


def is_operator_command() -> bool:
    """Whether this process is `manage.py` with a command that must work in the four conditions."""
    return _command in OPERATOR_COMMANDS


def run_command(execute: Callable[[list[str]], None], argv: list[str]) -> None:
    """Run a `manage.py` command line; a `StartupError` ends the process with its message and status."""
    global _command
    asks_for_help = argv[1:] == [] or {"-h", "--help"} & {*argv}
    _command = "help" if asks_for_help else argv[1]
    try:
        execute(argv)
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.status)


_command = ""

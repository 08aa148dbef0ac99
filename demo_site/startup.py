"""How a start ends when the site has no usable configuration: one message, one exit status, no traceback.

The statuses are those of sysexits.h: 69 unreachable, 77 denied, 66 missing, 78 invalid.
"""

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from .messages import Message, _

# They show, explain or clean up what is broken, so they run without a configuration in force.
OPERATOR_COMMANDS = frozenset({"effective_config", "consul_services", "consul_deregister", "help"})


class StartupError(ImproperlyConfigured):
    """Why the site cannot start. An `ImproperlyConfigured`, so that `manage.py help` still works.

    `condition` is one of unreachable, denied, missing, invalid; `status` its exit status.
    """

    def __init__(self, condition: str, status: int, message: Message, faults: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.condition = condition
        self.status = status
        self.message = message
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


def secret_key_in(path: Path) -> str:
    """The generated SECRET_KEY, used when DJANGO_SECRET_KEY is not set. Several processes may ask at once.

    It is made with mode 0600 if it is not there. Raises `StartupError` when it can be neither read nor made.
    """
    try:
        if not path.exists():
            _make_secret_key(path)
        path.chmod(0o600)
        return path.read_text().strip()
    except OSError as error:
        where = {"path": path, "reason": error.strerror}
        message = _("No secret key can be stored in %(path)s (%(reason)s). Set DJANGO_SECRET_KEY.", **where)
        raise StartupError("invalid", os.EX_CONFIG, message) from None


def _make_secret_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(50) + "\n")
    try:
        os.link(draft, path)  # unlike a rename it fails when another process was first: its key stays
    except FileExistsError:
        pass
    finally:
        draft.unlink()

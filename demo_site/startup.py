"""How a start without a usable configuration ends: one message, one exit status, no traceback."""

import contextlib
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from .messages import Message, _

# By condition, as sysexits.h defines them: 69, 77, 66, 78.
STATUSES = {"unreachable": os.EX_UNAVAILABLE, "denied": os.EX_NOPERM, "missing": os.EX_NOINPUT, "invalid": os.EX_CONFIG}
# gunicorn's Arbiter.APP_LOAD_ERROR: the status with which a worker ends its master too, instead of being replaced
# forever.
_APP_LOAD_ERROR = 4
gunicorn_master = 0  # the pid, where gunicorn.conf.py was read
# They explain or clean up a broken installation, so they run without a configuration in force.
OPERATOR_COMMANDS = frozenset({"effective_config", "consul_services", "consul_deregister", "help", "check_document"})
# Of these, those that ask Consul for nothing at the start: CI has none.
_OFFLINE_COMMANDS = frozenset({"check_document"})


class StartupError(ImproperlyConfigured):
    """Why the site cannot start: a condition with its exit status, and a message.

    An `ImproperlyConfigured`, so that `manage.py help` still works.
    """

    def __init__(self, condition: str, message: Message) -> None:
        super().__init__(message)
        self.condition, self.message = condition, message
        self.status = STATUSES[condition]


def is_operator_command() -> bool:
    """Whether this process is `manage.py` with a command that must work in the four conditions."""
    return _command in OPERATOR_COMMANDS


def is_offline_command() -> bool:
    """Whether this process is `manage.py` with a command that is not about the document in force."""
    return _command in _OFFLINE_COMMANDS


def is_serving() -> bool:
    """Whether this process answers requests: gunicorn or `runserver`, not another command of `manage.py`."""
    return _command in ("", "runserver")


def run_command(execute: Callable[[list[str]], None], argv: list[str]) -> None:
    """Run a `manage.py` command line; a `StartupError` ends the process with its message and status."""
    global _command
    if os.environ.get("NO_COLOR"):  # https://no-color.org/; Django knows only its own variable
        os.environ.setdefault("DJANGO_COLORS", "nocolor")
    asks_for_help = argv[1:] == [] or {"-h", "--help"} & {*argv}
    _command = "help" if asks_for_help else argv[1]
    try:
        execute(argv)
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.status)


_command = ""


@contextlib.contextmanager
def ending_gunicorn(say: Callable[[Message], None]) -> Iterator[None]:
    """Load the site in this context: a `StartupError` ends gunicorn, a worker's master too; `say` gets its message.

    The status is the condition's, so that a supervisor knows what may pass by itself; in a worker, 4.
    """
    try:
        yield
    except StartupError as error:
        say(error.message)
        sys.exit(error.status if os.getpid() == gunicorn_master else _APP_LOAD_ERROR)


def private_file(path: Path) -> Path:
    """The path of a file of this user's alone, in a folder of this user's alone; wrong modes are corrected.

    A file that is missing is made, empty. Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    path.touch(mode=0o600)
    path.chmod(0o600)
    return path


def secret_key_in(path: Path) -> str:
    """The SECRET_KEY for a site without DJANGO_SECRET_KEY: generated once, with mode 0600. Processes may race for it.

    Raises `StartupError` when the file can be neither read nor written.
    """
    try:
        if not path.exists():
            _make_secret_key(path)
        return private_file(path).read_text().strip()
    except OSError as error:
        where = {"path": path, "reason": error.strerror}
        text = _(
            "No secret key can be stored in %(path)s (%(reason)s). Set DJANGO_SECRET_KEY or DJANGO_SECRET_KEY_FILE."
        )
        raise StartupError("invalid", Message(text, **where)) from None


def _make_secret_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_urlsafe(50) + "\n")
    try:
        os.link(draft, path)  # unlike a rename, this fails when another process was first, and its key stays
    except FileExistsError:
        pass
    finally:
        draft.unlink()

"""The Django site, through its `manage.py`."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from loopback import request, wait_until
from processes import Failed, Process, Result, Session, run

INVALID_DOCUMENT = 78  # manage.py's exit status
START_SECONDS = 60.0
ADMIN = "admin"

# Variables that would point the site at another Consul or database than those of `make run`.
ELSEWHERE = ("CONSUL_", "DEMO_CONFIG_", "SERVICE_", "DATABASE_URL", "DJANGO_SETTINGS_MODULE")


def leads_elsewhere(variable: str) -> bool:
    return variable.startswith(ELSEWHERE) and variable != "CONSUL_BIN"


class InvalidDocument(Exception):
    """The site refuses the document; the text lists its faults."""


@dataclass(frozen=True)
class Site:
    """The checkout at `root`, to be served on 127.0.0.1:`port`."""

    root: Path
    python: Path
    port: int
    consul_address: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def migrate(self) -> None:
        """Raises InvalidDocument, Failed."""
        self._checked("migrate", "--noinput")

    def create_admin(self, password_file: Path) -> str | None:
        """The admin's password, stored in `password_file`; None where the user exists and the password is unknown."""
        is_new = not password_file.exists()
        if is_new:
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_urlsafe(12) + "\n")
        password = password_file.read_text().strip()
        done = self._manage(
            "createsuperuser",
            "--noinput",
            DJANGO_SUPERUSER_USERNAME=ADMIN,
            DJANGO_SUPERUSER_EMAIL="admin@example.com",
            DJANGO_SUPERUSER_PASSWORD=password,
        )
        if done.status == 0:
            return password
        if is_new:
            password_file.unlink()
        if "already taken" not in done.output:
            raise Failed(f"The admin user cannot be created:\n{done.output}")
        return None if is_new else password

    def start(self, session: Session) -> Process:
        """Raises Failed."""
        command = [str(self.python), "manage.py", "runserver", "--verbosity", "0", f"127.0.0.1:{self.port}"]
        server = session.start(Process("The site", command, environment=self._environment(), directory=self.root))
        if not wait_until(lambda: server.has_ended() or self._is_live(), START_SECONDS) or server.has_ended():
            raise Failed("The site did not start: its messages are above.")
        return server

    def register(self) -> None:
        """Raises Failed."""
        self._checked("consul_register")

    def deregister(self) -> Result:
        return self._manage("consul_deregister", seconds=15.0)

    def _is_live(self) -> bool:
        return request(f"{self.url}/livez")[0] == 200

    def _checked(self, *arguments: str) -> None:
        done = self._manage(*arguments)
        if done.status == INVALID_DOCUMENT:
            raise InvalidDocument(done.output)
        if done.status:
            raise Failed(f"`manage.py {arguments[0]}` ended with status {done.status}:\n{done.output}")

    def _manage(self, *arguments: str, seconds: float = 120.0, **variables: str) -> Result:
        command = [str(self.python), "manage.py", *arguments]
        environment = {**self._environment(), **variables}
        return run(command, environment=environment, directory=self.root, seconds=seconds)

    def _environment(self) -> Mapping[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not leads_elsewhere(name)}
        return inherited | {
            "CONSUL_HTTP_ADDR": self.consul_address,
            "SERVICE_ADDRESS": "127.0.0.1",
            "SERVICE_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }

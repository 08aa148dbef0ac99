"""The module that Django looks for in an engine (`DATABASES["default"]["ENGINE"]`)."""

from types import SimpleNamespace
from typing import Any

import psycopg
from django.db.backends.postgresql import base

from .. import startup

CONNECT_SECONDS = 2  # the least that libpq's connect_timeout allows; for each address of the host
STATEMENT_SECONDS = 5
EXCHANGE_SECONDS = STATEMENT_SECONDS + 1


class Connection(psycopg.Connection[Any]):
    """Its commands end at a deadline in a process that serves, also while PostgreSQL hangs and enforces none.

    TCP does not notice that: the system on which it hangs goes on confirming what it receives.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """psycopg waits here for every command. Raises `psycopg.OperationalError`."""
        if not startup.is_serving():
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, timeout or EXCHANGE_SECONDS)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
                raise
        self.close()  # or a rollback would wait as long again
        raise psycopg.OperationalError(f"no answer within {EXCHANGE_SECONDS} s")


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, with such connections. Commands may take longer: a migration, an import."""

    Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": Connection.connect})

    def get_connection_params(self) -> dict[str, Any]:
        """What DATABASE_URL says takes precedence."""
        params: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, **super().get_connection_params()}
        if startup.is_serving():
            limit = f"-c statement_timeout={STATEMENT_SECONDS}s"
            params["options"] = f"{limit} {params.get('options', '')}".strip()  # of two values the last one counts
        return params

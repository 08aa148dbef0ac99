import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from django import db
from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as MigrateCommand

_LOCK = int.from_bytes(b"migrate")  # in the database, among the advisory locks of everybody who uses it
_MOST_SECONDS, _PAUSE_SECONDS = 600.0, 0.5


class Command(MigrateCommand):
    """Django's, one at a time on PostgreSQL: every instance may run it when it starts."""

    def handle(self, *args: Any, **options: Any) -> None:
        connection = db.connections[options["database"]]
        only_reads = options["plan"] or options["check_unapplied"]
        if connection.vendor != "postgresql" or only_reads:
            super().handle(*args, **options)
            return
        with self._alone(connection):
            super().handle(*args, **options)

    @contextmanager
    def _alone(self, connection: Any) -> Iterator[None]:
        """Holds an advisory lock of this session, which PostgreSQL releases when the process dies."""
        with connection.cursor() as cursor:
            self._acquire(cursor)
        try:
            yield
        finally:
            with suppress(db.Error), connection.cursor() as cursor:  # the session has ended, and with it the lock
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])

    def _acquire(self, cursor: Any) -> None:
        """Tries again and again: a statement that waits would stop CREATE INDEX CONCURRENTLY, which waits for it."""
        deadline, is_told = time.monotonic() + _MOST_SECONDS, False
        while True:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            if cursor.fetchone()[0]:
                return
            if time.monotonic() > deadline:
                text = f"Another `migrate` has been at work on this database for {_MOST_SECONDS:g} s."
                raise CommandError(text, returncode=os.EX_TEMPFAIL)
            if not is_told:
                self.stdout.write("Another `migrate` is at work on this database; waiting for it.")
                is_told = True
            time.sleep(_PAUSE_SECONDS)

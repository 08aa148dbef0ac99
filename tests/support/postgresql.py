"""A real PostgreSQL on a free loopback port, with a fresh database. It refuses to run as root."""

import contextlib
import os
import pwd
import signal
import subprocess
from urllib.parse import quote

import psutil
import psycopg

from tests.support.binaries import postgresql_binary
from tests.support.ports import free_port
from tests.support.processes import BOUND, ServerProcess, clean_environment
from tests.support.secrets import GUARD

# What makes it start and answer sooner; a machine that dies takes the tests along anyway.
_SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off", "max_wal_senders=0")


class PostgresServer(ServerProcess):
    """Its superuser is `demo`, whose password is in no command line."""

    def __init__(self):
        super().__init__("postgresql")
        self.port = free_port()
        self.password = GUARD.new("PostgreSQL password", separator="@:/%,#é")
        self.data = self.directory / "data"
        self.user = "nobody" if os.geteuid() == 0 else None

    def __enter__(self):
        if self.user:
            os.chown(self.directory, pwd.getpwnam(self.user).pw_uid, -1)
        self._make_cluster()
        return self.start()

    @property
    def url(self):
        """For DATABASE_URL."""
        return f"postgres://demo:{quote(self.password, safe='')}@127.0.0.1:{self.port}/postgres"

    def _make_cluster(self):
        (self.directory / "password").write_text(self.password)
        options = ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "--auth=scram-sha-256"]
        subprocess.run(  # noqa: S603 (our own command)
            [postgresql_binary("initdb"), *options, "-U", "demo", "--pwfile=password", "-D", str(self.data)],
            user=self.user,
            env=clean_environment(self.directory),
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=BOUND,
        )

    def start(self):
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *_SETTINGS]
        options = [part for setting in settings for part in ("-c", setting)]
        command = [postgresql_binary("postgres"), "-D", self.data, *options]
        self.launch(command, environment=clean_environment(self.directory), user=self.user)
        self.wait_ready(self._answers, ignoring=(psycopg.OperationalError,))
        return self

    def _answers(self):
        with self.connect():
            return True

    def connect(self, **options):
        return psycopg.connect(self.url, autocommit=True, connect_timeout=BOUND, **options)

    def value(self, statement):
        """The one value that a statement returns."""
        with self.connect() as connection:
            return connection.execute(statement).fetchone()[0]

    def signal(self, number):
        """To all of its processes: each connection has one, in a process group of its own."""
        postmaster = psutil.Process(self.pid)
        for process in (postmaster, *postmaster.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def close(self):
        """The other processes end when the first one has gone, and until then write into the directory."""
        if self.running:
            others = psutil.Process(self.pid).children()
            self.resume()
            self.process.send_signal(signal.SIGQUIT)
            self.wait()
            psutil.wait_procs(others, BOUND)
        super().close()

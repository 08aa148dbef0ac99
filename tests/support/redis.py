"""A real redis-server on a free loopback port."""

import redis

from tests.support.binaries import redis_binary
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment


def _quoted(text):
    """The text as redis.conf takes any bytes: in double quotes, each byte escaped."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


class RedisServer(ServerProcess):
    """Starts empty; with `password`, every command needs it. The password is in no command line and no file.

    `settings` are further lines of redis.conf.
    """

    def __init__(self, password=None, host="127.0.0.1", settings=()):
        super().__init__("redis-server")
        self.host, self.port, self.password, self.settings = host, free_port(), password, settings

    def __enter__(self):
        return self.start()

    def start(self):
        lines = [f"port {self.port}", f"bind {self.host}", 'save ""', "appendonly no", f"dir {self.directory}"]
        lines += self.settings
        if self.password:
            lines.append(f"requirepass {_quoted(self.password)}")
        config = "\n".join(lines).encode()
        self.launch([redis_binary(), "-"], environment=clean_environment(self.directory), stdin=config)
        self.wait_ready(self._answers, ignoring=(redis.ConnectionError,))
        return self

    def restart(self):
        """Stop and start again on the same port, empty."""
        self.stop()
        return self.start()

    def _answers(self):
        with self.client() as client:
            return client.ping()

    def client(self, db=0, **options):
        """A redis-py client for the test."""
        return redis.Redis(
            self.host, self.port, db, self.password, decode_responses=True, socket_timeout=10, retry=None, **options
        )

    def change_password(self, password):
        """Make the server require another password from now on."""
        with self.client() as client:
            client.config_set("requirepass", password)
        self.password = password

    def hits(self, db=0):
        """The number that `redis-cli get hits` shows."""
        with self.client(db) as client:
            return int(client.get("hits") or 0)

    def document(self, **members):
        """The `redis_config` that names this server, with other members as given."""
        config = {"redis_host": self.host, "redis_port": self.port, "redis_db": 0, "redis_password": self.password}
        return {**config, **members}

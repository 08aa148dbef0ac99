"""A real redis-server on a free loopback port, of each kind that people run."""

import contextlib

import redis

from tests.support.binaries import redis_binary
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.waiting import wait_until


def quoted(text):
    """The text as redis.conf takes any bytes: in double quotes, each byte escaped."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


class RedisServer(ServerProcess):
    """Starts empty; with `password`, every command needs it. The password is in no command line and no file.

    `settings` are further lines of redis.conf.
    `certificates`: it speaks TLS only, and with `mutual_tls` only with clients that show a certificate of the same
    authority.
    `unix_socket`: it listens on the socket at `socket_path` only.
    `cluster`: a node of a cluster, which knows no other and serves no slot.
    """

    def __init__(
        self,
        password=None,
        host="127.0.0.1",
        settings=(),
        *,
        certificates=None,
        mutual_tls=False,
        unix_socket=False,
        cluster=False,
    ):
        super().__init__("redis-server")
        self.host, self.port, self.password, self.settings = host, free_port(), password, settings
        self.certificates, self.mutual_tls = certificates, mutual_tls
        self.socket_path = str(self.directory / "redis.sock") if unix_socket else None
        self.bus_port = free_port() if cluster else None

    def __enter__(self):
        return self.start()

    def start(self):
        lines = [f"bind {self.host}", *self._listens(), 'save ""', "appendonly no", f"dir {self.directory}"]
        lines += ["repl-diskless-sync-delay 0", *self.settings]  # seconds that a replica waits for others to come
        if self.bus_port:
            lines += ["cluster-enabled yes", f"cluster-port {self.bus_port}", "cluster-node-timeout 2000"]
        if self.password:
            lines += [f"requirepass {quoted(self.password)}", f"masterauth {quoted(self.password)}"]
        config = "\n".join(lines).encode()
        self.launch([redis_binary(), "-"], environment=clean_environment(self.directory), stdin=config)
        self.wait_ready(self._answers, ignoring=(redis.ConnectionError,))
        return self

    def _listens(self):
        if self.socket_path:
            return ["port 0", f"unixsocket {self.socket_path}", "unixsocketperm 700"]
        if not self.certificates:
            return [f"port {self.port}"]
        return [
            "port 0",
            f"tls-port {self.port}",
            f"tls-ca-cert-file {self.certificates.authority}",
            f"tls-cert-file {self.certificates.server_certificate}",
            f"tls-key-file {self.certificates.server_key}",
            f"tls-auth-clients {'yes' if self.mutual_tls else 'no'}",
            "tls-replication yes",
        ]

    def restart(self):
        """Stop and start again on the same port, empty."""
        self.stop()
        return self.start()

    def _answers(self):
        with self.client() as client:
            return client.ping()

    def client(self, db=0, **options):
        """A redis-py client for the test. It takes a certificate for any name."""
        given = {"host": self.host, "port": self.port, "db": db, "password": self.password, "retry": None}
        given |= {"unix_socket_path": self.socket_path, "decode_responses": True, "socket_timeout": 10}
        if self.certificates:
            given |= {"ssl": True, "ssl_ca_certs": str(self.certificates.authority), "ssl_check_hostname": False}
        if self.mutual_tls:
            given["ssl_certfile"] = str(self.certificates.client_certificate)
            given["ssl_keyfile"] = str(self.certificates.client_key)
        return redis.Redis(**{**given, **options})

    def info(self, section):
        """A section of INFO, such as "replication"."""
        with self.client() as client:
            return client.info(section)

    def hits(self, db=0):
        """The number that `redis-cli get hits` shows."""
        with self.client(db) as client:
            return int(client.get("hits") or 0)

    def document(self, **members):
        """The `redis_config` that names this server, with other members as given."""
        config = {"redis_host": self.host, "redis_port": self.port}
        if self.socket_path:
            config = {"redis_socket": self.socket_path}
        if self.certificates:
            config |= {"redis_tls": True, "redis_ca_file": str(self.certificates.authority)}
        if self.mutual_tls:
            config["redis_cert_file"] = str(self.certificates.client_certificate)
            config["redis_key_file"] = str(self.certificates.client_key)
        return {**config, "redis_db": 0, "redis_password": self.password, **members}

    # Its users.

    def change_password(self, password):
        """Make the server require another password from now on."""
        with self.client() as client:
            client.config_set("requirepass", password)
        self.password = password

    def set_user(self, name, password, *rules):
        """Make or change a user that may do what these rules of ACL SETUSER allow, and nothing else."""
        with self.client() as client:
            client.execute_command("ACL SETUSER", name, "reset", "on", f">{password}", *rules)

    # Other servers.

    def make_replica_of(self, other):
        """Make it a read-only replica of the other server; return when it has all that the other holds."""
        with self.client() as client:
            client.config_set("masterauth", other.password or "")
            client.replicaof(other.host, other.port)
        wait_until(lambda: self.replicates(other), message="the replica to hold what its master does")

    def replicates(self, other):
        """Whether it is a replica of the other server, and both say that the link is up."""
        said = self.info("replication")
        if (said.get("master_port"), said.get("master_link_status")) != (other.port, "up"):
            return False
        known = [each for each in other.info("replication").values() if isinstance(each, dict)]
        return any((each["port"], each["state"]) == (self.port, "online") for each in known)

    def promote(self):
        """Make a replica a master."""
        with self.client() as client:
            client.replicaof("NO", "ONE")

    def take_slots(self):
        """Have this node of a cluster serve every slot."""
        with self.client() as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(self.in_working_cluster, message="the cluster to work")

    def join(self, other):
        """Make it a node of the other's cluster; return when it knows who serves which slot."""
        with self.client() as client:
            client.execute_command("CLUSTER MEET", other.host, other.port, other.bus_port)
        wait_until(self.in_working_cluster, message="the cluster to work")

    def in_working_cluster(self):
        with self.client() as client:
            return client.cluster("INFO")["cluster_state"] == "ok"

    # Trouble.

    @contextlib.contextmanager
    def full_memory(self):
        """Have it refuse what needs memory."""
        with self.client() as client:
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    @contextlib.contextmanager
    def failing_saves(self):
        """Have it refuse to write, because it failed to save: a directory is where its file should be."""
        obstacle = self.directory / "dump.rdb"
        obstacle.mkdir()
        with self.client() as client:
            client.config_set("save", "3600 1000000")
            self._save(client, "err")
            try:
                yield
            finally:
                obstacle.rmdir()
                self._save(client, "ok")
                client.config_set("save", "")

    def _save(self, client, status):
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == status, message=f"a save: {status}")

"""A Redis with two replicas that three real Sentinels watch, on free loopback ports."""

import contextlib

import redis

from tests.support.binaries import redis_binary
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.redis import RedisServer, quoted
from tests.support.waiting import wait_until

MASTER = "mymaster"
QUORUM = 2


class Sentinel(ServerProcess):
    """One Sentinel. What it learns it writes into its configuration, so that a restart goes on with it."""

    def __init__(self, master):
        super().__init__("sentinel")
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._config_path = self.directory / "sentinel.conf"  # in a directory that nobody else may enter
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.directory}", "sentinel announce-ip 127.0.0.1"]
        lines += [f"sentinel monitor {MASTER} {master.host} {master.port} {QUORUM}"]
        lines += [f"sentinel auth-pass {MASTER} {quoted(master.password)}"] if master.password else []
        lines += [f"sentinel down-after-milliseconds {MASTER} 1000", f"sentinel failover-timeout {MASTER} 10000"]
        lines += [f"sentinel parallel-syncs {MASTER} 1"]
        self._config_path.write_text("\n".join(lines) + "\n")

    def __enter__(self):
        return self.start()

    def start(self):
        command = [redis_binary(), self._config_path, "--sentinel"]
        self.launch(command, environment=clean_environment(self.directory))
        self.wait_ready(self.state, ignoring=(redis.ConnectionError,))
        return self

    def client(self):
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=10, retry=None)

    def state(self):
        """What SENTINEL MASTER says: its members by name."""
        with self.client() as client:
            return client.sentinel_master(MASTER)

    def named_port(self):
        """The port of the server that a client of this Sentinel is told to be the master."""
        with self.client() as client:
            return client.sentinel_get_master_addr_by_name(MASTER)[1]


class SentinelGroup:
    """The first of `servers` begins as the master. With `password`, every server needs it; the Sentinels need none.

    `settings` are further lines of each server's redis.conf, such as "min-replicas-to-write 1".
    """

    def __init__(self, password=None, settings=()):
        self.password = password
        self.servers = [RedisServer(password, settings=settings) for _ in range(3)]
        self.sentinel_servers = [Sentinel(self.servers[0]) for _ in range(3)]
        self.sentinels = [sentinel.address for sentinel in self.sentinel_servers]
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            first, *others = [stack.enter_context(server) for server in self.servers]
            for server in others:
                server.make_replica_of(first)
            for sentinel in self.sentinel_servers:
                stack.enter_context(sentinel)
            wait_until(self._know_each_other, message="the Sentinels to know each other and the replicas")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info):
        self._stack.close()

    def document(self, **members):
        """The `redis_config` that names this group, with other members as given."""
        config = {"redis_sentinels": self.sentinels, "redis_master": MASTER}
        return {**config, "redis_db": 0, "redis_password": self.password, **members}

    def master(self):
        """The server that a Sentinel names now."""
        return self._server(self._running()[0].named_port())

    def failover(self):
        """Have a Sentinel choose another master, as before maintenance; return the new one when all agree on it.

        The old one takes writes on for about ten seconds, and then becomes a replica: see `wait_settled`.
        """
        return self.wait_failed_over(self.begin_failover())

    def begin_failover(self):
        """Have a Sentinel begin to choose another master; return the one that was it."""
        old = self.master()
        with self._running()[0].client() as client:
            ready = "a replica that can be promoted"
            wait_until(lambda: client.sentinel_failover(MASTER), message=ready, ignoring=(redis.ResponseError,))
        return old

    def kill_master(self):
        """Kill the master, as a crash would, and return it. `start` makes it come back, empty and as a master."""
        killed = self.master()
        killed.kill()
        return killed

    def wait_failed_over(self, old):
        """Wait until every Sentinel names another master than `old`, and that one is; return it."""
        wait_until(lambda: self._agreed() not in (None, old), message="another master")
        return self.master()

    def switches(self):
        """How often the first Sentinel has had another master so far, by its log."""
        return self.sentinel_servers[0].log().count("+switch-master")

    def wait_settled(self):
        """Wait until all agree on a master, and every other server that runs is its replica; return the master."""
        wait_until(self._settled, message="every other server to be a replica", ignoring=(redis.ConnectionError,))
        return self.master()

    def _running(self):
        return [sentinel for sentinel in self.sentinel_servers if sentinel.running]

    def _server(self, port):
        return next(server for server in self.servers if server.port == port)

    def _know_each_other(self):
        states = [sentinel.state() for sentinel in self.sentinel_servers]
        return all(state["num-slaves"] == state["num-other-sentinels"] == 2 for state in states)

    def _agreed(self):
        """The master that every Sentinel names, once its failover has ended; None before."""
        ports = {sentinel.named_port() for sentinel in self._running()}
        failing_over = any("failover_in_progress" in sentinel.state()["flags"] for sentinel in self._running())
        if len(ports) > 1 or failing_over:
            return None
        named = self._server(ports.pop())
        return named if named.running and named.info("replication")["role"] == "master" else None

    def _settled(self):
        master = self._agreed()
        return master and all(each.replicates(master) for each in self.servers if each.running and each is not master)

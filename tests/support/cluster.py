"""A Consul cluster as in production: three servers, and a client agent that the site speaks to. Its faults."""

import contextlib
import shutil
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests

from demo_site.identity import KEY, NAME
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.outage import Load
from tests.support.waiting import wait_until
from tests.support.workers import Workers

# A member that is silent is known to have failed after a second or two instead of five to ten.
_GOSSIP = {
    "gossip_interval": "50ms",
    "probe_interval": "200ms",
    "probe_timeout": "300ms",
    "suspicion_mult": 3,
}


class Member(ConsulServer):
    """One of the cluster; it looks for the servers until it has found one."""

    def __init__(self, servers, *, is_server):
        super().__init__(keep_state=True)
        self._servers, self._is_server = servers, is_server

    def _mode(self):
        joins = [f"-retry-join=127.0.0.1:{server.ports['serf_lan']}" for server in self._servers if server is not self]
        kind = ["-server", f"-bootstrap-expect={len(self._servers)}"] if self._is_server else []
        return [*kind, f"-data-dir={self.directory / 'data'}", "-retry-interval=500ms", *joins]

    def _config(self):
        return {**super()._config(), "gossip_lan": _GOSSIP, "leave_on_terminate": False}

    def start(self):
        """Start without waiting: alone it cannot keep a key."""
        self.start_process()
        return self

    def wait_usable(self):
        self.wait_ready(self._keeps_keys, ignoring=(requests.RequestException,))

    def forget(self):
        """Remove its state, but for its id in the cluster."""
        for path in (self.directory / "data").iterdir():
            if path.name != "node-id":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def leads(self):
        """Whether it says of itself that it is the leader."""
        with contextlib.suppress(requests.RequestException):
            answer = requests.get(f"{self.url}/v1/agent/self", timeout=1)
            return answer.ok and answer.json()["Stats"].get("consul", {}).get("leader") == "true"
        return False


class ConsulCluster:
    """`servers`, and the client agent `agent`; ready when that keeps a key."""

    def __init__(self):
        self.servers = []
        self.servers += [Member(self.servers, is_server=True) for _ in range(3)]
        self.agent = Member(self.servers, is_server=False)

    def __enter__(self):
        for member in (*self.servers, self.agent):
            member.start()
        self.wait_recovered()
        return self

    def __exit__(self, *exc_info):
        for member in (self.agent, *self.servers):
            member.close()

    def leader(self):
        """The server that leads now."""
        return wait_until(lambda: next((each for each in self.servers if each.running and each.leads()), None))

    def wait_recovered(self, bound=180):
        """Wait until the site's agent can be used again: it writes, and its node is in the catalog."""

        def is_recovered():
            written = requests.put(f"{self.agent.url}/v1/kv/is-ready", data=b"", timeout=1).ok
            return written and requests.get(f"{self.agent.url}/v1/catalog/node/{self.agent.node}", timeout=1).json()

        wait_until(is_recovered, bound, "the cluster to recover", 0.05, (requests.RequestException,))

    def ask(self, method, path, **options):
        """One request to whichever server can answer it."""

        def answered():
            for server in self.servers:
                with contextlib.suppress(requests.RequestException):
                    if server.running and (answer := server.api(method, path, **options)).status_code < 500:
                        return answer
            return None

        return wait_until(answered, 60, f"{method} {path}")

    def put(self, value):
        """Write the document through whichever server takes it; False if none does.

        What a server holds back until it has a leader again does not overwrite a later one: it is a compare-and-set.
        """
        for server in self.servers:
            with contextlib.suppress(requests.RequestException):
                found = requests.get(f"{server.url}/v1/kv/{KEY}", timeout=0.5)
                index = found.json()[0]["ModifyIndex"] if found.ok else 0
                if requests.put(f"{server.url}/v1/kv/{KEY}?cas={index}", json=value, timeout=0.5).text == "true":
                    return True
        return False

    # The faults. Each yields while it lasts, and has been mended after.

    @contextlib.contextmanager
    def leader_killed(self):
        leader = self.leader()
        leader.kill()
        yield
        leader.start()

    @contextlib.contextmanager
    def leader_stopped(self):
        """It hangs: its connections stay open."""
        leader = self.leader()
        leader.pause()
        yield
        leader.resume()

    @contextlib.contextmanager
    def agent_cut_off(self, seconds=6):
        """Neither the site nor the servers hear of the client agent, while the servers go on."""
        self.agent.pause()
        time.sleep(seconds)
        self.agent.resume()
        yield

    @contextlib.contextmanager
    def servers_restarted(self, empty=False):
        for server in self.servers:
            server.kill()
            if empty:
                server.forget()
        for server in self.servers:
            server.start()
        yield
        # Servers that lost their state do not hear of a client agent for half a minute: not before the next fault.
        assert self.agent.api("PUT", f"/v1/agent/join/127.0.0.1:{self.servers[0].ports['serf_lan']}").ok

    @contextlib.contextmanager
    def without_quorum(self):
        """Two of three hang."""
        stopped = [self.leader()]
        stopped += [server for server in self.servers if server not in stopped][:1]
        for server in stopped:
            server.pause()
        yield
        for server in stopped:
            server.resume()


class Changes:
    """Puts another document five times a second, all valid, until `stop`."""

    def __init__(self, cluster, redis):
        self._cluster, self._redis = cluster, redis
        self._stopped, self.made = threading.Event(), 0
        self._thread = threading.Thread(target=self._put)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def stop(self):
        self._stopped.set()
        self._thread.join()

    def _put(self):
        while not self._stopped.wait(0.2):
            self.made += self._cluster.put(changed_document(self._redis))


def outcome(cluster, site, redis, fault, workers=2, per_second=20):
    """Have a fault happen under page views and changes.

    Returns the statuses that visitors got, the number of changes, and by what is meant the seconds from the cluster's
    own recovery until it was so again: all workers follow, the instance is registered, every worker is published.
    """
    load, changes = Load(site, "/", per_second), Changes(cluster, redis)
    with contextlib.closing(Workers(site, workers).find()) as connections, load, changes:
        time.sleep(0.5)
        with fault:
            cluster.wait_recovered()
            began = time.monotonic()
            changes.stop()
            last = changed_document(redis)
            wait_until(lambda: cluster.put(last), message="the last change")
            pids = {str(pid) for pid in connections.by_pid}
            seconds = _seconds_until(
                began,
                followed=lambda: connections.wait_message(last["show_message"], 25) or True,
                registered=lambda: is_registered(cluster.agent),
                published=lambda: pids <= {key.rsplit("/", 1)[1] for key in published(cluster.agent)},
            )
    return load.seen.statuses, changes.made, seconds


def changed_document(redis):
    return document(redis, f"a message of its own, {uuid.uuid4()}")


def _seconds_until(began, **conditions):
    """The seconds since `began` until each of these holds."""

    def watch(what, condition):
        wait_until(condition, 60, what, 0.05, (requests.RequestException,))
        return time.monotonic() - began

    with ThreadPoolExecutor(len(conditions)) as threads:
        found = {what: threads.submit(watch, what, condition) for what, condition in conditions.items()}
    return {what: future.result() for what, future in found.items()}


def is_registered(agent):
    """Whether the catalog has the instance, and its checks pass. That of the node is the gossip's affair."""
    found = agent.health(NAME)
    return found and all(check["Status"] == "passing" for check in found[0]["Checks"] if check["ServiceID"])


def published(agent):
    """The keys of the published workers."""
    answer = agent.api("GET", f"/v1/kv/{KEY}.workers/?keys")
    return answer.json() if answer.ok else []

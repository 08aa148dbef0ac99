"""A real HAProxy with the shipped configuration, and the instances that it finds by Consul's DNS."""

import csv
import os
import re
import shutil
import signal
import socket

import requests

from demo_site.identity import NAME
from tests.support.binaries import PROJECT, PartMissingError
from tests.support.membership import seconds_until_passing
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

import debian  # deploy/local

SHIPPED = PROJECT / "deploy" / "haproxy" / "haproxy.cfg"
SOCKET = "global\n    stats socket {} level user\n"


def haproxy_binary():
    """Debian keeps it out of a user's PATH."""
    if path := shutil.which("haproxy", path=debian.search_path()):
        return path
    raise PartMissingError("HAProxy is not on this machine: on Debian, apt-get install haproxy")


class HAProxy(ServerProcess):
    """HAProxy on a port of its own; `changes` replaces texts of the shipped file, `certificate` makes it HTTPS."""

    def __init__(self, consul, *, certificate=None, changes=()):
        super().__init__("haproxy")
        self.port = free_port()
        self.url = f"http{'s' if certificate else ''}://localhost:{self.port}"
        self._socket = self.directory / "socket"
        text = re.sub(r"_[\w-]+\._tcp", f"_{NAME}._tcp", SHIPPED.read_text())  # also where the service is renamed
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        files = {"haproxy.cfg": text, "stats.cfg": SOCKET.format(self._socket)}
        for name, content in files.items():
            (self.directory / name).write_text(content)
        self._command = [haproxy_binary(), *(part for name in files for part in ("-f", self.directory / name))]
        self._environment = clean_environment(self.directory) | {
            "HAPROXY_BIND": f"127.0.0.1:{self.port}",
            "CONSUL_DNS": f"localhost:{consul.dns_port}",
            **({"HAPROXY_CERT": str(certificate)} if certificate else {}),
        }

    def start(self, instances):
        """Start, and wait until it sends requests to so many instances."""
        self.launch(self._command, environment=self._environment)
        self.wait_ready(lambda: self.instances_up() == instances, bound=30, ignoring=(OSError,))
        return self

    def get(self, path="/", **options):
        """One request, on a connection of its own; no redirect is followed."""
        answer = requests.get(self.url + path, timeout=10, allow_redirects=False, **options)
        GUARD.check(f"{answer.headers}\n{answer.text}", f"the answer to GET {path}")
        return answer

    def instances_up(self):
        """How many instances get requests."""
        rows = csv.DictReader(self._ask("show stat").removeprefix("# ").splitlines())
        return sum(row["type"] == "2" and row["status"].startswith("UP") for row in rows)

    def close(self):
        GUARD.check(self.log(), "HAProxy's log")
        super().close()

    def _ask(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


class Instances:
    """Some instances of the site, registered by themselves, or by `consul_register --keep` beside each."""

    def __init__(self, new_site, consul, environment, count=3, *, registers=True, **variables):
        self._consul, self._registers = consul, registers
        self.sites = [
            new_site({**environment, "CONSUL_REGISTER": "1" if registers else "0", **variables}) for _ in range(count)
        ]
        for site in self.sites:
            site.gunicorn(wait=False)
            if not registers:
                site.environment["SERVICE_PORT"] = str(site.port)
                new_site(dict(site.environment)).background("consul_register", "--keep", "--interval", "2s")
        seconds_until_passing(consul, count)

    def restart(self, site):
        """SIGTERM, and start again; as whoever restarts one after the other, wait until it is ready."""
        assert site.stop() == 0
        site.gunicorn()
        self._wait_ready(site)

    def renew_workers(self, site):
        """SIGHUP, and wait until the old workers have ended."""
        before = set(site.worker_pids())
        site.signal(signal.SIGHUP)
        wait_until(lambda: site.worker_pids() and not before & set(site.worker_pids()), 60, "the old workers to end")

    def crash(self, site):
        """Kill -9 of the master and its workers."""
        os.killpg(site.pid, signal.SIGKILL)
        site.wait()

    def _wait_ready(self, site):
        wait_until(lambda: site.get("/readyz", session=requests).ok, message="the instance to be ready")
        if self._registers:
            seconds_until_passing(self._consul, len(self.sites))

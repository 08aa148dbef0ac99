"""What many workers ask of an agent, without the workers: each follows the key and publishes itself, as a worker does.

    python -m tests.support.watchers HOST:PORT KEY INSTANCE COUNT

Each change that a watcher sees is a line: the index, and the moment by the machine's monotonic clock.
"""

import sys
import threading
import time
from collections import defaultdict

from demo_site.config.watcher import WAIT_SECONDS
from demo_site.consul_agent import kv
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client, Timeouts
from demo_site.fleet.publisher import Publisher
from demo_site.fleet.worker import Worker, key
from tests.support.binaries import PROJECT
from tests.support.processes import ServerProcess, clean_environment

INSTANCE_WORKERS = 4


class Watchers(ServerProcess):
    """So many of them in a process of its own."""

    def __init__(self, consul, key, name, count):
        super().__init__("watchers")
        module = "tests.support.watchers"
        command = [sys.executable, "-m", module, consul.address, key, name, str(count)]
        environment = clean_environment(self.directory) | {"PYTHONPATH": "deploy/local"}
        self.launch(command, environment=environment, cwd=PROJECT)

    def seen(self):
        """The moments at which they saw each index."""
        found = defaultdict(list)
        for line in self.log().splitlines():
            index, moment = line.split()
            found[int(index)].append(float(moment))
        return found


class _Watcher:
    def __init__(self, address, config_key, instance, pid):
        self._open = lambda timeouts=Timeouts(): Client(address, timeouts)  # noqa: B008 (immutable)
        self._config_key, self._instance, self._pid, self._index = config_key, instance, pid, 0
        self._publisher = Publisher(self._describe, self._open, key(config_key, instance, pid))

    def start(self):
        for run in (self._watch, self._publisher.run):
            threading.Thread(target=run, daemon=True).start()

    def _watch(self):
        client, index = self._open(), 0
        while True:
            index, entry = kv.query(client, self._config_key, index, WAIT_SECONDS)
            if entry.modify_index != self._index:
                self._index = entry.modify_index
                sys.stdout.write(f"{self._index} {time.monotonic()}\n")
                self._publisher.change()

    def _describe(self):
        return Worker(
            instance=self._instance,
            pid=self._pid,
            started_at="2026-01-01T00:00:00.000Z",
            index=self._index,
            state="current",
            reason=None,
            workers=INSTANCE_WORKERS,
            seen_at="2026-01-01T00:00:00.000Z",
        )


def main(address, config_key, instance, count):
    threading.stack_size(256 * 1024)
    where = AgentAddress.from_environ({"CONSUL_HTTP_ADDR": address})
    for number in range(int(count)):
        name = f"{instance}-{number // INSTANCE_WORKERS}"
        _Watcher(where, config_key, name, number + 1).start()
        time.sleep(0.01)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The workers of a site one by one, and a steady load on all of them."""

import http.client
import json
import re
import threading
import time

import psutil

from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

NUMBER = re.compile(r"^(.*)! I have been seen (\d+) times\.\n$", re.DOTALL)


class Connection:
    """A keep-alive connection, which one worker serves as long as it lasts."""

    def __init__(self, site, timeout=30):
        self._http = http.client.HTTPConnection("127.0.0.1", site.port, timeout=timeout)
        self._http.connect()

    def get(self, path="/"):
        """The status and the body. Raises `OSError` or `HTTPException` when the connection has ended."""
        self.send(path)
        return self.receive()

    def send(self, path="/"):
        """Only the request."""
        self._http.request("GET", path, headers={"Accept": "text/plain"})

    def receive(self):
        """The status and the body of the answer."""
        answer = self._http.getresponse()
        return answer.status, answer.read().decode()

    def ready(self):
        return json.loads(GUARD.check(self.get("/readyz")[1], "an answer of /readyz"))

    def close(self):
        self._http.close()


class Workers:
    """One connection to each worker of a gunicorn: start the site with `--keep-alive 600` or so."""

    def __init__(self, site, count):
        self.site, self.count = site, count
        self.by_pid = {}

    def find(self, bound=30):
        """Connect until every worker that lives has a connection here; those to dead ones are dropped."""
        for pid in set(self.by_pid) - set(self.site.worker_pids()):
            self.by_pid.pop(pid).close()
        spare = []
        deadline = time.monotonic() + bound
        while len(self.by_pid) < self.count:
            assert time.monotonic() < deadline, f"found only the workers {list(self.by_pid)} of {self.count}"
            fresh = [Connection(self.site) for _ in range(8)]
            for connection in fresh:
                pid = connection.ready()["pid"]
                if self.by_pid.setdefault(pid, connection) is not connection:
                    spare.append(connection)
        for connection in spare:
            connection.close()
        return self

    def ready(self):
        """The JSON of each worker's `/readyz`, by pid."""
        return {pid: connection.ready() for pid, connection in self.by_pid.items()}

    def states(self):
        """The states of the configuration, each once."""
        return {state["config"]["state"] for state in self.ready().values()}

    def wait_state(self, state, bound=30, **members):
        """Wait until each worker is in this state of the configuration, with these members of it."""

        def reached():
            found = [ready["config"] for ready in self.ready().values()]
            return all(each["state"] == state and members.items() <= each.items() for each in found) and found

        return wait_until(reached, bound, f"{self.count} workers to be {state} {members}", interval=0.01)

    def wait_message(self, message, bound=30):
        """Wait until each worker serves this message; return the seconds that it took."""
        began = time.monotonic()
        for pid, connection in self.by_pid.items():
            while True:
                status, body = connection.get()
                assert status == 200, f"worker {pid} answered {status}"
                if NUMBER.match(body)[1] == message:
                    break
                assert time.monotonic() - began < bound, f"worker {pid} still serves {body!r}"
        return time.monotonic() - began

    def sockets(self):
        """The open sockets of each worker, by pid."""
        return {pid: _sockets(pid) for pid in self.by_pid}

    def threads(self):
        """The threads of each worker, by pid."""
        return {pid: psutil.Process(pid).num_threads() for pid in self.by_pid}

    def wait_pages(self, fits=lambda shown: True, bound=30):
        """Wait until each worker shows a page whose number fits; other answers are failures to count."""
        deadline = time.monotonic() + bound
        for pid, connection in self.by_pid.items():
            while True:
                status, body = connection.get()
                page = NUMBER.match(body)
                if status == 200 and page and fits(int(page[2])):
                    break
                assert time.monotonic() < deadline, f"worker {pid} still answers {status} {body!r}"
                time.sleep(0.005)

    def memory(self):
        """The resident memory of each worker in bytes, by pid."""
        return {pid: psutil.Process(pid).memory_info().rss for pid in self.by_pid}

    def close(self):
        for connection in self.by_pid.values():
            connection.close()


def _sockets(pid):
    return len(psutil.Process(pid).net_connections("all"))


class Load:
    """`clients` threads that ask for the page, each on a connection of its own, until the block ends.

    `served` holds (message, number) of each page; `failed` every other answer; `cut` counts connections that ended
    without an answer, as they do when a worker is killed. `answers` holds the moment of each answer, and its number if
    it was a page.
    """

    def __init__(self, site, clients=16, pause=0.0):
        self.site, self.pause = site, pause
        self.served, self.failed, self.cut = [], [], 0
        self.answers = []
        self.slowest = 0.0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.served or self.failed or self.cut, message="the load to begin")
        return self

    def __exit__(self, *exc_info):
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _visit(self):
        connection = None
        while not self._over.is_set():
            try:
                connection = connection or Connection(self.site, timeout=10)
                began = time.monotonic()
                status, body = connection.get()
            except (OSError, http.client.HTTPException) as error:
                if connection:
                    connection.close()
                connection = None
                self.cut += 1
                self.failed += [repr(error)] if isinstance(error, TimeoutError) else []
                time.sleep(0.01)
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            self._note(status, body)
            time.sleep(self.pause)
        if connection:
            connection.close()

    def _note(self, status, body):
        page = NUMBER.match(body) if status == 200 else None
        self.answers.append((time.monotonic(), int(page[2]) if page else None))
        if page:
            self.served.append((page[1], int(page[2])))
        else:
            self.failed.append(f"{status} {body[:200]!r}")

    def assert_numbers_unique(self):
        """No number was shown to two visitors, on any server: each server has a message of its own."""
        assert len(set(self.served)) == len(self.served), "a number was shown twice"

"""Canaries: secrets of one site, and where each was found in everything that came out of it."""

import base64
import contextlib
import threading
from pathlib import Path

import pytest
import requests

from tests.support.admin import AdminSite
from tests.support.secrets import GUARD, SecretGuard

ANSWER, OUTPUT, LOG = "an answer", "the output of a command", "a log"
COMMAND_LINE, GIVEN, WORKER, HELPER = (
    "a command line",
    "the environment that the test gave",
    "the environment of a worker",
    "the environment of another process of the site",
)
DOCUMENT, VALUE, AGENT = "the document in Consul", "another value in Consul", "what the agent tells"
FILE, SHARED_MEMORY = "another file", "the shared memory"


class Canaries:
    """Secrets by label; `found` holds pairs of a label and a place, each with its first example.

    A canary must be made, or be registered, before what it is looked for in is shown to `look`.
    """

    def __init__(self):
        self._guard = SecretGuard(thorough=True)
        self.labels, self.found = set(), {}

    def register(self, label, value):
        self.labels.add(label)
        return self._guard.register(label, GUARD.register(label, value))

    def new(self, label, separator=""):
        return self.register(label, GUARD.new(label, separator))

    def look(self, place, content, detail):
        for label in self._guard.found(content):
            self.found.setdefault((label, place), detail)


class Processes(threading.Thread):
    """Looks at the processes that this one starts, and at theirs, while it is entered: arguments and environments."""

    def __init__(self, canaries):
        super().__init__(daemon=True)
        self._canaries, self._seen, self._end = canaries, set(), threading.Event()
        self.helpers = set()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_error):
        self._end.set()
        self.join()

    def run(self):
        while not self._end.wait(0.02):
            for child in _children("self"):
                self._look(child, None)

    def _look(self, pid, parent_arguments):
        with contextlib.suppress(OSError):  # it has ended
            arguments, environment = (Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
            is_command = b"\0manage.py\0" in arguments and b"\0runserver\0" not in arguments
            if is_command and arguments == parent_arguments:
                return  # forked, and not yet the program that it will be
            is_helper = b"-c\0" in arguments and b"hashlib" in arguments
            place = GIVEN if parent_arguments is None else HELPER if is_helper else WORKER
            if (pid, arguments, environment) not in self._seen:
                self._seen.add((pid, arguments, environment))
                self._canaries.look(COMMAND_LINE, arguments, arguments)
                self._canaries.look(place, environment, arguments)
            if is_helper:
                self.helpers.add(pid)
            for child in _children(pid):
                self._look(child, arguments)


def _children(pid):
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield from (task / "children").read_text().split()


class CanarySite(AdminSite):
    """A site of which everything is looked at: answers to the test, output of commands, logs, files."""

    def __init__(self, environment, canaries, **options):
        super().__init__(environment, **options)
        self.canaries = canaries
        self.password = canaries.register("password of a user", self.password)
        self._patch = pytest.MonkeyPatch()
        send = requests.Session.send

        def sent(session, request, **arguments):
            response = send(session, request, **arguments)
            if request.url.startswith(self.url):
                self._look_at(response)
            return response

        self._patch.setattr(requests.Session, "send", sent)

    def _look_at(self, response):
        head = f"{response.status_code} {response.reason}\n{response.raw.headers}".encode()
        asked = f"{response.request.method} {response.request.url}: {response.status_code}"
        self.canaries.look(ANSWER, head + b"\n" + response.content, asked)

    def _run(self, command, *arguments, **options):
        done = super()._run(command, *arguments, **options)
        self.canaries.look(OUTPUT, done.stdout + done.stderr, command[1:])
        return done

    def look_at_files(self, names):
        """Every byte of every file; `names` maps paths inside the site's folder to the names of right places."""
        for path in (path for path in self.directory.rglob("*") if path.is_file()):
            place = LOG if path.suffix == ".log" else names.get(str(path.relative_to(self.directory)), FILE)
            self.canaries.look(place, path.read_bytes(), path)
        names = [path.name for path in Path("/dev/shm").iterdir()]  # noqa: S108 (only looked at)
        self.canaries.look(SHARED_MEMORY, "\n".join(names), "names")

    def look_at_consul(self, consul):
        """Every value, and what the agent tells of services, checks and sessions."""
        answer = consul.api("GET", "/v1/kv/?recurse")
        for entry in answer.json() if answer.ok else ():
            place = DOCUMENT if entry["Key"] == self.key else VALUE
            content = entry["Key"].encode() + base64.b64decode(entry["Value"] or "")
            self.canaries.look(place, content, entry["Key"])
        for path in ("agent/services", "agent/checks", "session/list", "health/state/any", "catalog/services"):
            self.canaries.look(AGENT, consul.api("GET", f"/v1/{path}").content, path)

    def close(self):
        self._patch.undo()
        super().close()

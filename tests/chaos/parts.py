"""What a run is made of: a Consul cluster with a client agent, Redis, Sentinels, three instances, HAProxy."""

import contextlib
import itertools
import json
import re
import resource
import signal
import socket
import time
from pathlib import Path

import psutil
import requests

from demo_site.identity import KEY, NAME
from tests.chaos.record import Account, Record, Write
from tests.support.admin import PATH, AdminSite
from tests.support.binaries import PROJECT
from tests.support.cluster import ConsulCluster
from tests.support.editors import Editor
from tests.support.haproxy import SHIPPED, HAProxy
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.sentinel import SentinelGroup
from tests.support.waiting import wait_until

WORKERS = 2
CHECK_INTERVAL = "2s"  # as the predecessor's
DURABLE = ("appendonly yes", "appendfsync always")
# gunicorn's own configuration, and a thread that counts the worker's tasks when it is asked to, and steps its wall
# clock. (libfaketime breaks `clock_nanosleep`, and a time namespace has the machine's wall clock.)
_CONFIG = """
import asyncio, contextlib, datetime, gc, os, pathlib, threading, time

if not hasattr(time, "offset"):  # read again at a HUP
    _time, _datetime, time.offset = time.time, datetime.datetime, 0.0

    class _Kind(type):
        def __instancecheck__(cls, value):
            return isinstance(value, _datetime)

    class Stepped(_datetime, metaclass=_Kind):
        @classmethod
        def now(cls, tz=None):
            return _datetime.fromtimestamp(time.time(), tz)

    time.time = lambda: _time() + time.offset
    time.time_ns = lambda: int(time.time() * 10**9)
    datetime.datetime = Stepped

exec(compile(pathlib.Path({original!r}).read_text(), {original!r}, "exec"))
_start = post_worker_init

def post_worker_init(worker):
    _start(worker)
    threading.Thread(target=_obey, daemon=True).start()

def _obey():
    folder = pathlib.Path({directory!r})
    clock, asked, told = (folder / name for name in ("clock", f"asked-{{os.getpid()}}", f"tasks-{{os.getpid()}}"))
    while True:
        time.sleep(0.2)
        with contextlib.suppress(OSError):  # it has no file descriptors left, or a full disk
            time.offset = float(clock.read_text() or time.offset)
            if asked.exists():
                tasks = [each for each in gc.get_objects() if isinstance(each, asyncio.Task) and not each.done()]
                told.write_text(str(len(tasks)))
                asked.unlink()
"""


@contextlib.contextmanager
def _made(process):
    """Closed in the end, started by others."""
    try:
        yield process
    finally:
        process.close()


class Instance(AdminSite):
    """One instance as shipped."""

    def __init__(self, name, consul_address):
        super().__init__({"DEMO_CONFIG_KEY": KEY, "CONSUL_HTTP_ADDR": consul_address})
        self.name = name
        self.service_id = f"{NAME}-{name}"
        self.environment |= {
            "CONSUL_REGISTER": "1",
            "SERVICE_ID": self.service_id,
            "SERVICE_CHECK_INTERVAL": CHECK_INTERVAL,
            "DEMO_CONFIG_SNAPSHOT": str(self.directory / "snapshot.json"),
        }
        del self.environment["SERVICE_DRAIN_SECONDS"]
        self._config = self.directory / "chaos.conf.py"
        original = str(PROJECT / "gunicorn.conf.py")
        self._config.write_text(_CONFIG.format(original=original, directory=str(self.directory)))
        self.step_clock(0)

    def start(self):
        """Start without waiting."""
        return self.gunicorn("--config", str(self._config), workers=WORKERS, wait=False)

    def wait_started(self):
        self.wait_ready(self.is_alive, ignoring=(requests.RequestException,))

    def step_clock(self, seconds):
        """Step the wall clock of its workers, forward or back, from what it is really."""
        (self.directory / "clock").write_text(str(seconds))

    def kill_all(self):
        """The master and every worker at once, as when a machine dies."""
        for process in [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.wait()

    def resources(self):
        """The most that one of its workers uses."""
        workers = [psutil.Process(pid) for pid in self.worker_pids()]
        return {
            "memory": max(worker.memory_info().rss for worker in workers),
            "sockets": max(len(worker.net_connections("all")) for worker in workers),
            "threads": max(worker.num_threads() for worker in workers),
            "tasks": max(self._tasks(worker.pid) for worker in workers),
        }

    def _tasks(self, pid):
        asked, told = (self.directory / f"{name}-{pid}" for name in ("asked", "tasks"))
        told.unlink(missing_ok=True)
        asked.touch()
        return int(wait_until(lambda: told.exists() and told.read_text(), message=f"the tasks of {pid}"))


class Predecessor(ServerProcess):
    """An instance of the demo that this project replaces."""

    def __init__(self, name, consul_address, python):
        super().__init__("predecessor")
        self.name, self._python = name, Path(python)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.service_id = f"{NAME}-{name}"
        self.environment = {
            **clean_environment(self.directory),
            "CONSUL": consul_address,
            "KEY": KEY,
            "SERVICE": NAME,
            "SERVICE_ID": self.service_id,
            "PORT": str(self.port),
        }

    def start(self):
        command = [
            self._python.with_name("gunicorn"),
            "predecessor:app",
            "--preload",
            "--bind",
            f"127.0.0.1:{self.port}",
        ]
        command += ["--worker-class", "gthread", "--threads", "8", "--workers", str(WORKERS), "--no-control-socket"]
        self.launch(command, environment=self.environment, cwd=Path(__file__).parent)
        return self

    def wait_started(self):
        """A failure at the start ends it with status 0: nobody is told."""
        wait_until(lambda: not self.running or self._listens(), message="the predecessor", ignoring=(OSError,))

    def _listens(self):
        with socket.create_connection(("127.0.0.1", self.port), 5):  # a request would count
            return True

    def step_clock(self, seconds):
        """It reads no clock."""

    worker_pids = Instance.worker_pids
    kill_all = Instance.kill_all


def _balancer(consul, *, asks):
    """HAProxy as shipped. `asks`: whether the instances have a `/readyz` for its checks."""
    checks = [] if asks else re.findall(r"^ *(?:option httpchk|http-check ).*\n", SHIPPED.read_text(), re.MULTILINE)
    return HAProxy(consul, changes=[(line, "") for line in checks])


class Parts:
    """All of it, running. `predecessor`: the Python that has Flask, to run that one instead of the site."""

    def __init__(self, stack, predecessor=None):
        self.record, self.began, self.is_site = Record(), time.monotonic(), predecessor is None
        self._stack, self._predecessor = stack, predecessor
        self.redis = stack.enter_context(RedisServer(GUARD.new("Redis password"), settings=DURABLE))
        self.redis_proxy = stack.enter_context(Proxy(self.redis.port))
        self.sentinels = SentinelGroup(GUARD.new("Redis password"))
        stack.enter_context(self.sentinels)
        self.cluster = stack.enter_context(ConsulCluster())
        self.consul_proxy = stack.enter_context(Proxy(self.cluster.agent.http_port))
        self._documents = 0
        self.change_document()
        made = [self._instance(name, predecessor) for name in "abc"]
        self.instances = [stack.enter_context(_made(each)) for each in made]
        self.editor = None
        if self.is_site:
            made[0].prepare()
        self.start_instances()
        self.balancer = stack.enter_context(_made(_balancer(self.cluster.agent, asks=self.is_site)))
        self.balancer.start(len(self.instances))
        if self.is_site:
            self.editor = Editor(made[0], "keeper")

    def _instance(self, name, predecessor):
        if predecessor:
            return Predecessor(name, self.consul_proxy.address, predecessor)
        return Instance(name, self.consul_proxy.address)

    def another_instance(self):
        """One more, as scaling out would bring."""
        return self._stack.enter_context(_made(self._instance("d", self._predecessor)))

    def start_instances(self):
        for instance in self.instances:
            instance.start()
        for instance in self.instances:
            instance.wait_started()
        wait_until(lambda: self.passing() == 3, 60, "three instances to pass")

    def passing(self):
        return len(self.cluster.ask("GET", f"/v1/health/service/{NAME}?passing").json())

    def found(self):
        """How many instances the agent has, and the catalog as passing: it hears late of an agent that forgot them."""
        with contextlib.suppress(requests.RequestException):
            services = self.cluster.agent.agent_services().values()
            return min(sum(service["Service"] == NAME for service in services), self.passing())
        return 0

    def now(self):
        return time.monotonic() - self.began

    # The document.

    @property
    def truth(self):
        """The last write."""
        return self.record.writes[-1]

    def change_document(self, server="redis", write=None):
        """Put a valid document with a message of its own; `write` does it in another way than by Consul."""
        self._documents += 1
        message = f"chaos {self._documents}"
        self._write(lambda: (write or self._put)(message, server), message, server)

    def break_document(self, raw):
        """Put what has to be rejected."""
        in_force = self.truth
        self._write(lambda: self._put_raw(raw), in_force.message, in_force.server, is_valid=False)

    def delete_document(self):
        in_force, sent = self.truth, self.now()
        self.cluster.ask("DELETE", f"/v1/kv/{KEY}")
        self.record.writes.append(Write(sent, self.now(), None, in_force.message, in_force.server))

    def _write(self, write, message, server, is_valid=True):
        sent = self.now()
        write()
        index = self.cluster.ask("GET", f"/v1/kv/{KEY}").json()[0]["ModifyIndex"]
        self.record.writes.append(Write(sent, self.now(), index, message, server, is_valid))

    def _put(self, message, server):
        self._put_raw(json.dumps({"redis_config": self._redis_config(server), "show_message": message}))

    def _put_raw(self, raw):
        assert self.cluster.ask("PUT", f"/v1/kv/{KEY}", data=raw).json() is True

    def _redis_config(self, server):
        if server == "sentinels":
            return self.sentinels.document()
        return self.redis.document(redis_port=self.redis_proxy.port)

    def edit_document(self):
        """Change the message in the admin; the predecessor has none."""
        server = self.truth.server
        self.change_document(server, self._edit if self.editor else None)

    def _edit(self, message, server):
        page = self.editor.post(self.editor.form() | {"show_message": message, "comment": "chaos"})
        assert "Saved as version" in page, page

    def restore_document(self):
        """Restore the version in force in the admin; the predecessor has none."""
        if self.editor:
            in_force = self.truth
            wait_until(self.editor.can_restore, message="the worker that answers to reject what is stored")
            self._write(self._restore, in_force.message, in_force.server)
        else:
            self.change_document()

    def _restore(self):
        page = self.editor.roll_back(f"{PATH}restore/", "chaos")
        assert "saved as version" in page, page

    # The instances.

    def running(self):
        return [instance for instance in self.instances if instance.running]

    def start_again(self, instance):
        """Start it, and wait until it answers: the fault lasts until then."""
        instance.start()
        instance.wait_started()

    def restart(self, instances):
        """What an operator does in the end: they have ended without a word, or are registered no longer."""
        for instance in instances:
            self.record.restarts += 1
            instance.stop()
            instance.start()
            instance.wait_started()

    def dead(self):
        return [instance for instance in self.instances if not instance.running]

    def ready_since(self, moment):
        """For each instance that is looked at when it was ready after that moment; infinity while it is not."""
        if not self.is_site:
            return []
        latest = {}
        for look in reversed(self.record.looks[-200:]):
            if look.path == "/readyz" and look.began >= moment:
                latest.setdefault(look.instance, []).append(look)
        return [_ready(latest.get(instance.name, [])) for instance in self.instances]

    def wait_followed(self, bound):
        """Wait until every instance that runs says that the last document is in force."""
        if self.is_site:
            since, truth = self.now(), self.truth
            try:
                wait_until(lambda: self._follow(since, truth), bound, "all instances to follow", 0.05)
            except AssertionError as error:
                last = {look.instance: look for look in self.record.looks if look.path == "/readyz"}
                logs = [f"{each.name}: {last.get(each.name)}\n{each.log()[-4000:]}" for each in self.instances]
                raise AssertionError("\n".join([f"{error}; the truth is {truth}", *logs])) from error

    def _follow(self, since, truth):
        seen = {}
        for look in reversed(self.record.looks[-400:]):
            if look.path == "/readyz" and look.began >= since:
                seen.setdefault(look.instance, []).append(look.index == truth.index and look.state == "current")
        return all(len(seen.get(each.name, [])) >= 3 and all(seen[each.name][:3]) for each in self.running())

    def try_to_log_in(self, instance):
        """The admin's database is written to; whatever comes of it, the instance goes on."""
        if self.is_site:
            with contextlib.suppress(requests.RequestException, AssertionError, KeyError):
                instance.session("keeper")

    # What is used.

    def accounts(self, before):
        return {
            "redis": Account(before, self.redis.hits()),
            "sentinels": Account(0, self.sentinels.wait_settled().hits(), may_lose=True),
        }

    def resources(self):
        """Nothing for the predecessor, which is not held to it."""
        if not self.is_site:
            return {}
        used = {instance.name: instance.resources() for instance in self.instances}
        keys = self.cluster.ask("GET", f"/v1/kv/{KEY}.workers/?keys")
        return used | {"Consul": {"keys": len(keys.json()) if keys.ok else 0}}


def _ready(looks):
    """When the last run of good looks began; the latest look comes first."""
    good = list(itertools.takewhile(lambda look: look.status == 200, looks))
    return good[-1].ended if good else float("inf")


def limit(pid, kind, soft):
    """Set a limit of a process, and return the one before."""
    before, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, hard))
    return before


def signal_worker(instance, rng, number):
    """Send a signal to one of the instance's workers; its pid."""
    pid = choose_worker(instance, rng)
    with contextlib.suppress(ProcessLookupError):
        psutil.Process(pid).send_signal(number)
    return pid


def choose_worker(instance, rng):
    """The pid of one of its workers, once there are any."""
    return rng.choice(sorted(wait_until(instance.worker_pids, message=f"a worker of {instance.name}")))


def resume(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).send_signal(signal.SIGCONT)

"""500 workers at one agent: what they cost it while nothing happens, and at a change (docs/scaling.md)."""

import base64
import contextlib
import json
import time

import psutil
import pytest

from demo_site.consul_agent import kv
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.consul_agent.errors import ConsulError
from demo_site.identity import KEY
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.figures import mebibytes, milliseconds, percentile
from tests.support.waiting import wait_until
from tests.support.watchers import Watchers

WATCHERS, PROCESSES, CHANGES, IDLE_SECONDS = 500, 5, 10, 60
DEFAULT_MOST_CONNECTIONS = 200


def cpu(consul):
    times = psutil.Process(consul.pid).cpu_times()
    return times.user + times.system


def published(consul):
    """The index that each published worker runs."""
    answer = consul.api("GET", f"/v1/kv/{KEY}.workers/?recurse")
    return [json.loads(base64.b64decode(entry["Value"]))["index"] for entry in answer.json()] if answer.ok else []


def change(consul, number):
    """Change the document. The seconds until each watcher saw it, and until all had published that."""
    began = time.monotonic()
    consul.put(KEY, document(message=f"change {number}"))
    index = consul.index(KEY)
    wait_until(lambda: set(published(consul)) == {index}, 60, "all to run it", interval=0.05)
    took = time.monotonic() - began
    moments = [moment for each in consul.watchers for moment in each.seen()[index]]
    assert len(moments) == WATCHERS
    return [moment - began for moment in moments], took


@pytest.fixture
def consul():
    """A server that writes to the disk, with all of the watchers."""
    with contextlib.ExitStack() as stack:
        consul = stack.enter_context(ConsulServer(keep_state=True, most_connections=3 * WATCHERS))
        consul.put(KEY, document())
        consul.memory_alone = psutil.Process(consul.pid).memory_info().rss
        share = WATCHERS // PROCESSES
        consul.watchers = [stack.enter_context(Watchers(consul, KEY, f"host{n}", share)) for n in range(PROCESSES)]
        index = consul.index(KEY)
        wait_until(lambda: published(consul) == [index] * WATCHERS, 120, "all to be published", interval=0.5)
        yield consul


def test_watchers_at_one_agent(consul, report):
    process, began = psutil.Process(consul.pid), cpu(consul)
    open_now = sum(
        each.status == "ESTABLISHED" and each.laddr.port == consul.http_port for each in connections(process)
    )
    report(f"{WATCHERS} workers at one agent: connections to it", open_now, 2 * WATCHERS)
    assert open_now <= 2 * WATCHERS + 1
    time.sleep(IDLE_SECONDS)
    report("idle: CPU of the agent", f"{(cpu(consul) - began) / IDLE_SECONDS:.1%}")
    seen, published_after, spent = [], [], cpu(consul)
    for number in range(CHANGES):
        delays, took = change(consul, number)
        seen += delays
        published_after.append(took)
        time.sleep(1)
    spent = (cpu(consul) - spent) / CHANGES
    report("a change, seen by a worker: median / 99th percentile / last", three(seen))
    report("until all have published it: median / longest", f"{median(published_after)} / {longest(published_after)}")
    report("CPU of the agent for a change, and for each worker", f"{spent:.2f} s, {milliseconds(spent / WATCHERS)}")
    more = process.memory_info().rss - consul.memory_alone
    report(
        "memory of the agent: alone, and more for each worker",
        f"{mebibytes(consul.memory_alone)}, {more // WATCHERS // 1024} KiB",
    )
    assert max(seen) < 5


def test_connection_beyond_the_limit_is_told(report):
    with ConsulServer() as consul, contextlib.ExitStack() as stack:
        consul.put(KEY, document())
        address = AgentAddress.from_environ({"CONSUL_HTTP_ADDR": consul.address})
        for _ in range(DEFAULT_MOST_CONNECTIONS):
            kv.read(stack.enter_context(Client(address)), KEY)
        with pytest.raises(ConsulError) as caught, Client(address) as client:
            kv.read(client, KEY)
        report(f"connection {DEFAULT_MOST_CONNECTIONS + 1} from one address", f"`{caught.value}`")


def connections(process):
    return getattr(process, "net_connections", process.connections)(kind="tcp")


def three(seconds):
    return f"{median(seconds)} / {milliseconds(percentile(seconds, 0.99))} / {longest(seconds)}"


def median(seconds):
    return milliseconds(percentile(seconds, 0.5))


def longest(seconds):
    return milliseconds(max(seconds))

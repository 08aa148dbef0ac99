"""A state does not outlive its proof: when the watch hangs or has ended, the state is "stale" by the clock alone."""

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from demo_site import metrics
from demo_site.config import live, probing, watcher
from demo_site.consul_agent import kv
from demo_site.fleet import this_worker
from demo_site.identity import METRICS_PREFIX
from demo_site.monitoring import checks, effective, health
from tests.support.binaries import PROJECT
from tests.support.documents import document
from tests.support.following import Following
from tests.support.peers import Peer, dripping
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
NO_SIGN = r"the watch has given no sign since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


@pytest.fixture
def proxy(consul, new_proxy):
    return new_proxy(consul.http_port)


@pytest.fixture
def watched(consul, redis, config_key, proxy, monkeypatch):
    """A configuration that a thread follows, as in a serving process, but with questions of one second."""
    monkeypatch.setattr(live, "GRACE_SECONDS", 1.0)
    consul.put(config_key, document(redis, "first"))
    following = Following(proxy, config_key)
    following.live.serve()
    thread = threading.Thread(target=_until_exit, args=[following.follower], daemon=True)
    thread.start()
    yield following.live
    monkeypatch.setattr(kv, "query", _end_the_thread)
    thread.join(20)
    assert not thread.is_alive()
    following.close()


def _until_exit(follower):
    with contextlib.suppress(SystemExit):
        watcher.run(follower, wait=1)


def _end_the_thread(*_arguments):
    raise SystemExit


@pytest.fixture
def hang(monkeypatch):
    """Make a function that hangs until the end of the test, or until the event that it returns is set."""
    over = threading.Event()

    def hang(module, name):
        own = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **options: over.wait(60) and own(*args, **options))
        return over

    yield hang
    over.set()


def states():
    """How many workers the metrics of this process show in each state, without those that are 0."""
    found = re.findall(METRICS_PREFIX + r'_config_state{state="(\w+)"} (\S+)', metrics.exposition())
    return {state: float(number) for state, number in found if float(number)}


def shown(configuration):
    """The state in each place that shows it."""
    return {
        "readyz": health.config_state(configuration, configuration.in_force)["state"],
        "fleet": this_worker._describe(configuration, "instance").state,
        "card": re.match(r"(?:version \d+ was )?(\w+)", checks._document(configuration).text)[1],
        "effective_config": effective._state_row(configuration, None).value.split(": ")[0],
        "metrics": max(states(), default=None),
    }


def in_every_place(state):
    return dict.fromkeys(("readyz", "fleet", "card", "effective_config", "metrics"), state)


def wait_for(configuration, state):
    wait_until(lambda: shown(configuration) == in_every_place(state), 20, f"{state} in every place")


def test_redis_that_drips_for_ever_does_not_stop_the_watch(environment, consul, redis, config_key, new_site):
    """Its document is rejected, where `/readyz` would say "current" for ever, and the next one is followed."""
    site = new_site(environment).gunicorn(workers=1)
    with Peer(dripping(b"$1000000\r\n", b"x")) as peer:
        consul.put(config_key, document(redis, redis_config=redis.document(redis_port=peer.port)))
        wait_until(lambda: site.ready()["config"]["state"] == "rejected", 15, "the document to be rejected")
    consul.put(config_key, document(redis, "the next"))
    wait_until(lambda: site.get("/").text.startswith("the next!"), 15, "the next document")


def test_watch_that_works_proves_the_state_again_and_again(watched):
    wait_for(watched, "current")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert watched.status.state == "current"
        time.sleep(0.05)


def test_state_is_stale_while_a_probe_hangs_and_current_again(watched, hang, consul, own_redis, config_key, caplog):
    wait_for(watched, "current")
    over = hang(probing, "faults")
    consul.put(config_key, document(own_redis, "second"))
    wait_for(watched, "stale")
    assert re.fullmatch(NO_SIGN + "; restart the instance", watched.status.reason)
    assert re.fullmatch(r"since \d.* UTC: " + NO_SIGN + ".*", watched.status.explanation)
    assert watched.status == watched.status, "what the fleet's row says does not change at each look"
    over.set()
    wait_for(watched, "current")
    assert watched.in_force.document.show_message == "second"
    assert "gives signs again" in caplog.text


def test_state_is_told_as_without_a_sign_while_the_resolver_hangs(watched, hang, proxy):
    wait_for(watched, "current")
    hang(socket, "getaddrinfo")
    proxy.cut()
    wait_until(lambda: re.match(NO_SIGN, watched.status.reason or ""), 20, "the watch to give no sign")
    assert shown(watched) == in_every_place("stale")


def test_state_is_stale_when_the_thread_of_the_watch_has_ended(watched, monkeypatch):
    wait_for(watched, "current")
    monkeypatch.setattr(kv, "query", _end_the_thread)
    wait_for(watched, "stale")


def test_rejection_stays_as_what_was_seen_last(watched, monkeypatch, consul, config_key):
    consul.put(config_key, "{")
    wait_for(watched, "rejected")
    monkeypatch.setattr(kv, "query", _end_the_thread)
    wait_for(watched, "stale")
    assert watched.status.rejected.index == consul.index(config_key)


def test_worker_that_has_begun_to_serve_has_the_time_of_one_question(consul, redis, config_key, monkeypatch):
    monkeypatch.setattr(live, "GRACE_SECONDS", 0.0)
    consul.put(config_key, document(redis))
    following = Following(consul, config_key)
    following.live.serve()
    following.follower.prove(1)
    assert shown(following.live) == in_every_place("current")
    time.sleep(1.1)
    assert shown(following.live) == in_every_place("stale")


OF_ANOTHER = f"""
import os, sys, time
from demo_site import metrics

child = os.fork()
if not child:
    metrics.STATE.set(sys.argv[1], time.monotonic() + 1)
    time.sleep(60)
try:
    end = time.monotonic() + 30
    seen = []
    while time.monotonic() < end and len(seen) < 2:
        found = [line for line in metrics.exposition().splitlines() if line.startswith("{METRICS_PREFIX}_config_state")]
        states = [line.split('"')[1] for line in found if line.endswith(" 1.0")]
        if states and states not in seen:
            seen.append(states)
        if time.monotonic() > end - 27:
            break
        time.sleep(0.02)
    print(seen)
finally:
    os.kill(child, 9)
    os.wait()
"""


@pytest.mark.parametrize(
    ("state", "seen"),
    [
        ("current", [["current"], ["stale"]]),
        ("rejected", [["rejected"], ["stale"]]),
        ("stale", [["stale"]]),
        ("snapshot", [["snapshot"]]),
    ],
)
def test_metrics_of_another_process_outlive_its_proof_no_more(state, seen):
    ended = subprocess.run(  # noqa: S603 (our own command)
        [sys.executable, "-c", OF_ANOTHER, state], cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout.strip() == str(seen)

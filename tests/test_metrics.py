"""`/metrics`: readable for Prometheus, correct over all workers, and never decreasing."""

import os
import signal
import socketserver
import subprocess
import threading
import time

import django
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from demo_site import __version__, metrics
from demo_site.identity import KEY
from demo_site.identity import METRICS_PREFIX as PREFIX
from tests.support.binaries import first_on_path
from tests.support.documents import document
from tests.support.membership import seconds_until_passing
from tests.support.waiting import wait_until


def samples(site):
    """The samples of `/metrics` as `{(name, label value or None): value}`, by prometheus_client's own parser."""
    answer = site.get("/metrics", session=requests)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.type != "unknown", family.name
        for sample in family.samples:
            label = next((value for name, value in sample.labels.items() if name != "le"), None)
            if "le" not in sample.labels:
                found[sample.name, label] = sample.value
    return found


def value(site, name, label=None):
    return samples(site)[name, label]


@pytest.fixture
def site(environment, new_site):
    return new_site(environment).gunicorn(workers=3)


def test_names_follow_the_conventions(site):
    text = site.get("/metrics").text
    for family in text_string_to_metric_families(text):
        assert family.name.startswith(("counter_", f"{PREFIX}_"))
        assert family.documentation.endswith(".")
        assert f"# TYPE {family.name}{'_total' if family.type == 'counter' else ''} {family.type}" in text


def test_hits_are_right_when_the_answer_is_sent_whoever_serves(site, redis):
    for expected in range(1, 31):
        site.get("/", session=requests)
        assert value(site, "counter_hits_total") == expected == redis.hits()
    assert value(site, "counter_request_duration_seconds_count", "page") == 30


def test_hits_of_concurrent_visitors_are_all_counted(site, redis):
    def visit():
        for _ in range(50):
            site.get("/", session=requests)

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(site, "counter_hits_total") == redis.hits() == 400


def test_nothing_goes_backwards_when_workers_are_replaced(site):
    for _ in range(20):
        site.get("/", session=requests)
    before = samples(site)
    for end in (signal.SIGKILL, signal.SIGTERM):
        old = site.worker_pids()
        for pid in old:
            os.kill(pid, end)
        wait_until(lambda old=old: len(set(site.worker_pids()) - set(old)) >= 3, message="new workers")
        wait_until(site.is_alive, ignoring=(requests.RequestException,))
        site.get("/", session=requests)
        after = samples(site)
        counters = [key for key in before if key[0].endswith(("_total", "_count", "_sum"))]
        assert all(after[key] >= before[key] for key in counters)
        assert after["counter_hits_total", None] == before["counter_hits_total", None] + 1
        wait_until(lambda: value(site, f"{PREFIX}_config_state", "current") == 3, 10, "three workers")
        before = after


def test_failures_are_counted_by_kind(consul, own_redis, config_key, new_site):
    consul.put(config_key, document(own_redis))
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}).gunicorn()
    with own_redis.client() as client:
        client.set("hits", "not a number")
    assert site.get("/").status_code == 503
    assert value(site, "counter_failures_total", "error_reply") == 1
    with own_redis.client() as client:
        client.delete("hits")
    site.get("/")
    own_redis.pause()
    assert [site.get("/").status_code for _ in range(3)] == [503] * 3
    own_redis.resume()
    assert value(site, "counter_failures_total", "timeout") == 1
    assert value(site, "counter_failures_total", "breaker_open") == 2
    own_redis.kill()
    wait_until(
        lambda: site.get("/").status_code and value(site, "counter_failures_total", "unreachable"), 10, "refused"
    )
    assert value(site, "counter_hits_total") == 1


class _SaysOk(socketserver.BaseRequestHandler):
    """Answers every command with OK, but INCR with the password, as part of a word."""

    def handle(self):
        password = b""
        while words := self.request.recv(4096).split(b"\r\n")[2::2]:
            password = password or words[-1]
            self.request.sendall(b"+AUTH_%b_\r\n" % password if words[0] == b"INCR" else b"+OK\r\n")


def test_fault_of_the_site_is_counted_too_and_logged_without_the_password(consul, own_redis, config_key, new_site):
    value_of_key = document(own_redis)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _SaysOk) as no_redis:
        no_redis.daemon_threads = True  # a connection that stays open does not hold up the end of the test
        threading.Thread(target=no_redis.serve_forever, daemon=True).start()
        value_of_key["redis_config"]["redis_port"] = no_redis.server_address[1]
        consul.put(config_key, value_of_key)
        site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}).gunicorn()
        assert site.get("/").status_code == 500
        assert value(site, "counter_failures_total", "internal") == 1
        site.wait_logged("is not Redis")
        site.stop()
        no_redis.shutdown()


def test_configuration_is_told_for_all_workers(site, consul, redis, config_key):
    index = consul.index(config_key)
    wait_until(lambda: value(site, f"{PREFIX}_config_state", "current") == 3, 10, "three workers")
    found = samples(site)
    assert found[f"{PREFIX}_config_index", None] == index
    assert 0 <= found[f"{PREFIX}_config_age_seconds", None] < 60
    assert 0 <= found[f"{PREFIX}_config_consul_contact_age_seconds", None] < 60
    consul.put(config_key, b"garbage")
    wait_until(lambda: value(site, f"{PREFIX}_config_state", "rejected") == 3, 10, "three workers")
    assert value(site, f"{PREFIX}_config_rejected_total") == 3
    assert value(site, f"{PREFIX}_config_index") == index
    consul.put(config_key, document(redis))
    wait_until(lambda: value(site, f"{PREFIX}_config_index") == consul.index(config_key), 10, "the new index")
    assert value(site, f"{PREFIX}_config_state", "current") == 3


def test_lost_consul_is_told(own_consul, redis, new_site):
    own_consul.put(KEY, document(redis))
    site = new_site({"CONSUL_HTTP_ADDR": own_consul.address}).gunicorn(workers=2)
    wait_until(lambda: value(site, f"{PREFIX}_config_state", "current") == 2, 10, "two workers")
    own_consul.kill()
    wait_until(lambda: value(site, f"{PREFIX}_config_state", "stale") == 2, 10, "two workers")
    assert value(site, f"{PREFIX}_config_watch_errors_total") >= 2
    age = value(site, f"{PREFIX}_config_consul_contact_age_seconds")
    wait_until(lambda: value(site, f"{PREFIX}_config_consul_contact_age_seconds") > age, 5, "the age to grow")


def test_registration_is_told(environment, new_site, consul):
    site = new_site({**environment, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"}).gunicorn(workers=2)
    seconds_until_passing(consul)
    wait_until(lambda: value(site, f"{PREFIX}_registration_ok") == 1, 5, "registered")
    assert value(site, f"{PREFIX}_registration_writes_total") == 1
    consul.deregister_all()
    wait_until(lambda: value(site, f"{PREFIX}_registration_writes_total") == 2, 6, "the repair")
    assert value(site, f"{PREFIX}_registration_ok") == 1


def test_instance_that_keeps_no_registration_says_nothing_of_one(session_site):
    assert (f"{PREFIX}_registration_ok", None) not in samples(session_site)


def test_build_is_told(session_site):
    lines = session_site.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{PREFIX}_build_info{{")]
    assert f'version="{__version__}"' in line
    assert f'django="{django.get_version()}"' in line


def test_former_names_have_the_same_numbers(session_site):
    found = samples(session_site)
    for name, family in metrics._FORMER_NAMES.items():
        assert found.get((name, None)) == found.get((family.name, None)), name


@pytest.mark.slow
def test_prometheus_finds_no_fault_in_the_names(session_site):
    text = session_site.get("/metrics").text
    command = [first_on_path("promtool"), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)  # noqa: S603 (our own command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pool_size_is_the_connections_that_redis_sees(site, own_redis, consul, config_key):
    consul.put(config_key, document(own_redis))
    wait_until(lambda: value(site, f"{PREFIX}_config_index") == consul.index(config_key), 10, "the new index")

    def visit():
        for _ in range(20):
            site.get("/", session=requests)

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    def agree():
        with own_redis.client() as client:
            seen = len(client.client_list()) - 1
        return value(site, f"{PREFIX}_redis_pool_connections") == seen > 0

    wait_until(agree, 10, "the same number")


def test_metrics_cost_a_hit_little():
    """The bound is generous: a busy machine. Measured: about 1 us."""
    for _ in range(100):
        metrics.HITS.inc()
    began = time.perf_counter()
    for _ in range(20_000):
        metrics.HITS.inc()
        metrics.DURATION.observe(0.002, "page")
    assert (time.perf_counter() - began) / 20_000 < 20e-6

"""What a visitor sees at `/`, and that every number is shown to one visitor only."""

import contextlib
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from demo_site import identity
from tests.support.documents import MESSAGE, document
from tests.support.site import HTML, TEXT
from tests.support.waiting import BUSY_SECONDS, wait_until
from tests.support.workers import Connection, Workers

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def number_in(text):
    return int(re.search(r"I have been seen (\d+) times\.", text)[1])


# The table of the design.


@pytest.mark.parametrize("headers", [TEXT, {"Accept": "*/*"}, {"Accept": None}, {"Accept": "application/json"}])
def test_other_programs_get_one_line_of_text(session_site, redis, headers):
    answer = session_site.get("/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.content == f"{MESSAGE}! I have been seen 1 times.\n".encode()


@pytest.mark.parametrize("headers", [HTML, BROWSER])
def test_browser_gets_a_page_with_the_same_sentence(session_site, redis, headers):
    answer = session_site.get("/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"{MESSAGE}! I have been seen 1 times." in answer.text
    assert answer.text.lower().startswith("<!doctype html>")


def test_page_sets_the_number_off_and_reads_it_out_once(session_site, redis):
    """Large above the sentence, which stays one sentence; a page without a number has none there."""
    set_off = re.compile(r'<p class="number" aria-hidden="true">(\d+)</p>')
    for number in ("1", "2"):
        assert set_off.findall(session_site.get("/", headers=HTML).text) == [number]
    assert not set_off.search(session_site.request("HEAD", "/", headers=HTML).text)


@pytest.mark.parametrize("headers", [TEXT, HTML])
def test_no_cache_may_show_a_number_twice(session_site, redis, headers):
    answer = session_site.get("/", headers=headers)
    assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == ("no-store", "Accept")


@pytest.mark.parametrize("headers", [TEXT, HTML])
def test_head_has_no_body_and_is_not_counted(session_site, redis, headers):
    answer = session_site.request("HEAD", "/", headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].split(";")[0] == headers["Accept"]
    assert redis.hits() == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused_and_not_counted(session_site, redis, method):
    answer = session_site.request(method, "/")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}
    assert redis.hits() == 0


@pytest.mark.parametrize(
    "path", ["/livez", "/readyz", "/admin/", "/static/admin/css/base.css", "/favicon.ico", "/nowhere"]
)
def test_only_the_page_counts(session_site, redis, path):
    session_site.get(path)
    assert redis.hits() == 0


def test_unknown_page_is_a_plain_404(session_site):
    assert session_site.get("/nowhere").status_code == 404


def test_live_while_the_process_can_answer(session_site):
    answer = session_site.get("/livez")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


def test_ready_says_the_state_as_json(session_site, consul):
    answer = session_site.get("/readyz")
    state = answer.json()
    assert (answer.status_code, state["status"], state["redis"]) == (200, "ready", {"ok": True, "error": None})
    assert state["pid"] in session_site.worker_pids()
    config = state["config"]
    assert (config["state"], config["index"]) == ("current", consul.index(identity.KEY))
    assert (config["reason"], config["rejected"]) == (None, None)
    assert config["age_seconds"] >= 0
    assert config["loaded_at"].endswith("Z")


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize("host", ["10.1.2.3:8000", "consul.example", "[fe80::1]:1", "_"])
def test_health_checks_answer_whatever_the_host_header_says(session_site, path, host):
    """Consul sends the address that it was given."""
    assert session_site.get(path, headers={"Host": host}).status_code == 200


def test_admin_is_there_with_its_styles(session_site):
    assert session_site.get("/admin/").status_code == 302
    page = session_site.get("/admin/login/")
    assert page.status_code == 200
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
        assert session_site.get(path).status_code == 200, path


# Counting.


def test_redis_holds_the_number_shown(session_site, redis):
    for expected in range(1, 4):
        assert number_in(session_site.get("/").text) == expected == redis.hits()


def test_another_program_shares_the_sequence(session_site, redis):
    assert number_in(session_site.get("/").text) == 1
    with redis.client() as client:
        assert client.incr("hits") == 2
        client.set("hits", 41)
    assert number_in(session_site.get("/").text) == 42


def test_count_is_kept_in_the_configured_database(consul, redis, config_key, environment, new_site):
    value = document(redis)
    value["redis_config"]["redis_db"] = 5
    consul.put(config_key, value)
    new_site(environment).gunicorn().get("/")
    assert (redis.hits(db=5), redis.hits(db=0)) == (1, 0)


def test_2000_concurrent_requests_over_two_workers_show_2000_numbers(session_site, redis):
    at_each_worker = Workers(session_site, 2).find().by_pid.values()
    visitors = [*at_each_worker, *(Connection(session_site) for _ in range(38))]

    def visit(visitor):
        with contextlib.closing(visitor):
            return [number_in(visitor.get()[1]) for _ in range(50)]

    with ThreadPoolExecutor(len(visitors)) as pool:
        numbers = [number for shown in pool.map(visit, visitors) for number in shown]
    assert sorted(numbers) == list(range(1, 2001))
    assert redis.hits() == 2000


@pytest.fixture
def proxied(consul, redis, config_key, new_proxy, new_site):
    """A site whose Redis is behind a proxy, and that proxy."""
    proxy = new_proxy(redis.port)
    value = document(redis)
    value["redis_config"]["redis_port"] = proxy.port
    consul.put(config_key, value)
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key})
    return site.gunicorn(), proxy


@pytest.mark.parametrize("connection", ["new", "used"])
def test_lost_reply_counts_at_most_once(proxied, redis, connection):
    site, proxy = proxied
    if connection == "used":
        site.get("/")
    before = redis.hits()
    proxy.lose_replies(to=b"INCR", times=1)
    assert site.get("/").status_code == 503
    assert proxy.lost_replies == 1
    assert redis.hits() == before + 1
    assert number_in(site.get("/").text) == before + 2


def test_many_lost_replies_count_each_request_at_most_once(proxied, redis):
    site, proxy = proxied
    proxy.lose_replies(to=b"INCR")
    statuses = [site.get("/").status_code for _ in range(20)]
    assert statuses == [503] * 20
    assert redis.hits() <= 20


def test_connection_that_redis_closed_while_idle_costs_no_visitor_a_number(proxied):
    site, proxy = proxied
    assert number_in(site.get("/").text) == 1
    proxy.cut()
    assert number_in(site.get("/").text) == 2


# Redis out of reach.


OUTAGES = {
    "refused": lambda proxy: proxy.refuse(),
    "silent": lambda proxy: proxy.silence(),
    "closing": lambda proxy: proxy.answer(b""),
    "no Redis": lambda proxy: proxy.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "loading": lambda proxy: proxy.answer(b"-LOADING Redis is loading the dataset in memory\r\n" * 4),
}


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("used_before", [False, True], ids=["first request", "later request"])
def test_page_says_within_a_second_that_redis_is_down(proxied, outage, used_before):
    site, proxy = proxied
    if used_before:
        site.get("/")
        if outage != "silent":
            proxy.cut()
    OUTAGES[outage](proxy)
    for headers, kind in ((TEXT, "text/plain"), (HTML, "text/html")):
        answer = site.get("/", headers=headers)
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < 1 + BUSY_SECONDS
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"redis|127\.0\.0\.1|error|exception|traceback|LOADING", answer.text, re.IGNORECASE)
    state = site.get("/readyz")
    assert (state.status_code, state.json()["status"], state.json()["redis"]["ok"]) == (503, "not ready", False)
    assert state.json()["redis"]["error"]
    assert site.get("/livez").status_code == 200
    proxy.pass_through()
    wait_until(lambda: site.get("/").status_code == 200, bound=5, message="the page to count again")


def test_rejected_password_is_no_number_and_not_retried(proxied, redis, consul, config_key, new_site):
    site, proxy = proxied
    site.stop()
    value = document(redis)
    value["redis_config"] |= {"redis_port": proxy.port, "redis_password": "another than Redis has"}
    consul.put(config_key, value)
    site.gunicorn()
    proxy.seen.clear()
    assert site.get("/").status_code == 503
    assert proxy.seen.count(b"AUTH") == 1


@pytest.mark.parametrize("text", ["not a number", str(2**63 - 1)], ids=["text", "the last number"])
def test_key_that_cannot_be_counted_is_a_503(session_site, redis, text):
    with redis.client() as client:
        client.set("hits", text)
    assert session_site.get("/").status_code == 503


def test_all_visitors_of_an_outage_are_answered(proxied):
    """A silent Redis must not hold the workers' threads for ever."""
    site, proxy = proxied
    site.get("/")
    proxy.silence()
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda _: requests.get(site.url, timeout=60).status_code, range(40)))
    assert statuses == [503] * 40


def test_slow_client_does_not_stop_the_others(session_site, redis):
    with socket.create_connection(("127.0.0.1", session_site.port)) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        began = time.monotonic()
        for _ in range(20):
            assert session_site.get("/").status_code == 200
        assert time.monotonic() - began < 10


# WSGI: the same page by the same coroutine.


@pytest.fixture(params=["gthread", "runserver"])
def wsgi_site(request, environment, new_site):
    site = new_site(environment)
    if request.param == "runserver":
        return site.runserver("--noreload")
    return site.gunicorn("--worker-class", "gthread", application="demo_site.wsgi", workers=2, threads=8)


def test_wsgi_shows_the_same(wsgi_site, session_site, redis):
    for headers in (TEXT, HTML):
        pages = [site.get("/", headers=headers) for site in (wsgi_site, session_site)]
        texts = {re.sub(r"\d+", "N", page.text) for page in pages}
        assert len(texts) == 1
        kept = [{name: page.headers.get(name) for name in SAME} for page in pages]
        assert kept[0] == kept[1]
    head, post = wsgi_site.request("HEAD", "/"), wsgi_site.request("POST", "/")
    assert (head.status_code, head.content, post.status_code) == (200, b"", 405)
    assert redis.hits() == 4
    assert wsgi_site.get("/readyz", headers={"Host": "10.1.2.3:8000"}).json()["status"] == "ready"
    assert wsgi_site.get("/admin/login/").status_code == 200


SAME = ("Content-Type", "Cache-Control", "Vary", "X-Content-Type-Options", "Content-Security-Policy")


def test_wsgi_shows_each_number_once(wsgi_site, redis):
    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda _: number_in(wsgi_site.get("/", session=requests).text), range(200)))
    assert sorted(numbers) == list(range(1, 201))
    assert redis.hits() == 200

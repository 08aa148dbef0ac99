"""What a client may hold: time, connections, bytes. What exceeds it costs nobody else anything."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
from django.conf import global_settings

from demo_site.serving.protocol import (
    ANSWER_SECONDS,
    BODY_SECONDS,
    HEAD_SECONDS,
    LONGEST_BODY,
    LONGEST_HEAD,
    LONGEST_URL,
    MOST_CONNECTIONS,
    MOST_IN_BODIES,
)
from tests.support.admin import PATH, AdminSite
from tests.support.clients import Drippers
from tests.support.outage import Load
from tests.support.waiting import BUSY_SECONDS, wait_until

BUSY = 15  # seconds that a busy machine may need more
HEAD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
LOGIN = b"POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = LOGIN.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked") + b"3e8\r\n"
KINDS = {  # how many, what they send first, then byte by byte; the answer, and after how long
    "heads": (200, HEAD, b"x", 408, HEAD_SECONDS),
    "blank lines": (50, b"", b"\r\n", 408, HEAD_SECONDS),
    "bodies at login": (100, LOGIN, b"x", 408, BODY_SECONDS),
    "chunks at login": (50, CHUNKED, b"x", 408, BODY_SECONDS),
    "bodies at the page": (100, LOGIN.replace(b"/admin/login/", b"/"), b"x", 413, 0),
    "silent": (800, b"", b"", 0, HEAD_SECONDS),
}


@pytest.fixture
def site(environment, new_site):
    return new_site(environment).gunicorn(workers=1)


@pytest.mark.parametrize("kind", KINDS)
def test_clients_that_do_not_get_on_are_cut_and_hold_nobody_up(site, kind):
    count, first, drip, status, seconds = KINDS[kind]
    with (
        Drippers(site, count, first, drip) as drippers,
        Load(site, "/", 20) as pages,
        Load(site, "/livez", 20) as lives,
    ):
        wait_until(lambda: drippers.are_all_cut, seconds + BUSY, f"all {kind} to be cut")
        time.sleep(1)
    assert {held.status for held in drippers.held} == {status}
    assert min(held.seconds for held in drippers.held) > seconds - 1
    for others in (pages.seen, lives.seen):
        assert set(others.statuses) == {200}
        assert others.quantile(0.99) < 0.25 + BUSY_SECONDS


def test_kept_connection_may_not_drip_its_second_head(site):
    with socket.create_connection(("127.0.0.1", site.port), timeout=HEAD_SECONDS + BUSY) as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while not answer.endswith(b"ok\n"):
            answer += client.recv(4096)
        client.sendall(b"GET /livez HTTP/1.1\r\nX: ")
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_client_that_does_not_read_its_answer_is_cut(site):
    """Enough answers to fill both sides' buffers."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", site.port))
        client.settimeout(5)
        port, worker = client.getsockname()[1], psutil.Process(site.worker_pids()[0])

        def is_cut():
            return all(found.raddr.port != port for found in worker.net_connections("tcp") if found.raddr)

        wait_until(lambda: not is_cut(), message="the worker to have the connection")
        with contextlib.suppress(OSError):  # the site reads no more while it cannot write, and cuts it in the end
            for _ in range(50):
                client.sendall(b"GET /static/admin/js/vendor/jquery/jquery.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_until(is_cut, ANSWER_SECONDS + BUSY, "the end of the connection")


def answer_to(site, request):
    """The status line of the answer to these bytes; empty if the connection was closed."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as client, contextlib.suppress(ConnectionError):
        client.sendall(request)
        return client.recv(4096).partition(b"\r\n")[0]
    return b""


def get(path, head=b""):
    return b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n"


MANY = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(LONGEST_HEAD // 1000 + 1))
REFUSED = {
    "URL": (get(b"/" + b"x" * LONGEST_URL), 414),
    "URL without end": (b"GET /" + b"x" * 2 * LONGEST_HEAD, 414),
    "header": (get(b"/", b"X: " + b"x" * LONGEST_HEAD + b"\r\n"), 431),
    "headers": (get(b"/", MANY), 431),
    "head without end": (get(b"/", MANY * 2)[:-2], 431),
    "body at the page": (get(b"/", b"Content-Length: 1\r\n"), 413),
    "body at a health check": (get(b"/livez", b"Transfer-Encoding: chunked\r\n"), 413),
    "body at login": (LOGIN.replace(b"1000", b"%d" % (LONGEST_BODY + 1)), 413),
    "body at login in chunks": (CHUNKED.replace(b"3e8", b"300000") + b"x" * 0x300000, 413),
    "no HTTP": (b"\x16\x03\x01 hello\r\n\r\n", 405),
    "no header": (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    "two lengths": (get(b"/", b"Content-Length: 0\r\nContent-Length: 1\r\n"), 400),
}


@pytest.mark.parametrize("request_", REFUSED)
def test_request_that_asks_for_too_much_is_refused_and_not_counted(session_site, redis, request_):
    sent, status = REFUSED[request_]
    assert answer_to(session_site, sent).startswith(b"HTTP/1.1 %d " % status)
    assert redis.hits() == 0
    assert session_site.get("/").status_code == 200


def test_longest_url_and_body_are_served(session_site, redis):
    assert answer_to(session_site, get(b"/?" + b"x" * (LONGEST_URL - 2))).startswith(b"HTTP/1.1 200 ")
    login = LOGIN.replace(b"1000", b"%d" % LONGEST_BODY) + b"x" * LONGEST_BODY
    assert answer_to(session_site, login).startswith(b"HTTP/1.1 403 "), "it comes as far as Django's CSRF check"


def test_long_bodies_share_a_limit_of_memory_and_short_ones_are_always_taken(site):
    longest = LOGIN.replace(b"1000", b"%d" % LONGEST_BODY)
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_IN_BODIES // LONGEST_BODY):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", site.port)))
            client.sendall(longest + b"x" * (LONGEST_BODY - 1))
        wait_until(
            lambda: answer_to(site, longest + b"x" * (LONGEST_BODY - 1)).startswith(b"HTTP/1.1 503 "),
            message="a long body to be refused",
        )
        assert answer_to(site, LOGIN + b"x" * 1000).startswith(b"HTTP/1.1 403 ")
    complete = longest + b"x" * LONGEST_BODY
    wait_until(lambda: answer_to(site, complete).startswith(b"HTTP/1.1 403 "), message="the memory to be free again")
    for _ in range(2 * MOST_IN_BODIES // LONGEST_BODY):
        assert answer_to(site, complete).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("server", ["gunicorn", "runserver"])
def test_upload_that_is_not_finished_writes_nothing(environment, new_site, server, tmp_path):
    """A file in a form, of any view: Django reads it for the check of the token, before it asks who that is.

    It is announced as longer than what Django itself would keep in memory.
    """
    length = 4 * global_settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    site = new_site({**environment, "TMPDIR": str(tmp_path)})
    site.gunicorn(workers=1) if server == "gunicorn" else site.runserver("--noreload")
    token = site.get("/admin/login/").cookies["csrftoken"]
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: text/plain\r\n\r\n'
    head = ["POST /admin/login/ HTTP/1.1", f"Host: {site.address}", f"Cookie: csrftoken={token}"]
    head += ["Content-Type: multipart/form-data; boundary=x", f"Content-Length: {length}", "", ""]
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as client:
        client.sendall("\r\n".join(head).encode() + start)
        with contextlib.suppress(OSError):  # refused: more than a body may have
            client.sendall(b"x" * (length // 2))
        for _ in range(10):
            time.sleep(0.1)
            pids = [site.pid, *site.worker_pids()]
            files = [file.path for pid in pids for file in psutil.Process(pid).open_files()]
            assert list(tmp_path.iterdir()) == []
            assert [path for path in files if path.startswith(str(tmp_path)) or "upload" in path] == []


def test_connections_above_the_most_are_refused_and_come_back(site):
    with Drippers(site, MOST_CONNECTIONS + 50, drip=b"") as drippers:
        wait_until(lambda: len(drippers.held) >= 50, HEAD_SECONDS + BUSY, "the refusals")
        refused = [held for held in drippers.held if held.seconds < HEAD_SECONDS]
        assert len(refused) >= 50
        assert {held.status for held in refused} == {503}
    assert site.get("/").status_code == 200


def test_slow_pages_of_the_admin_hold_up_nobody_else(consul, environment, new_proxy):
    """They ask Consul, which hangs here; and there are more of them than run at once."""
    proxy = new_proxy(consul.http_port)
    with AdminSite(environment | {"CONSUL_HTTP_ADDR": proxy.address}) as site:
        site.prepare().gunicorn(workers=1)
        cookies = site.session("viewer").cookies
        proxy.silence()
        with ThreadPoolExecutor(24) as pool, Load(site, "/", 20) as pages, Load(site, "/livez", 20) as lives:
            asked = [pool.submit(requests.get, site.url + PATH, cookies=cookies, timeout=60) for _ in range(24)]
            assert {future.result().status_code for future in asked} == {200}
    for others in (pages.seen, lives.seen):
        assert set(others.statuses) == {200}
        assert others.quantile(0.99) < 0.25 + BUSY_SECONDS


def test_redis_that_drips_its_answers_costs_each_visitor_less_than_a_second(
    redis, consul, config_key, new_site, new_proxy
):
    proxy = new_proxy(redis.port)
    consul.put(config_key, {"redis_config": redis.document(redis_port=proxy.port), "show_message": "hello"})
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}).gunicorn(workers=1)
    site.get("/")
    proxy.drip(0.25)
    with Load(site, "/", 20) as pages, Load(site, "/readyz", 2) as ready, Load(site, "/livez", 20) as lives:
        time.sleep(4)
    assert max(pages.seen.seconds) < 1 + BUSY_SECONDS
    assert set(pages.seen.statuses) == set(ready.seen.statuses) == {503}
    assert set(lives.seen.statuses) == {200}
    assert lives.seen.quantile(0.99) < 0.1 + BUSY_SECONDS
    proxy.pass_through()
    wait_until(lambda: site.get("/").status_code == 200, 5, "the page")

"""HAProxy with the shipped configuration: no visitor notices a restart, and nobody is counted twice."""

import contextlib
import socket
import time

import pytest

from demo_site.identity import NAME
from tests.support.admin import start_admin
from tests.support.certificates import make_certificates
from tests.support.haproxy import Instances
from tests.support.membership import seconds_until_passing
from tests.support.peers import Peer, answering
from tests.support.waiting import wait_until
from tests.support.workers import Load

CLIENTS = 8


def test_no_request_fails_while_instances_are_restarted(environment, consul, new_site, new_haproxy):
    """And of a crash only those in flight."""
    instances = Instances(new_site, consul, environment, SERVICE_DRAIN_SECONDS="2")
    haproxy = new_haproxy(consul).start(3)
    first, second, third = instances.sites
    with Load(haproxy, CLIENTS, pause=0.01) as load:
        instances.restart(first)
        instances.renew_workers(second)
        assert (load.failed, load.cut) == ([], 0)
        instances.crash(third)
        before = len(load.served)
        wait_until(lambda: len(load.served) > before + 200, message="200 pages after the crash")
    assert len(load.failed) + load.cut <= CLIENTS
    load.assert_numbers_unique()


def test_no_request_fails_where_another_registers_the_instances(environment, consul, new_site, new_haproxy):
    """The entry in Consul stays while the instance is restarted: HAProxy's own check decides."""
    instances = Instances(new_site, consul, environment, 2, registers=False, SERVICE_DRAIN_SECONDS="2")
    haproxy = new_haproxy(consul).start(2)
    with Load(haproxy, CLIENTS, pause=0.01) as load:
        instances.restart(instances.sites[0])
        assert len(consul.health(NAME)) == 2
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()


@pytest.fixture
def behind(environment, consul, new_proxy, new_site, new_haproxy):
    """An instance behind a proxy of the test's, in Consul, and HAProxy in front of both."""

    def start(**options):
        site = new_site(environment)
        proxy = new_proxy(site.port)
        consul.register(NAME, Address="127.0.0.1", Port=proxy.port)
        site.gunicorn(workers=2)
        return proxy, new_haproxy(consul, **options).start(1)

    return start


def test_a_request_whose_answer_is_lost_is_not_sent_again(behind, redis):
    proxy, haproxy = behind()
    assert haproxy.get().status_code == 200
    proxy.lose_replies(to=b"GET / HTTP")
    assert [haproxy.get().status_code for _ in range(5)] == [502] * 5
    assert bytes(proxy.seen).count(b"GET / HTTP") == 6
    with redis.client() as client:
        assert int(client.get("hits")) == 6


def test_the_way_through_it(behind):
    """Slow clients, strangers, and headers that a client made up."""
    proxy, haproxy = behind()
    with socket.create_connection(("127.0.0.1", haproxy.port)) as client:
        client.sendall(b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=")
        time.sleep(0.5)
        assert b"POST" not in proxy.seen, "a slow client holds no connection to the site"
        client.sendall(b"b")
        assert client.recv(100).startswith(b"HTTP/1.1 403"), "the site's answer to a form without its token"
    for path in ("/livez", "/metrics", "/readyz", "/%72eadyz", "/readyz?x"):
        assert haproxy.get(path).status_code == 404, path
    proxy.seen.clear()
    haproxy.get("/", headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"})
    sent = bytes(proxy.seen).lower()
    assert b"192.0.2.1" not in sent
    assert b"x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\n" in sent


@pytest.mark.slow
def test_every_instance_is_known(own_consul, new_haproxy):
    """Consul names three in a DNS answer of the usual size, and HAProxy by default takes each address once or twice."""
    ready = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    with contextlib.ExitStack() as peers:
        for _ in range(12):
            port = peers.enter_context(Peer(ready)).port
            own_consul.register(NAME, ID=f"{NAME}-{port}", Address="127.0.0.1", Port=port)
        new_haproxy(own_consul).start(12)


def test_https(consul, redis, new_haproxy, tmp_path):
    """The admin sets secure cookies, and takes a login; plain HTTP is sent to https only by the site."""
    certificates = make_certificates(tmp_path)
    bundle = tmp_path / "haproxy.pem"
    bundle.write_text(certificates.server_certificate.read_text() + certificates.server_key.read_text())
    variables = {
        "CONSUL_REGISTER": "1",
        "DJANGO_SECURE_PROXY_SSL_HEADER": "HTTP_X_FORWARDED_PROTO,https",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
    }
    with start_admin(consul, redis, "https-config", **variables) as site:
        site.gunicorn()
        seconds_until_passing(consul)
        https = new_haproxy(consul, certificate=bundle).start(1)
        http = new_haproxy(consul).start(1)
        assert http.get().status_code == 200
        answer = http.get("/admin/login/")
        assert (answer.status_code, answer.headers["Location"]) == (
            301,
            f"{http.url}/admin/login/".replace("p:", "ps:"),
        )
        site.url = https.url
        with site.session("viewer", verify=str(certificates.authority)) as session:
            assert session.get(f"{https.url}/admin/").ok
            assert all(cookie.secure for cookie in session.cookies)

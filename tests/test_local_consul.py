"""Which Consul `make run` uses, and how it starts its own."""

import http.server
import socket
import threading
from contextlib import contextmanager

import pytest

from tests.support.consul import ConsulServer
from tests.support.ports import free_port

import consul_server
from consul_server import KEY, Consul
from processes import Failed


@contextmanager
def web_server(status, body):
    """Answers every GET alike; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def agent():
    with ConsulServer() as running:
        yield running


@pytest.fixture
def consul(agent):
    """The agent without the key."""
    agent.delete(KEY)
    return Consul(agent.http_port)


def test_a_consul_with_a_leader_fits(consul):
    assert consul.fits()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>another site</html>"), (404, b"not found"), (200, b'""'), (500, b"no leader"), (200, b"")],
    ids=["page", "404", "no leader", "500", "empty"],
)
def test_another_server_does_not_fit(status, body):
    with web_server(status, body) as port:
        assert not Consul(port).fits()


@pytest.mark.slow
def test_nothing_and_one_that_never_answers_do_not_fit():
    assert not Consul(free_port()).fits()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert not Consul(mute.getsockname()[1]).fits()


def test_a_consul_that_asks_for_a_token_does_not_fit():
    with ConsulServer(acl=True) as closed:
        assert not Consul(closed.http_port).fits()


def test_the_document_is_put_once_and_never_over_another(consul):
    assert consul.document() is None
    consul.put_if_missing(b"first")
    consul.put_if_missing(b"second")
    assert consul.document() == b"first"


def test_a_consul_that_cannot_be_asked_is_a_failure():
    consul = Consul(free_port())
    with pytest.raises(Failed, match=f"refused to read `{KEY}`: 0 .*refused"):
        consul.document()
    with pytest.raises(Failed, match=f"refused to write `{KEY}`"):
        consul.put_if_missing(b"{}")


@pytest.mark.parametrize(
    ("options", "expected"), [("-grpc-port=<value>\n  -grpc-tls-port=<value>", True), ("-grpc-port=<value>", False)]
)
def test_a_port_that_only_newer_versions_know_is_closed_there(tmp_path, options, expected):
    binary = tmp_path / "consul"
    binary.write_text(f"#!/bin/sh\ncat <<'END'\n  {options}\nEND\n")
    binary.chmod(0o755)
    made = consul_server._options(binary, tmp_path, free_port(), print)
    assert ("-grpc-tls-port=-1" in made) is expected

"""An answer that is written as a whole is the one that uvicorn's own `send` writes."""

import asyncio

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from demo_site.serving.protocol import BoundedProtocol

HEADERS = ((b"Content-Type", b"text/plain; charset=utf-8"), (b"Vary", b"Accept"))
BODY = b"hello! I have been seen 7 times.\n"
REQUEST = "{method} / HTTP/{version}\r\nHost: localhost\r\n{header}\r\n"


class Transport:
    """What a connection is for the protocol; it keeps what is written."""

    def __init__(self):
        self.writes, self.is_closed = [], False

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def write(self, data):
        self.writes.append(data)

    def close(self):
        self.is_closed = True

    def is_closing(self):
        return self.is_closed

    def pause_reading(self):
        """For a client that sends more than is read."""

    resume_reading = pause_reading


async def whole(scope, receive, send):
    assert send.__self__.answer(200, HEADERS, BODY)


async def in_parts(scope, receive, send):
    headers = [*HEADERS, (b"Content-Length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def exchange(application, *requests, prepare=lambda protocol: None):
    """What is written in answer to the requests, and whether the connection is closed."""

    async def run():
        config = Config(application, log_config=None, access_log=False, lifespan="off", proxy_headers=False)
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        protocol = BoundedProtocol(config, state, {}, asyncio.get_running_loop())
        transport = Transport()
        protocol.connection_made(transport)
        prepare(protocol)
        for request in requests:
            protocol.data_received(request.encode())
            await asyncio.sleep(0.01)
        result = transport.writes, transport.is_closed
        protocol.connection_lost(None)
        return result

    return asyncio.run(run())


def lines(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, sorted(headers), body


@pytest.mark.parametrize(
    ("version", "header"),
    [("1.1", ""), ("1.1", "Connection: close\r\n"), ("1.0", ""), ("1.1", "Expect: 100-continue\r\n")],
)
def test_it_is_what_uvicorn_sends(version, header):
    request = REQUEST.format(method="GET", version=version, header=header)
    (one,), is_closed = exchange(whole, request)
    (other,), is_other_closed = exchange(in_parts, request)
    assert lines(one) == lines(other)
    assert is_closed is is_other_closed is (version == "1.0" or "close" in header)


def test_requests_that_come_at_once_are_answered_in_turn():
    request = REQUEST.format(method="GET", version="1.1", header="")
    writes, is_closed = exchange(whole, request * 3)
    assert [lines(answer)[2] for answer in writes] == [BODY] * 3
    assert not is_closed


def test_what_cannot_be_written_at_once_is_left_to_uvicorn():
    refused = []

    async def application(scope, receive, send):
        refused.append(not send.__self__.answer(200, HEADERS, BODY))

    def pause(protocol):
        protocol.flow.write_paused = True

    exchange(application, REQUEST.format(method="GET", version="1.1", header=""), prepare=pause)
    exchange(application, REQUEST.format(method="HEAD", version="1.1", header=""))
    assert refused == [True, True]


def test_client_that_has_gone_is_answered_nothing():
    async def application(scope, receive, send):
        send.__self__.disconnected = True
        assert send.__self__.answer(200, HEADERS, BODY)

    assert exchange(application, REQUEST.format(method="GET", version="1.1", header="")) == ([], False)

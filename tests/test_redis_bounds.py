"""Every exchange with Redis ends within `EXCHANGE_TIMEOUT`, whatever the peer does; measured as people would wait."""

import contextlib
import itertools
import socket
import time
import traceback
import tracemalloc

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from demo_site.document.model import RedisConfig
from demo_site.redis_cache import EXCHANGE_TIMEOUT, probe
from demo_site.redis_cache import client as redis_client
from demo_site.redis_cache.pool import MOST_REPLY_BYTES
from tests.support.peers import Peer
from tests.support.secrets import GUARD

MOST_SECONDS = 5 * EXCHANGE_TIMEOUT  # for a slow machine; what these peers do would take much longer, or for ever
REPLIES = {b"AUTH": b"+OK\r\n", b"SELECT": b"+OK\r\n", b"INCR": b":1\r\n"}


def open_client(config):
    return redis_client.open_client(config, probe.find(config))


def config(peer):
    password = SecretStr(GUARD.new("Redis password"))
    return RedisConfig(redis_host="127.0.0.1", redis_port=peer.port, redis_db=1, redis_password=password)


def answering_until(command, last):
    """Answer as Redis does, but to `command` with the parts of `last`."""

    def behave(connection):
        while request := connection.recv(65536):
            name = next(name for name in REPLIES if name in request)
            if name == command:
                for part in last:
                    connection.sendall(part)
            connection.sendall(REPLIES[name])

    return behave


def drops():
    yield b"$1000000\r\n"
    for drop in itertools.repeat(b"x"):
        time.sleep(0.1)
        yield drop


def fails_in_time(do):
    began = time.monotonic()
    with pytest.raises(RedisError) as caught:
        do()
    assert time.monotonic() - began < MOST_SECONDS
    return str(caught.value)


@pytest.mark.parametrize("command", REPLIES)
def test_reply_that_drips_ends_at_the_deadline(command):
    with Peer(answering_until(command, drops())) as peer:
        client = open_client(config(peer))
        fails_in_time(lambda: client.incr("hits"))


def test_deadline_is_one_for_all_replies():
    """Each comes in time for a time-out of its own."""

    def behave(connection):
        for reply in REPLIES.values():
            connection.recv(65536)
            time.sleep(0.3)
            connection.sendall(reply)

    with Peer(behave) as peer:
        began = time.monotonic()
        assert [fault.path for fault in probe.faults(config(peer))] == ["redis_host"]
        assert EXCHANGE_TIMEOUT - 0.1 < time.monotonic() - began < MOST_SECONDS


@pytest.mark.parametrize("command", REPLIES)
def test_probe_of_a_server_that_drips_ends_at_the_deadline(command):
    with Peer(answering_until(command, drops())) as peer:
        began = time.monotonic()
        assert [fault.path for fault in probe.faults(config(peer))] == ["redis_host"]
        assert time.monotonic() - began < MOST_SECONDS


def test_addresses_of_a_name_have_the_deadline_together(monkeypatch):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(8):  # fills the backlog: the kernel drops what comes now
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        found = socket.getaddrinfo("127.0.0.1", full.getsockname()[1], 0, socket.SOCK_STREAM) * 40
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments: found)
        client = open_client(RedisConfig(redis_host="many.example", redis_port=1, redis_db=0))
        fails_in_time(client.ping)


def test_sending_to_a_server_that_hardly_reads_ends_at_the_deadline():
    def behave(connection):
        while connection.recv(256 * 1024):
            time.sleep(0.03)

    with Peer(behave, receive_bytes=64 * 1024) as peer:
        client = open_client(RedisConfig(redis_host="127.0.0.1", redis_port=peer.port, redis_db=0))
        values = {f"key {number}": b"x" * 1024 * 1024 for number in range(60)}
        fails_in_time(lambda: client.mset(values))


@pytest.mark.parametrize("command", REPLIES)
def test_reply_that_floods_is_bounded(command):
    flood = itertools.chain([b"$99999999999\r\n"], itertools.repeat(b"x" * 1024 * 1024))
    with Peer(answering_until(command, flood)) as peer:
        client = open_client(config(peer))
        tracemalloc.start()
        try:
            fails_in_time(lambda: client.incr("hits"))
            assert tracemalloc.get_traced_memory()[1] < 4 * MOST_REPLY_BYTES
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "reply",
    [b":abc\r\n", b"$x\r\n", b"*x\r\n", b":" + b"9" * 5000 + b"\r\n", b"*1\r\n" * 3000, b"\xff\r\n", b"\r\n"],
    ids=lambda reply: str(reply[:8]),
)
@pytest.mark.parametrize("command", REPLIES)
def test_reply_that_is_not_of_redis_is_an_error_of_redis(reply, command):
    """Which every caller handles: the visitor is answered 503, the watch goes on."""
    with Peer(answering_until(command, [reply])) as peer:
        client = open_client(config(peer))
        fails_in_time(lambda: client.incr("hits"))


@pytest.mark.parametrize(
    "reply",
    [
        b"-ERR no command after AUTH_%b_\r\n",
        b"-WRONGPASS %b\r\n",
        b"-NOAUTH %.9b...\r\n",
        b"%b\r\n",
        b":%b\r\n",
        b"$%b\r\n",
    ],
    ids=lambda reply: str(reply[:8]),
)
@pytest.mark.parametrize("command", REPLIES)
def test_password_that_a_server_repeats_is_in_no_error(reply, command):
    """Not only in the answer to AUTH, and not only where it stands as a whole."""
    password = GUARD.new("Redis password")
    with Peer(answering_until(command, [reply % password.encode()])) as peer:
        given = RedisConfig(redis_host="127.0.0.1", redis_port=peer.port, redis_db=1, redis_password=password)
        client = open_client(given)
        with pytest.raises(RedisError) as caught:
            client.incr("hits")
        assert password[:8] not in "".join(traceback.format_exception(caught.value))
        assert password[:8] not in repr(probe.faults(given))


@pytest.mark.parametrize("reply", [b"+PONG\r\n", b"$-1\r\n", b"*0\r\n"])
def test_server_that_answers_with_no_number_is_no_redis(reply):
    with Peer(answering_until(b"INCR", [reply])) as peer:
        (fault,) = probe.faults(config(peer))
        assert (fault.path, "is not Redis" in fault.problem) == ("redis_host", True)


def test_connection_that_is_used_again_has_its_whole_time_again(redis):
    client = open_client(RedisConfig(**redis.document()))
    number = client.client_id()
    time.sleep(EXCHANGE_TIMEOUT + 0.1)
    assert client.client_id() == number

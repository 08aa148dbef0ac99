"""A command that an event loop sends and receives by itself: what it may, and what it leaves to a thread."""

import select
import time

import pytest
from pydantic import SecretStr
from redis.exceptions import RedisError

from demo_site.document.model import RedisConfig
from demo_site.redis_cache import EXCHANGE_TIMEOUT, probe
from demo_site.redis_cache import client as redis_client
from demo_site.redis_cache.exchange import Exchange
from tests.support.peers import Peer
from tests.support.secrets import GUARD

COMMAND = ("INCRBY", "hits", 1)


def pool_of(port, password=None):
    password = SecretStr(password or GUARD.new("Redis password"))
    config = RedisConfig(redis_host="127.0.0.1", redis_port=port, redis_db=1, redis_password=password)
    return redis_client.open_client(config, probe.find(config)).connection_pool


@pytest.fixture
def pool(own_redis):
    """With one connection that is idle."""
    pool = pool_of(own_redis.port, own_redis.password)
    pool.release(pool.get_connection())
    yield pool
    pool.disconnect()


def answered(exchange, seconds=10):
    """Wait as an event loop does; whether the reply is complete."""
    assert select.select([exchange.file], [], [], seconds)[0]
    return exchange.is_complete()


def test_many_exchanges_on_one_connection(pool, own_redis):
    numbers = []
    for _ in range(100):
        exchange = Exchange.begin(pool, *COMMAND)
        assert answered(exchange)
        numbers.append(exchange.reply())
    assert numbers == list(range(numbers[0], numbers[0] + 100))
    assert len(pool._available_connections) == 1
    assert pool._in_use_connections == set()


def test_nothing_is_begun_where_a_connection_would_have_to_be_made(own_redis, pool):
    assert Exchange.begin(pool_of(own_redis.port, own_redis.password), *COMMAND) is None
    exchange = Exchange.begin(pool, *COMMAND)
    assert Exchange.begin(pool, *COMMAND) is None, "the only one is in use"
    exchange.reply()


@pytest.mark.parametrize("has_been_used", [False, True])
def test_nothing_is_begun_on_a_connection_that_the_server_has_closed(pool, own_redis, has_been_used):
    if has_been_used:
        exchange = Exchange.begin(pool, *COMMAND)
        assert answered(exchange)
        exchange.reply()
    with own_redis.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert Exchange.begin(pool, *COMMAND) is None
    pool.release(pool.get_connection())
    assert Exchange.begin(pool, *COMMAND).reply() == 1 + has_been_used


def test_error_reply_is_not_complete_and_raised(pool, own_redis):
    with own_redis.client(db=1) as client:
        client.set("hits", "many")
    exchange = Exchange.begin(pool, *COMMAND)
    assert not answered(exchange)
    with pytest.raises(RedisError, match="not an integer"):
        exchange.reply()
    assert Exchange.begin(pool, "INCRBY", "others", 5).reply() == 5, "the connection is as good as before"


def test_retired_pool_closes_the_connection_after_its_reply(pool):
    exchange = Exchange.begin(pool, *COMMAND)
    pool.retire()
    assert answered(exchange)
    assert exchange.reply() == 1
    assert not exchange._connection.is_connected


def replying(reply):
    """A peer that replies to the login, and sends the parts of `reply` to the command."""

    def behave(connection):
        while request := connection.recv(65536):
            if b"INCRBY" in request:
                for part in reply:
                    connection.sendall(part)
                    time.sleep(0.05)
                if not reply:
                    return
            else:
                connection.sendall(b"+OK\r\n")

    return behave


def begun(peer):
    pool = pool_of(peer.port)
    pool.release(pool.get_connection())
    return Exchange.begin(pool, *COMMAND)


@pytest.mark.parametrize("reply", [[b":1", b"2", b"3\r\n"], [b":123\r", b"\n"]])
def test_rest_of_a_reply_is_waited_for(reply):
    with Peer(replying(reply)) as peer:
        exchange = begun(peer)
        assert not answered(exchange)
        assert exchange.reply() == 123


@pytest.mark.parametrize("reply", [[], [b":12x\r\n"], [b"$1000000\r\nx"], [b"HTTP/1.1 400 Bad Request\r\n\r\n"]])
def test_what_is_no_integer_fails_in_time_and_loses_the_connection(reply):
    with Peer(replying(reply)) as peer:
        exchange = begun(peer)
        assert not answered(exchange)
        began = time.monotonic()
        with pytest.raises(RedisError):
            exchange.reply()
        assert time.monotonic() - began < 5 * EXCHANGE_TIMEOUT


def test_second_reply_is_nobodys():
    with Peer(replying([b":7\r\n:8\r\n"])) as peer:
        exchange = begun(peer)
        pool = exchange._pool
        assert not answered(exchange)
        assert exchange.reply() == 7
        assert Exchange.begin(pool, *COMMAND) is None, "there is something left to read"


def test_connection_that_is_lost_while_it_sends_has_no_file(pool, monkeypatch):
    connection = pool.get_connection()
    pool.release(connection)
    monkeypatch.setattr(connection, "has_news", lambda: False)
    connection.socket.shutdown(2)
    exchange = Exchange.begin(pool, *COMMAND)
    assert exchange.file is None
    with pytest.raises(RedisError):
        exchange.reply()
    assert pool._in_use_connections == set()

"""How `make run` treats the Redis that a document names."""

import json
import socket

import pytest

from tests.support.ports import free_port
from tests.support.redis import RedisServer

from redis_server import RedisAddress, first_document

PASSWORD = "aaaa1111"


def document(**members):
    config = {"redis_host": "127.0.0.1", "redis_port": 6379, "redis_db": 0, "redis_password": PASSWORD, **members}
    return json.dumps({"redis_config": config, "show_message": "hello"}).encode()


@pytest.fixture(scope="module")
def server():
    with RedisServer(PASSWORD) as running:
        yield running


def at(server, **members):
    return RedisAddress.from_document(document(redis_port=server.port, **members))


def test_the_address_is_read_from_the_document():
    assert RedisAddress.from_document(document()) == RedisAddress("127.0.0.1", 6379, 0, PASSWORD)


@pytest.mark.parametrize("password", [None, ""])
def test_null_and_the_empty_password_mean_none(password):
    assert RedisAddress.from_document(document(redis_password=password)).password == ""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"{",
        b"[" * 100_000,
        b'{"redis_config": []}',
        document(redis_port="6379"),
        document(redis_port=True),
        document(redis_port=0),
        document(redis_port=65536),
        document(redis_db=-1),
        document(redis_db=1.5),
        document(redis_host=None),
        document(redis_password=1111),
        document(redis_tls=True),
    ],
)
def test_what_is_faulty_or_more_than_plain_is_left_to_the_site(content):
    assert RedisAddress.from_document(content) is None


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.0.0.5", False), ("redis.example", False)],
)
def test_only_loopback_is_this_machine(host, local):
    assert RedisAddress(host, 6379, 0, "").is_local is local


def test_a_redis_that_takes_the_password_and_has_the_database_fits(server):
    assert at(server).refusal() is None
    assert at(server, redis_db=15).refusal() is None


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"redis_password": "wrong"}, "WRONGPASS"),
        ({"redis_password": None}, "NOAUTH"),
        ({"redis_db": 16}, "DB index is out of range"),
    ],
)
def test_a_redis_that_does_not_fit_says_why(server, members, reason):
    assert reason in at(server, **members).refusal()


@pytest.mark.slow
def test_nothing_there_is_a_reason_and_so_is_one_that_never_answers():
    assert "refused" in RedisAddress("127.0.0.1", free_port(), 0, PASSWORD).refusal()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert "timed out" in RedisAddress("127.0.0.1", mute.getsockname()[1], 0, PASSWORD).refusal()


def test_the_first_document_is_the_template_where_its_port_is_free_or_its_redis_answers(server):
    for port in (free_port(), server.port):
        template = document(redis_port=port)
        assert first_document(template, print) == template


@pytest.mark.slow
def test_the_first_document_names_another_port_where_something_else_has_it():
    steps = []
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        made = json.loads(first_document(document(redis_port=taken), steps.append))
    assert made["redis_config"]["redis_port"] > taken
    assert made["show_message"] == "hello"
    assert steps == [f"Port {taken} is taken: Redis uses port {made['redis_config']['redis_port']}."]

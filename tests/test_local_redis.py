"""How `make run` treats the Redis that a document names."""

import contextlib
import json
import socket

import pytest

from tests.support.binaries import redis_binary
from tests.support.ports import free_port
from tests.support.redis import RedisServer

import redis_server
from processes import Session
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


# A user, a socket, and what is started elsewhere.


@contextlib.contextmanager
def provided(tmp_path, **members):
    """What `make run` does with this `redis_config`: the address, and what it said."""
    steps = []
    (tmp_path / "log").mkdir(mode=0o700, exist_ok=True)
    with Session() as session:
        redis_server.provide(document(**members), None, redis_binary, tmp_path, session, steps.append)
        address = RedisAddress.from_document(document(**members))
        yield (address and address.refusal()), steps


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["user", "user without password", "socket", "tls off"])
def test_a_redis_that_fits_is_started(kind, tmp_path):
    members = {"redis_port": free_port(), "redis_username": "counting" if "user" in kind else None, "redis_tls": False}
    if kind == "user without password":
        members["redis_password"] = None
    if kind == "socket":
        members |= {"redis_host": None, "redis_port": None, "redis_socket": str(tmp_path / "redis.sock")}
    with provided(tmp_path, **members) as (refusal, steps):
        assert refusal is None, steps
        assert steps[0].startswith("Starting Redis at")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"redis_tls": True}, "redis_tls"),
        ({"redis_service": "redis", "redis_host": None}, "redis_service"),
        ({"redis_sentinels": ["a:1"], "redis_master": "m"}, "redis_sentinels"),
        ({"redis_password_file": "/run/secrets/redis", "redis_password": None}, "redis_password_file"),
    ],
)
def test_what_is_started_elsewhere_is_named(members, named, tmp_path):
    with provided(tmp_path, **members) as (refusal, steps):
        assert refusal is None
        assert steps == [f"Starting no Redis: `{redis_server.KEY}` has {named}; start such a Redis yourself."]


def test_a_socket_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with provided(tmp_path, redis_host=None, redis_port=None, redis_socket=str(path)) as (_refusal, steps):
            assert steps == [
                f"Starting no Redis: at {path} is another program's socket, or no directory that can be written to."
            ]

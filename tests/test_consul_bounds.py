"""Every exchange with Consul ends at its deadline, and takes in no more than its bound, whatever the peer sends."""

import functools
import json
import ssl
import time
import tracemalloc

import pytest

from demo_site.consul_agent import kv, services, sessions
from demo_site.consul_agent.client import Timeouts
from demo_site.consul_agent.errors import Garbled, TooLong, Unreachable
from tests.support.certificates import make_certificates
from tests.support.peers import Peer, answering, dripping, flooding
from tests.test_consul_client import SHORT, USUAL, client_of, fails

HEAD = b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What comes at once, and what then drips or floods.
PARTS = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "header": (HEAD + b"X-Header: ", b"x"),
    "headers": (HEAD, [b"X-Header: x\r\n"]),
    "100 Continue": (b"", [CONTINUE]),
    "headers of a 100": (b"HTTP/1.1 100 Continue\r\n", [b"X-Header: x\r\n"]),
    "body": (HEAD + b"Content-Length: 1000000000000\r\n\r\n", b"["),
    "body until the end": (HEAD + b"Connection: close\r\n\r\n", b"["),
    "chunk size": (CHUNKED, b"0"),
    "chunk extension": (CHUNKED + b"1;", b"x"),
    "chunk": (CHUNKED + b"ffffffffffff\r\n", b"["),
    "chunks": (CHUNKED, [b"1\r\n[\r\n"]),
    "trailer": (CHUNKED + b"0\r\n", b"x"),
    "trailers": (CHUNKED + b"0\r\n", [b"X-Trailer: x\r\n"]),
}
TOO_MUCH = (TooLong, Garbled)  # of a line, the standard library says it
MOST_SECONDS = 5  # above the deadline, for a slow machine: what drips here goes on for ever
PATIENT = Timeouts(read=30)  # where the size is what ends it: a slow machine needs time to take in so much


def answer(body, *headers):
    head = [*headers, f"Content-Length: {len(body)}", "", ""]
    return HEAD + "\r\n".join(head).encode() + body


@pytest.fixture
def ends():
    """Ask a peer and see that it ends with this error soon; return the error."""

    def ends(behave, error, saying="", ask=lambda client: kv.read(client, "key"), timeouts=SHORT, **options):
        with Peer(behave, **options.pop("peer", {})) as peer:
            client = client_of(options.pop("scheme", "http://") + peer.address, timeouts, **options)
            began = time.monotonic()
            with fails(error, saying):
                ask(client)
            assert time.monotonic() - began < timeouts.read + MOST_SECONDS

    return ends


@pytest.mark.parametrize("part", PARTS)
def test_answer_ends_at_its_deadline_wherever_it_drips(ends, part):
    ends(dripping(*PARTS[part]), Unreachable, "no answer within 0.5 s")


@pytest.mark.parametrize("part", PARTS)
def test_answer_is_bounded_whatever_part_of_it_is_endless(ends, part):
    start, content = PARTS[part]
    tracemalloc.start()
    try:
        ends(flooding(start, b"".join(content) if isinstance(content, list) else content), TOO_MUCH, timeouts=PATIENT)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("announced", [False, True], ids=["read at once", "announced first"])
def test_time_until_the_first_byte_counts(ends, announced):
    """The deadline of a watch's question is one: it does not begin again when the answer begins to come."""

    def behave(connection):
        time.sleep(1.8)
        dripping(*PARTS["body"])(connection)

    with Peer(behave) as peer:
        client = client_of(peer, USUAL, (lambda: None) if announced else None)
        began = time.monotonic()
        with fails(Unreachable):
            kv.read(client, "key")
        assert time.monotonic() - began < 3.5, "beginning again, it would be 3.8 s"


def test_deadline_of_one_answer_is_not_that_of_the_next(consul, config_key):
    consul.put(config_key, "x")
    client = client_of(consul, SHORT)
    kv.read(client, config_key)
    time.sleep(0.6)
    assert kv.read(client, config_key).value == b"x"


@pytest.mark.parametrize("size", [b"-5", b"-1", b"x", b"", b"1" * 70_000], ids=lambda size: str(size[:8]))
def test_size_of_a_chunk_that_is_none_is_told_as_garbled_or_cut_off(ends, size):
    with Peer(answering(CHUNKED + size + b"\r\n[]\r\n")) as peer, pytest.raises((Garbled, Unreachable)):
        kv.read(client_of(peer, SHORT), "key")


# TLS.


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def over_tls(certificates):
    """Let a peer's connection speak TLS before it misbehaves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_certificate, certificates.server_key)

    def speaking(behave):
        def speak(connection):
            with context.wrap_socket(connection, server_side=True) as encrypted:
                behave(encrypted)

        return speak

    return speaking


@pytest.fixture
def tls(certificates):
    """The options of `ends` for TLS."""
    return {"scheme": "https://", "CONSUL_CACERT": str(certificates.authority)}


def test_handshake_that_drips_ends_with_the_time_to_connect(ends, tls):
    ends(dripping(b"\x16\x03\x03\x40\x00", b"\x02"), Unreachable, "did not accept a connection within 0.5 s", **tls)


@pytest.mark.parametrize("part", ["header", "body", "trailers"])
def test_answer_over_tls_ends_at_its_deadline(ends, tls, over_tls, part):
    ends(over_tls(dripping(*PARTS[part])), Unreachable, "no answer within 0.5 s", **tls)


def test_answer_over_tls_is_read_to_its_end(certificates, over_tls):
    """It has more than fits into a record, and the connection ends with it."""
    value = b"A" * 400_000
    body = json.dumps([{"Key": "key", "Value": value.decode(), "ModifyIndex": 7}]).encode()
    with Peer(over_tls(answering(answer(body, "Connection: close")))) as peer:
        client = client_of(f"https://{peer.address}", CONSUL_CACERT=str(certificates.authority))
        assert len(kv.read(client, "key").value) == 300_000


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_sending_to_a_peer_that_hardly_reads_ends_at_the_deadline(ends, tls, over_tls, scheme):
    def behave(connection):
        while connection.recv(1024):
            time.sleep(0.05)

    ends(
        over_tls(behave) if scheme == "https" else behave,
        Unreachable,
        ask=lambda client: client.kv.put("key", b"x" * 500_000),
        peer={"receive_bytes": 4096},
        **(tls if scheme == "https" else {}),
    )


# What an answer holds.


INSTANCES = functools.partial(services.health_instances, name="web")
HOSTILE = {
    "lists": b"[" + b"[[]]," * 2_000_000 + b"[]]",
    "objects": b"[" + b'{"a":1},' * 1_500_000 + b"{}]",
    "numbers": b"[" + b"1000," * 2_000_000 + b"0]",
    "texts": b"[" + b'"a{[,",' * 1_500_000 + b"0]",
    "escapes": b'["' + b'\\"' * 3_000_000 + b'", 5' + b',"\\\\"' * 1_000_000 + b"]",
    "open lists": b"[" * 10_000_000,
    "closed lists": b"]" * 10_000_000,
    "quotes": b'"' * 10_000_001,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_json_is_bounded_before_it_is_built(ends, kind):
    tracemalloc.start()
    try:
        ends(answering(answer(HOSTILE[kind])), TOO_MUCH, ask=INSTANCES, timeouts=PATIENT)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("ask", [lambda client: kv.read(client, "key"), INSTANCES], ids=["library", "own"])
def test_json_that_is_nested_deeply_is_told(ends, ask):
    body = b'[{"Key":' + b"[" * 40 + b"]" * 40 + b"}]"
    ends(answering(answer(body)), TooLong, "too deep", ask=ask)


def test_long_texts_of_punctuation_are_no_deep_json(ends):
    """A check's output may be a page or JSON: only what stands outside of texts counts."""
    checks = [{"Status": "passing", "Output": '{"a": [[1, 2], "\\\\"], ' * 1000}] * 100
    with Peer(answering(answer(json.dumps([{"Checks": checks}]).encode()))) as peer:
        assert services.health_instances(client_of(peer), "web")[1] == [{"Checks": checks}]


@pytest.mark.parametrize(
    ("ask", "size"),
    [
        (lambda client: sessions.create(client, "name", 10), 64 * 1024),
        (lambda client: services.register(client, {}), 64 * 1024),
        (lambda client: kv.read(client, "key"), 1024 * 1024),
        (lambda client: kv.tree(client, "key"), 16 * 1024 * 1024),
        (lambda client: kv.several(client, ["a", "b"]), 16 * 1024 * 1024),
        (INSTANCES, 16 * 1024 * 1024),
    ],
    ids=["session", "registration", "key", "keys", "several", "instances"],
)
def test_answer_is_bounded_to_what_the_question_needs(ends, ask, size):
    ends(answering(answer(b" " * size)), TooLong, f"more than {size} bytes", ask=ask, timeouts=PATIENT)


def test_longest_value_that_consul_keeps_is_read(consul, config_key):
    value = b"x" * 512 * 1024
    consul.put(config_key, value)
    assert kv.read(client_of(consul), config_key).value == value

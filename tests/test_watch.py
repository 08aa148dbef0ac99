"""The watch, step by step: how each answer of Consul, or of a proxy in between, affects the value in force."""

import base64
import contextlib
import itertools
import json
import logging
import re
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from demo_site import metrics
from demo_site.config import watcher
from demo_site.consul_agent import kv
from demo_site.consul_agent.client import Client
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.following import QUICK, Following
from tests.support.peers import Peer
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until


@pytest.fixture
def follow(consul, redis, config_key):
    """Make a `Following` of the test's key, whose document names the shared Redis."""
    made = []
    consul.put(config_key, document(redis, "first"))

    def make(through=None, **options):
        made.append(Following(through or consul, config_key, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def proxy(consul, new_proxy):
    return new_proxy(consul.http_port)


def connections(server):
    """The server's ids of its connections, except the one that asks."""
    with server.client() as client:
        return {int(each["id"]) for each in client.client_list()} - {client.client_id()}


def rejections():
    """How often a document was rejected in this process."""
    return next(value for _suffix, _labels, value in metrics.REJECTED.samples())


def requests_of(proxy):
    """The lines of the requests that went through the proxy."""
    return re.findall(r"GET (/v1/kv/\S+) HTTP", bytes(proxy.seen).decode("latin-1"))


def consul_answer(index, value, modify_index=None):
    """What Consul would send, as bytes; the connection is closed after it."""
    encoded = base64.b64encode(json.dumps(value).encode()).decode()
    body = json.dumps([{"Key": "k", "Value": encoded, "ModifyIndex": modify_index or index}])
    head = ["HTTP/1.1 200 OK", "Content-Type: application/json", f"X-Consul-Index: {index}", "Connection: close"]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode()


# Changes.


def test_first_step_asks_without_waiting(follow):
    following = follow(wait=30)
    assert following.step().state == "current"
    assert following.seconds < 5
    assert following.pause == 0


def test_change_ends_the_wait(follow, consul, redis, config_key):
    following = follow(wait=30)
    following.step()
    later = threading.Timer(0.3, consul.put, (config_key, document(redis, "second")))
    later.start()
    following.step()
    later.join()
    assert following.message == "second"
    assert following.live.in_force.revision.index == consul.index(config_key)
    assert following.seconds < 10


def test_nothing_new_changes_nothing(follow):
    following = follow()
    following.step()
    before = following.live.in_force
    assert following.step().state == "current"
    assert following.live.in_force is before
    assert following.seconds >= 1
    assert following.pause == 0


def test_change_of_the_message_keeps_the_connection_pool(follow, consul, redis, config_key):
    following = follow()
    following.live.in_force.redis.ping()
    client, before = following.live.in_force.redis, connections(redis)
    consul.put(config_key, document(redis, "second"))
    following.step()
    assert following.message == "second"
    assert following.live.in_force.redis is client
    assert connections(redis) <= before


def test_new_redis_gets_a_new_pool_and_the_old_one_is_closed(follow, consul, own_redis, redis, config_key):
    following = follow()
    old = following.live.in_force.redis
    old.incr("hits")
    number = old.client_id()
    assert number in connections(redis)
    consul.put(config_key, document(own_redis))
    following.step()
    assert following.redis_port == own_redis.port
    following.live.in_force.redis.incr("hits")
    assert (redis.hits(), own_redis.hits()) == (1, 1)
    wait_until(lambda: number not in connections(redis), 10, "the old connection to be closed")


def test_command_in_flight_ends_before_its_connection_is_closed(follow, consul, own_redis, redis, config_key):
    following = follow()
    old, answers = following.live.in_force.redis, []
    before = connections(redis)
    waiting = threading.Thread(target=lambda: answers.append(old.blpop("queue", timeout=0.35)))
    waiting.start()
    wait_until(lambda: connections(redis) - before, 10, "the command to be in flight", interval=0.001)
    consul.put(config_key, document(own_redis))
    following.step()
    with redis.client() as client:
        client.rpush("queue", "in time")
    waiting.join()
    assert answers in ([(b"queue", b"in time")], [None])
    wait_until(lambda: connections(redis) <= before, 10, "the old connection to be closed")


def test_who_took_the_client_before_a_swap_may_use_it_after_and_leaves_no_connection(
    follow, consul, own_redis, redis, config_key
):
    following = follow()
    old, before = following.live.in_force.redis, connections(redis)
    consul.put(config_key, document(own_redis))
    following.step()
    assert old.incr("hits") == 1
    wait_until(lambda: connections(redis) <= before, 10, "the old connection to be closed")


def test_new_password_under_the_same_address_is_used(follow, consul, own_redis, config_key):
    consul.put(config_key, document(own_redis))
    following = follow()
    following.live.in_force.redis.ping()
    own_redis.change_password(GUARD.new("the next Redis password"))
    consul.put(config_key, document(own_redis))
    assert following.step().state == "current"
    following.live.in_force.redis.connection_pool.disconnect()
    assert following.live.in_force.redis.ping()


# Documents that are not put in force.


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"", "(document)"),
        (b"{", "(document)"),
        (b"\xff", "(document)"),
        (b"[]", "(document)"),
        (b"{}", "redis_config"),
        (b'{"show_message": 1}', "show_message"),
        (b'{"redis_config": {"redis_host": "a", "redis_port": "6379", "redis_db": -1}}', "redis_config.redis_port"),
    ],
)
def test_invalid_document_is_rejected_with_its_faults(follow, consul, config_key, raw, path):
    following = follow()
    before = following.live.in_force
    consul.put(config_key, raw)
    status = following.step()
    assert status.state == "rejected"
    assert status.rejected.index == consul.index(config_key)
    assert path in [fault.split(": ")[0] for fault in status.rejected.faults]
    assert f"version {status.rejected.index}" in status.reason
    assert following.live.in_force is before


def unreachable(redis, new_proxy):
    return {"redis_port": free_port()}, "redis_config.redis_host"


def silent(redis, new_proxy):
    proxy = new_proxy(redis.port)
    proxy.silence()
    return {"redis_port": proxy.port}, "redis_config.redis_host"


def dripping(redis, new_proxy):
    proxy = new_proxy(redis.port)
    proxy.drip(0.25)  # the answers to AUTH and PING take three seconds
    return {"redis_port": proxy.port}, "redis_config.redis_host"


def no_redis(redis, new_proxy):
    proxy = new_proxy(redis.port)
    proxy.answer_http("400 Bad Request")
    return {"redis_port": proxy.port}, "redis_config.redis_host"


def wrong_password(redis, new_proxy):
    return {"redis_password": GUARD.new("a wrong password")}, "redis_config.redis_password"


def no_password(redis, new_proxy):
    return {"redis_password": None}, "redis_config.redis_password"


def no_such_database(redis, new_proxy):
    return {"redis_db": 99_999}, "redis_config.redis_db"


def no_such_host(redis, new_proxy):
    return {"redis_host": "redis.invalid"}, "redis_config.redis_host"


def label_too_long(redis, new_proxy):
    return {"redis_host": f"{'a' * 64}.invalid"}, "redis_config.redis_host"


def empty_label(redis, new_proxy):
    return {"redis_host": "redis..invalid"}, "redis_config.redis_host"


def odd_scope(redis, new_proxy):
    return {"redis_host": "fe80::1%/]"}, "redis_config.redis_host"


UNUSABLE = [
    *(unreachable, silent, dripping, no_redis, wrong_password, no_password, no_such_database),
    *(no_such_host, label_too_long, empty_label, odd_scope),
]


@pytest.mark.parametrize("fault", UNUSABLE)
def test_document_whose_redis_cannot_be_used_is_rejected(follow, consul, redis, config_key, new_proxy, fault):
    following = follow()
    before = following.live.in_force
    members, path = fault(redis, new_proxy)
    consul.put(config_key, document(redis) | {"redis_config": redis.document(**members)})
    status = following.step()
    assert status.state == "rejected"
    assert [found.split(": ")[0] for found in status.rejected.faults] == [path]
    GUARD.check(repr(status), "the status of a rejected document")
    assert following.live.in_force is before


@pytest.mark.parametrize("length", [32, 300])
def test_server_that_repeats_the_password_does_not_make_it_public(follow, consul, config_key, caplog, length):
    """A server without AUTH answers "unknown command 'AUTH', with args beginning with:" and the password."""
    password = GUARD.register("a long password", (GUARD.new("a password") * 10)[:length])
    following = follow()
    with RedisServer(settings=['rename-command AUTH ""']) as server:
        consul.put(config_key, document(server) | {"redis_config": server.document(redis_password=password)})
        status = following.step()
    assert status.state == "rejected"
    assert "unknown command" in status.reason
    assert password[:8] not in repr(status) + caplog.text


@pytest.mark.slow
def test_rejected_document_is_logged_and_counted_once(follow, consul, config_key, caplog):
    following = follow()
    before = rejections()
    with caplog.at_level(logging.INFO, "demo_site"):
        consul.put(config_key, "{")
        following.step(3)
    assert rejections() == before + 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("message", ["first", "second"])
def test_good_document_after_a_bad_one_is_put_in_force(follow, consul, redis, config_key, message):
    following = follow()
    consul.put(config_key, "{")
    assert following.step().state == "rejected"
    consul.put(config_key, document(redis, message))
    status = following.step()
    assert (status.state, status.reason, status.rejected) == ("current", None, None)
    assert following.message == message


@pytest.mark.slow
def test_document_that_came_before_its_redis_is_put_in_force_when_that_answers(follow, consul, config_key):
    following = follow()
    with RedisServer() as late:
        port = late.port
        late.kill()
        consul.put(config_key, document(late))
        assert following.step().state == "rejected"
        assert following.step().state == "rejected"
        late.start()
        assert following.step().state == "current"
        assert following.redis_port == port


def test_rejected_documents_keep_no_socket(follow, consul, redis, config_key, new_proxy):
    following = follow()
    members = [fault(redis, new_proxy)[0] for fault in UNUSABLE if fault is not no_such_host]
    ports = {redis.port} | {each["redis_port"] for each in members if "redis_port" in each}

    def sockets():
        connections = psutil.Process().net_connections("tcp")
        return {each.laddr.port for each in connections if each.raddr and each.raddr.port in ports}

    before = sockets()  # those of other tests, which used the same Redis
    for each in members * 3:
        consul.put(config_key, document(redis) | {"redis_config": redis.document(**each)})
        assert following.step().state == "rejected"
    assert sockets() <= before


# What is no document.


@pytest.mark.slow
def test_deleted_key_keeps_the_value_and_is_not_asked_for_in_a_loop(follow, consul, redis, config_key):
    following = follow()
    following.step()
    consul.delete(config_key)
    for _ in range(3):
        status = following.step()
        assert (status.state, following.message) == ("stale", "first")
        assert "deleted" in status.reason
        assert following.pause + following.seconds >= 1
    consul.put(config_key, document(redis, "second"))
    following.step(2)
    assert (following.live.status.state, following.message) == ("current", "second")


def test_write_to_another_key_does_not_make_a_missing_one_spin(follow, consul, config_key):
    """For a missing key Consul answers with the index of the whole store, so any write ends the wait."""
    following = follow(wait=30)
    following.step()
    consul.delete(config_key)
    following.step()
    for number in range(3):
        consul.put("another-key", str(number))
        following.step()
        assert following.pause + following.seconds >= 1


def test_token_that_lost_its_right_keeps_the_value(redis, tmp_path, config_key):
    with ConsulServer(acl=True) as consul:
        consul.put(config_key, document(redis, "first"))
        token_file = tmp_path / "token"
        allowed = consul.token(f'key "{config_key}" {{ policy = "read" }}')
        token_file.write_text(allowed)
        following = Following(consul, config_key, CONSUL_HTTP_TOKEN_FILE=str(token_file))
        assert following.step().state == "current"
        token_file.write_text(consul.token('key "other" { policy = "read" }'))
        status = following.step(2)
        assert (status.state, following.message) == ("stale", "first")
        assert "denied" in status.reason
        assert following.pause >= 1
        token_file.write_text(allowed)
        assert following.step().state == "current"
        following.close()


HTML = "<!doctype html><title>Sign in</title>"
FAULTS = {
    "refused": lambda proxy: proxy.refuse(),
    "cut": lambda proxy: proxy.answer(b""),
    "silent": lambda proxy: proxy.silence(),
    "dripping": lambda proxy: proxy.drip(0.2),
    "no HTTP": lambda proxy: proxy.answer(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "500": lambda proxy: proxy.answer_http("500 Internal Server Error", "rpc error"),
    "429": lambda proxy: proxy.answer_http("429 Too Many Requests"),
    "redirect": lambda proxy: proxy.answer_http("302 Found", Location="http://127.0.0.1:1/"),
    "HTML": lambda proxy: proxy.answer_http("200 OK", HTML, Content_Type="text/html"),
    "HTML with 404": lambda proxy: proxy.answer_http("404 Not Found", HTML, Content_Type="text/html"),
    "JSON of another shape": lambda proxy: proxy.answer_http("200 OK", '{"a": []}', X_Consul_Index="7"),
    "half an answer": lambda proxy: proxy.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_keeps_the_value_and_is_got_over(follow, consul, redis, config_key, proxy, fault):
    following = follow(proxy)
    following.step(2)
    before = following.live.in_force
    FAULTS[fault](proxy)
    proxy.cut()
    for _ in range(2):
        status = following.step()
        assert status.state == "stale"
        assert status.reason
        assert following.live.in_force is before
        assert 1 <= following.pause <= watcher.MOST_PAUSE_SECONDS
        assert following.seconds < 10
    proxy.pass_through()
    proxy.cut()
    assert following.step().state == "current"
    consul.put(config_key, document(redis, "second"))
    following.step()
    assert following.message == "second"


@pytest.mark.slow
def test_peer_that_goes_silent_during_a_query_is_noticed(follow, proxy):
    following = follow(proxy, wait=2)
    following.step()
    threading.Timer(0.3, proxy.silence).start()
    assert following.step().state == "stale"
    assert following.seconds < 2 + 10


def test_back_off_is_capped_and_jittered(follow, proxy):
    following = follow(proxy)
    proxy.refuse()
    pauses = []
    for _ in range(12):
        following.step()
        pauses.append(following.pause)
    assert all(1 <= pause <= watcher.MOST_PAUSE_SECONDS for pause in pauses)
    assert len(set(pauses)) > 6


def test_consul_that_fails_every_other_time_is_asked_once_a_second(follow, proxy):
    following = follow(proxy, wait=30)
    for _ in range(3):
        proxy.answer_http("500 Internal Server Error")
        proxy.cut()
        assert following.step().state == "stale"
        assert following.pause >= 1
        proxy.pass_through()
        assert following.step().state == "current"
        assert following.pause >= 1


def test_outage_is_logged_at_its_start_and_its_end(follow, proxy, caplog):
    following = follow(proxy)
    following.step()
    with caplog.at_level(logging.INFO, "demo_site"):
        proxy.refuse()
        following.step(5)
        proxy.pass_through()
        following.step(2)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


# Several processes of one instance.


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_agent_that_words_its_errors_anew_each_time_adds_no_lines(follow, proxy, caplog):
    following = follow(proxy)
    following.step()
    for number in range(20):
        proxy.answer_http("500 Internal Server Error", f"error {number} of shard {'x' * number}")
        reason = following.step().reason
        assert f"error {number} of shard" in reason, "the admin shows the words of now"
    assert len(warnings(caplog)) == 1
    proxy.refuse()
    following.step()
    assert len(warnings(caplog)) == 2, "another kind"
    proxy.answer_http("500 Internal Server Error", "again")
    following.step()
    assert len(warnings(caplog)) == 2, "a kind that was there before"
    proxy.pass_through()
    following.step(2)
    proxy.answer_http("500 Internal Server Error", "once more")
    following.step()
    assert len(warnings(caplog)) == 3, "another outage"


def test_agent_that_never_fails_the_same_way_twice_ends_adding_lines(follow, proxy, caplog):
    following = follow(proxy)
    following.step()
    for status in range(500, 530):
        proxy.answer_http(f"{status} Failed", "x")
        following.step()
    assert len(warnings(caplog)) == 8


def test_each_rejected_document_is_logged_although_the_reason_is_the_same(follow, consul, config_key, caplog):
    following = follow()
    following.step()
    for number in range(12):
        consul.put(config_key, b"{" + b" " * number)
        following.step()
    assert len(warnings(caplog)) == 12


def test_redis_that_words_its_refusal_anew_each_time_adds_no_lines(follow, consul, redis, config_key, caplog):
    following, replies = follow(), itertools.count()

    def refuse(connection):
        while connection.recv(4096):
            connection.sendall(b"-ERR reason %d\r\n" % next(replies))

    with Peer(refuse) as peer:
        config = redis.document() | {"redis_port": peer.port, "redis_password": None}
        following.step()
        before = rejections()
        consul.put(config_key, {"redis_config": config, "show_message": "second"})
        assert len({following.step().reason for _ in range(2)}) == 2, "its words differ"
    assert len(warnings(caplog)) == 1
    assert rejections() == before + 1


@pytest.fixture
def neighbours(follow, proxy):
    """Two processes of one instance that share what a fork would share. The second one connects through the proxy."""
    first, second = follow(), follow(proxy)
    second.live.shared = first.live.shared
    first.step()
    second.step()
    return first, second


@pytest.mark.parametrize("afterwards", ["bad document", "deleted key", "outage"])
def test_value_that_only_a_neighbour_saw_is_taken_over(neighbours, consul, redis, config_key, proxy, afterwards):
    first, second = neighbours
    consul.put(config_key, document(redis, "second"))
    first.step()
    if afterwards == "bad document":
        consul.put(config_key, "{")
    elif afterwards == "deleted key":
        consul.delete(config_key)
    else:
        proxy.refuse()
    assert second.step().state == ("rejected" if afterwards == "bad document" else "stale")
    assert second.message == "second"


def test_a_change_that_a_neighbour_put_in_force_is_taken_over_before_the_answer_is_read(
    neighbours, consul, redis, config_key, proxy, caplog, monkeypatch
):
    first, second = neighbours
    told = []
    second.live.listeners.append(lambda: told.append(second.message))
    consul.put(config_key, document(redis, "second"))
    first.step()
    asked = len(requests_of(proxy))
    with caplog.at_level(logging.INFO), monkeypatch.context() as patched:
        patched.setattr(second.follower, "_judge", None)  # is not needed
        assert second.step().state == "current"
    assert "as another process of the instance did" in caplog.text
    assert (second.message, told) == ("second", ["second"])
    assert len(requests_of(proxy)) == asked + 1
    second.step()
    assert f"index={consul.index(config_key)}&" in requests_of(proxy)[-1]


@pytest.mark.parametrize("outdated", ["older document", "bad document"])
def test_an_answer_that_was_overtaken_by_a_neighbour_is_asked_for_again(
    neighbours, consul, redis, config_key, proxy, outdated
):
    """It was in transit when the other process saw the next change: the value must not go back or count as rejected."""
    first, second = neighbours
    before = rejections()
    consul.put(config_key, document(redis, "second"))
    late = consul_answer(consul.index(config_key), document(redis, "second") if outdated == "older document" else [])
    consul.put(config_key, document(redis, "third"))
    first.step()
    seen = []
    second.live.listeners.append(lambda: seen.append((second.message, second.live.status.state)))
    proxy.answer(late)
    proxy.cut()
    second.live.listeners.append(proxy.pass_through)  # the answer is there, and is not read yet
    second.step()
    assert "index=" not in requests_of(proxy)[-1]
    consul.put(config_key, document(redis, "fourth"))
    second.step()
    assert list(dict.fromkeys(seen)) == [("third", "current"), ("fourth", "current")]
    assert second.live.in_force.revision.generation == 0
    assert rejections() == before


def test_a_deletion_that_was_overtaken_by_a_neighbour_is_asked_for_again(neighbours, consul, redis, config_key, proxy):
    first, second = neighbours
    consul.put(config_key, document(redis, "second"))
    first.step()
    proxy.answer_http("404 Not Found", X_Consul_Index=str(consul.index(config_key) - 1))
    proxy.cut()
    second.live.listeners.append(proxy.pass_through)
    assert second.step().state == "current"


def test_late_process_does_not_hand_its_older_value_on(neighbours, consul, redis, config_key):
    first, second = neighbours
    late = second.live.in_force
    consul.put(config_key, document(redis, "second"))
    first.step()
    second.live.shared.publish(late.revision)
    assert first.live.shared.read().document.show_message == "second"


def test_process_that_is_late_does_not_lead_the_others_back(neighbours, consul, redis, config_key):
    """It reads the document before the last one after its neighbour has read the last: Consul's order counts."""
    first, second = neighbours
    consul.put(config_key, document(redis, "second"))
    late = kv.read(Client(first.live.start.address, QUICK), config_key)
    consul.put(config_key, document(redis, "third"))
    first.step()
    second.follower.offer(late)
    assert second.message == "second"
    consul.put(config_key, "{")
    assert (first.step().state, second.step().state) == ("rejected", "rejected")
    assert (first.message, second.message) == ("third", "third")


def test_lower_index_of_a_restored_store_is_taken_over(neighbours, consul, redis, config_key, proxy):
    """The process that saw the index go back shares that with the others."""
    first, second = neighbours
    for index, message in ((5, "restored"), (7, "changed since")):
        proxy.answer(consul_answer(index, document(redis, message)))
        proxy.cut()
        second.step()
        assert second.message == message
    consul.delete(config_key)
    assert first.step().state == "stale"
    assert (first.message, first.live.in_force.revision.index) == ("changed since", 7)


# Indexes.


@pytest.mark.slow
def test_consul_that_lost_its_state_is_followed_from_its_new_index(redis, config_key):
    with ConsulServer() as consul:
        for number in range(20):
            consul.put(config_key, document(redis, str(number)))
        following = Following(consul, config_key)
        following.step()
        before = following.live.in_force.revision.index
        consul.restart()
        following.step(2)
        assert (following.live.status.state, following.message) == ("stale", "19")
        consul.put(config_key, document(redis, "after the loss"))
        following.step(2)
        assert following.message == "after the loss"
        assert following.live.in_force.revision.index < before
        following.close()


def test_index_that_goes_backwards_starts_over(follow, redis, proxy):
    following = follow(proxy)
    following.step()
    proxy.answer(consul_answer(5, document(redis, "restored")))
    proxy.cut()
    following.step()
    assert following.message == "restored"
    assert following.pause >= 1
    asked = len(proxy.seen)
    following.step()
    assert b"index=0" in proxy.seen[asked:] or b"index=" not in proxy.seen[asked:]


def test_same_index_with_another_document_is_another_document(follow, redis, proxy):
    following = follow(proxy)
    index = following.live.in_force.revision.index
    proxy.answer(consul_answer(index, document(redis, "of a Consul that lost its state")))
    following.step()
    assert following.message == "of a Consul that lost its state"


@pytest.mark.parametrize("indexes", [[7, 7], [9, 5], [0, 0]])
def test_answers_at_once_without_news_do_not_make_it_spin(follow, redis, proxy, indexes):
    following = follow(proxy)
    pauses = []
    for index in indexes * 4:
        proxy.answer(consul_answer(index, document(redis), modify_index=7))
        following.step()
        pauses.append(following.pause)
    assert following.live.status.state == "current"
    assert all(pause >= 1 for pause in pauses[2:])


def test_answers_in_turn_from_two_stores_do_not_make_it_spin(follow, redis, proxy):
    following = follow(proxy)
    pauses = []
    for number in range(10):
        proxy.answer(consul_answer((5, 50)[number % 2], document(redis, f"store {number % 2}")))
        following.step()
        pauses.append(following.pause)
    assert all(pause >= 1 for pause in pauses[2:])


@pytest.fixture
def newer_at_once(redis):
    """An agent that answers each question at once, each time with a higher index. The function makes the message.

    It keeps the `questions`.
    """
    peers = []

    def make(message):
        questions = []

        def behave(connection):
            for index in itertools.count(1):
                questions.append(connection.recv(65536))
                answer = consul_answer(index, document(redis, message(index)))
                connection.sendall(answer.replace(b"Connection: close", b"Connection: keep-alive"))

        peers.append(Peer(behave))
        peers[-1].questions = questions
        return peers[-1]

    yield make
    for each in peers:
        each.__exit__()


@pytest.mark.parametrize(
    ("message", "at_once"), [(lambda index: "same", 2), (str, watcher.MOST_CHANGES_AT_ONCE)], ids=["same", "changing"]
)
@pytest.mark.slow
def test_agent_that_answers_newer_at_once_for_ever_is_asked_ten_times_a_second(newer_at_once, message, at_once):
    following = Following(newer_at_once(message), "k", wait=30)
    began, asked = time.monotonic(), 0
    while asked < at_once or time.monotonic() - began < 3:
        following.step()
        asked += 1
        time.sleep(following.pause)
    assert asked <= at_once + 10 * (time.monotonic() - began) + 1
    assert following.message == message(asked)
    following.close()


def test_site_asks_such_an_agent_ten_times_a_second(newer_at_once, new_site):
    agent = newer_at_once(lambda index: "same")
    new_site({"CONSUL_HTTP_ADDR": agent.address, "DEMO_CONFIG_KEY": "k"}).gunicorn(workers=1)
    began, before = time.monotonic(), len(agent.questions)
    time.sleep(2)
    asked = [question for question in agent.questions[before:] if b"/v1/kv/k?" in question]
    assert 1 < len(asked) <= 10 * (time.monotonic() - began) + 2


def test_burst_of_changes_is_followed_without_a_pause(follow, consul, redis, config_key):
    following = follow(wait=30)
    following.step()
    for number in range(30):
        consul.put(config_key, document(redis, str(number)))
        following.step()
        assert (following.message, following.pause) == (str(number), 0)


# The thread.


def test_fault_of_our_own_does_not_end_the_watch(follow, monkeypatch, caplog):
    following = follow()
    monkeypatch.setattr(watcher, "MOST_PAUSE_SECONDS", 0.01)
    calls, is_over = [], threading.Event()

    def open_client(*_arguments, **_options):
        calls.append(time.monotonic())
        if is_over.is_set():
            raise SystemExit  # ends the thread, which otherwise writes into the log of a later test
        raise LookupError("of our own")

    following.live.start = SimpleNamespace(open_client=open_client, key="key")

    def run():
        with contextlib.suppress(SystemExit):
            watcher.run(following.follower)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    wait_until(lambda: len(calls) > 3, 10, "the watch to start again")
    assert "starts again" in caplog.text
    is_over.set()
    thread.join(10)
    assert not thread.is_alive()

"""Whatever others send: an error that is the part's own or none, at most a second of the processor, at most 64 MiB.

A target is a function that reads outside input, and a strategy: a line of `TARGETS`. `make soak` has 50,000 examples.
"""

import contextlib
import json
import os
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import dj_database_url
import pytest
from django.core.management.color import no_style
from django.utils.crypto import salted_hmac
from hypothesis import strategies as st
from pydantic import SecretStr

from demo_site.config import history, masking, probing, repository, snapshot
from demo_site.config.revision import parsed
from demo_site.config.shared import SharedRevision
from demo_site.config.status import Rejected
from demo_site.consul_agent import catalog, kv, listing, services, sessions, txn
from demo_site.consul_agent.address import AddressInvalid, AgentAddress
from demo_site.consul_agent.client import Client, Timeouts
from demo_site.consul_agent.errors import ConsulError
from demo_site.consul_agent.kv import Entry
from demo_site.document.fields import given, unknown, values
from demo_site.document.model import FIELDS, Document, RedisConfig
from demo_site.document.parsing import DocumentInvalid, parse, parse_again
from demo_site.environment import TABLE, Environment
from demo_site.fleet import instances, worker
from demo_site.fleet.publisher import Publisher
from demo_site.management import fleet as fleet_command
from demo_site.messages import Message, joined
from demo_site.redis_cache import probe
from demo_site.registration import other_nodes, register
from demo_site.registration.definition import DefinitionInvalid, ServiceDefinition, define
from demo_site.serving import client_address
from demo_site.startup import StartupError
from demo_site.templatetags.configuration import moment
from tests.support import fuzzed_pages
from tests.support.documents import SMALLEST, raw
from tests.support.fuzzing import QUICK_SHARE, Target, damaged, damages, examine, json_like, texts
from tests.support.peers import Peer
from tests.support.processes import printed_by
from tests.support.scripted_agent import (
    KEY,
    SAVE_ID,
    WORKER,
    Change,
    ScriptedAgent,
    documents,
    entries,
    scripts,
    workers,
)

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # it hides what went wrong
NOW = datetime.now(UTC)
ENVIRONMENT = Environment({})
IN_FORCE = parsed(raw(SMALLEST), "consul", KEY, 7)


# The document.


def read_document(text):
    try:
        document = parse(text)
    except DocumentInvalid as error:
        for fault in error.faults[:5]:
            assert Message.from_json(json.loads(json.dumps(fault.message.as_json()))) == fault.message
            assert str(fault).isprintable()
        assert str(Rejected.of(Entry(KEY, text, 7), list(error.faults), transient=False).status.message)
        raise
    again = parse_again(text)
    assert (again, unknown(again)) == (document, unknown(document))
    assert values(document).keys() == FIELDS.keys()


# Consul's answers.

SHORT = Timeouts(connect=5.0, read=0.2)
MOST_SECONDS = 10  # for a question; what drips or hangs would last for ever
DEFINITION = ServiceDefinition("name", "name-1", "127.0.0.1", 8000, tags=["a", "b"], meta={"version": "1"})
SAVE = history.Save("2026-01-01T00:00:00Z", "editor", "why", "edit", 7, None, (), SAVE_ID)


def read_key(client):
    found = kv.read(client, KEY)
    assert isinstance(found.key, str) and isinstance(found.value, bytes) and isinstance(found.session, str)
    assert type(found.modify_index) is int


def read_history(client):
    stored = repository.read(client, KEY)
    ids, _others = history.ids(client, KEY)
    show_timeline(history.read_page(client, KEY, ids, 0, 20), stored)
    show_timeline(history.read_newest(client, KEY, ids, len(ids)), stored)


def read_fleet(client):
    found = instances.overview(client, KEY, "name", 7)
    for instance in found.instances:
        assert isinstance(instance.good, bool)
        assert fleet_command._sentence(instance, no_style())
        assert all(each.pid >= 0 and len(moment(each.seen_at)) < 600 for each in instance.workers)


def publish(client):
    publisher = Publisher(lambda: worker.parsed("a/1", json.dumps(WORKER).encode()), lambda _timeouts: client, KEY)
    steps = publisher.steps()
    assert next(steps) >= 0
    publisher._renewals, publisher._renew_at = 11, 0.0
    assert next(steps) >= 0


def find_in_catalog(client):
    register.reaches_catalog(client, DEFINITION, bound=0)


def read_other_nodes(client):
    for entry in other_nodes.find(client, "name", "name-1", services.agent_entry(client, "name-1")):
        assert other_nodes.described(entry) and other_nodes.remedy(entry)
        other_nodes.remove(client, DEFINITION, entry)


QUESTIONS = {
    "a key": read_key,
    "a blocking query": lambda client: kv.query(client, KEY, 6),
    "a tree": lambda client: kv.tree(client, f"{KEY}.workers/"),
    "keys": lambda client: listing.names(client, f"{KEY}.workers/"),
    "some keys": lambda client: listing.entries(client, f"{KEY}.workers/", ["a/1"], 2, 0.1),
    "a few keys": lambda client: listing.some(client, f"{KEY}.history/", ["a", "b"], 0.1),
    "writes": lambda client: txn.commit(client, [txn.delete(KEY)]),
    "the document": lambda client: repository.read(client, KEY),
    "the rights": lambda client: repository.write_refusal(client, KEY),
    "a save": lambda client: repository.save(client, KEY, raw(SMALLEST), SAVE, 1),
    "the history": read_history,
    "an entry": lambda client: history.read(client, KEY, SAVE_ID),
    "the fleet": read_fleet,
    "publishing": publish,
    "the agent's entry": lambda client: services.agent_entry(client, "name-1"),
    "repair": lambda client: register.repair(client, DEFINITION, lambda: "passing"),
    "the catalog's entry": find_in_catalog,
    "other nodes": read_other_nodes,
    "deregistering": lambda client: services.deregister(client, "name-1"),
    "the address": services.advertised_address,
    "instances": lambda client: catalog.instances(client, "name"),
    "services": services.names,
    "a check": lambda client: services.update_check(client, "x", "passing", "y"),
    "a session": lambda client: sessions.create(client, "x", 10),
    "a renewal": lambda client: sessions.renew(client, "x"),
    "an end": lambda client: sessions.destroy(client, "x"),
    "a lock": lambda client: sessions.acquire(client, KEY, b"x", "y"),
}


def ask(example):
    """The same client asks twice: what is left of the first answer must not break the second."""
    question, script = example
    with ScriptedAgent(script) as agent, Client(AgentAddress(port=agent.port), SHORT) as client:
        for _ in range(2):
            began = time.monotonic()
            with contextlib.suppress(ConsulError, repository.Conflict, repository.Unconfirmed):
                QUESTIONS[question](client)
            assert time.monotonic() - began < MOST_SECONDS


# Worker keys, history keys.

worker_names = st.sampled_from(["a/1", "a/0", "a.b:c-d/4294967295"]) | texts.map(lambda text: f"a/{text}") | texts


def read_worker(example):
    name, value, alive_at = example
    found = worker.parsed(name, value, alive_at)
    assert (found is None) == (worker.instance_of(name) is None)
    if found:
        read = instances._workers({name: Entry(name, value, 7, "session")}, 8)[found.instance]
        instance = instances._instance(found.instance, read, None, 0, (found.address, found.port))
        assert fleet_command._sentence(instance, no_style()) and isinstance(instance.good, bool)
        assert len(f"{found.state}{found.reason or ''}") < 2_000
        for text in (found.state, found.reason):
            if isinstance(text, Message):
                assert text.translated(str) == text and text.outline()
        moment(found.started_at), moment(found.seen_at)
        found.as_json()


entry_names = st.sampled_from([SAVE_ID, SAVE_ID[:-1] + "1"]) | texts


def read_entries(example):
    saves = [
        history._decoded(value, name, 7 + at) or history.Unreadable(name, 7 + at)
        for at, (name, value) in enumerate(example)
    ]
    assert all(isinstance(history.is_id(save.id), bool) for save in saves)
    for save in saves:
        if isinstance(save, history.Save):
            assert len(save.encoded()) < 2_000_000
    own = frozenset(save.id for save in saves)
    show_timeline(history.Page(own, tuple(saves), 0, True, True), repository.parsed(raw(SMALLEST), 9))


def show_timeline(page, stored):
    masks = masking.Masker(ENVIRONMENT, IN_FORCE.document)
    current = masking.shown(given(stored.document), masks) if stored.document else None
    for event in history.timeline(page, stored.index, current):
        if event.save:
            assert isinstance(moment(event.save.saved_at), str)


# The snapshot, the shared revision.

snapshots = st.tuples(
    json_like({"key": KEY, "index": 7, "document": raw(SMALLEST).decode()})
    | documents.map(lambda text: json.dumps({"key": KEY, "index": 7, "document": text.decode("latin-1")}).encode()),
    st.sampled_from([0, 1, -1, NOW.timestamp(), 2**31, 2**33, -(2**33)]),
    st.sampled_from([None, 0.0, 1e9, float("inf")]),
)


def read_snapshot(example):
    content, modified, max_age = example
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "snapshot")
        path.write_bytes(content)
        with contextlib.suppress(OSError):  # not every file system has such a time
            os.utime(path, (modified, modified))
        with contextlib.suppress(snapshot.SnapshotUnusable):
            found = snapshot.read(path, KEY, max_age)
            assert (found.place, type(found.index)) == (KEY, int)
        snapshot.keep(path, IN_FORCE, NOW)
        assert snapshot.read(path, KEY, None).raw == IN_FORCE.raw


shared_revisions = st.tuples(
    texts.map(lambda text: parsed(raw(SMALLEST), "consul", text[:5000], 7)),
    st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=30)), max_size=4),
)


def read_shared(example):
    written, changed = example
    shared = SharedRevision()
    for one in (IN_FORCE, written):
        shared.write(one)
    for at, content in changed:  # by a writer that was killed half way, say
        at %= len(shared._memory.data) - len(content)
        at = at % 100 if at % 2 else at  # the head, too
        shared._memory.data[at : at + len(content)] = content
    found = shared.read()
    assert found is None or any(found.same_as(one) and found.place == one.place for one in (IN_FORCE, written))
    shared.write(IN_FORCE)
    assert shared.read().same_as(IN_FORCE)


# The environment, messages, the masker, addresses.


def as_of_the_system(text):
    """As `os.environ` has a text: what is not UTF-8 is there as escapes, and no NUL is."""
    return text.replace("\0", "").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


names = st.sampled_from([one.name for one in TABLE])
near_values = st.builds(
    lambda value, changed: damaged(value, changed).decode("utf-8", "surrogateescape").replace("\0", ""),
    st.sampled_from([b"https://[::1]:8500", b"postgres://u:p@h:5432/n?sslmode=x", b"1m30.5s", b"10.0.0.0/8,::1/128"]),
    damages,
)
variables = st.dictionaries(
    names | st.sampled_from(["DATABASE_URL", "CONSUL_HTTP_ADDR"]), texts.map(as_of_the_system) | near_values, max_size=3
)


def read_environment(environ):
    environment = Environment(environ)
    address = AgentAddress.from_environ(environ)
    assert address.url.startswith(address.scheme)
    dj_database_url.parse(environment["DATABASE_URL"] or "sqlite://")
    for key in (environment["DJANGO_SECRET_KEY"], *environment["DJANGO_SECRET_KEY_FALLBACKS"]):
        key.encode()
    define(environment, address="localhost").payload()


messages = st.one_of(
    json_like(WORKER["reason_message"]).map(lambda text: text.decode("utf-8", "replace")),
    texts.map(lambda text: json.dumps({"template": text, "parameters": {}})),
    st.builds(lambda t, p: json.dumps({"template": f"%(a)s{t}", "parameters": {"a": p}}), texts, texts),
)


def read_message(text):
    with contextlib.suppress(ValueError, RecursionError):
        value = json.loads(text)
        message = Message.from_json(value)
        assert message.translated(str) == message
        assert message.replaced(lambda one: one) == message
        assert len(message.outline()) <= len(text)
        assert Message.from_json(message.as_json()) == message
        assert len(joined([message] * 3, most=2)) <= 3 * len(message) + 100
        assert len(message) <= len(text) + 1


SECRET = "correct-horse"
maskable = st.lists(st.sampled_from([SECRET, f"redis://u:{SECRET}@h/", f"?password={SECRET}"]) | texts, max_size=5).map(
    " ".join
)


def mask(text):
    known = {"a": SecretStr(SECRET), "b": SecretStr(text[:200])}
    masks = masking.Masker(ENVIRONMENT, known)
    assert SECRET not in masks.clean(text).split()
    masks.clean(Message("%(text)s", text=text)), masks.clean([text, 5, None])
    document = Document(
        redis_config=RedisConfig(redis_host="a", redis_port=1, redis_db=0, redis_password=SECRET), show_message=""
    )
    assert SECRET not in probing._without_secrets(Message("%(text)s", text=text), document).split()


hops = st.sampled_from(["192.0.2.1", "[2001:db8::1]:5000", "10.0.0.1:5", "fe80::1%eth0", "::ffff:1.2.3.4"]) | texts


def read_address(example):
    forwarded, remote = example
    found = client_address.client_address(
        SimpleNamespace(META={"REMOTE_ADDR": remote, "HTTP_X_FORWARDED_FOR": ",".join(forwarded)})
    )
    assert found is None or len(found) < 50


# Redis's replies to the probe.

replies = st.lists(
    st.sampled_from([
        *(b"+PONG\r\n", b"+OK\r\n", b"+", b":1\r\n", b":abc\r\n", b"$5\r\n", b"$-1\r\n", b"$-5\r\n", b"$x\r\n"),
        *(b"*1\r\n", b"*-1\r\n", b"*99999999\r\n", b"*x\r\n", b"*1\r\n" * 3000, b"_\r\n", b"%1\r\n", b"\r\n", b"hello"),
        *(b"-ERR x\r\n", b"-NOAUTH x\r\n", b"-\r\n", b"-WRONGPASS \xff\x1b\r\n", b"-ERR DB index\r\n"),
        *(b":" + b"9" * 5000 + b"\r\n",),
        *(b"$" + b"9" * 20 + b"\r\n", b"x" * 100_000),
    ]) | st.binary(max_size=10),
    max_size=4,
).map(b"".join)  # fmt: skip


def ask_redis(reply):
    def behave(connection):
        connection.recv(65_536)
        connection.sendall(reply)

    with Peer(behave) as peer:
        config = RedisConfig(redis_host="127.0.0.1", redis_port=peer.port, redis_db=0)
        for path, problem in probe.faults(config):
            assert path in ("", "redis_host", "redis_db", "redis_password") and problem.isprintable()


# Answers that no Consul gives, each of which has raised what nobody expected.
NO_ANSWERS = [
    ("some keys", 200, '[{"Key": null, "Value": "", "ModifyIndex": 7}]'),
    ("the rights", 409, '{"Errors": [{"OpIndex": 9, "What": "permission denied"}]}'),
    ("the rights", 409, '{"Errors": [{"OpIndex": 0, "What": 5}]}'),
    ("repair", 200, '{"Service": {"Service": "name", "Tags": [1, "a"]}, "Checks": []}'),
    ("repair", 200, '{"Service": {}, "Checks": [{"CheckID": 5}]}'),
    ("repair", 200, '{"Service": {"Service": "name"}, "Checks": [{"CheckID": "\\ud800"}]}'),
    ("the address", 200, '{"Member": []}'),
    ("the catalog's entry", 200, "[null]"),
    ("publishing", 200, '{"ID": "\\ud800"}'),
]
TARGETS = {
    "document": Target(read_document, documents, (DocumentInvalid,), 8_000),
    "Consul": Target(
        ask,
        st.tuples(st.sampled_from(sorted(QUESTIONS)), scripts),
        examples=14_000,
        found=[(name, {0: Change(text.encode(), b"%d x" % status)}) for name, status, text in NO_ANSWERS],
    ),
    "worker": Target(read_worker, st.tuples(worker_names, workers, st.sampled_from(["", "2026"])), examples=5_000),
    "history": Target(read_entries, st.lists(st.tuples(entry_names, entries), max_size=4), examples=5_000),
    "snapshot": Target(
        read_snapshot,
        snapshots,
        examples=3_000,
        found=[(b'{"key": "config", "index": 1e999, "document": "%s"}' % raw(SMALLEST).replace(b'"', rb"\""), 0, None)],
    ),
    "shared revision": Target(read_shared, shared_revisions),
    "environment": Target(
        read_environment,
        variables,
        (StartupError, AddressInvalid, DefinitionInvalid),
        examples=3_000,
        found=[{"DJANGO_SECRET_KEY": "\udc80"}, {"DJANGO_SECRET_KEY_FALLBACKS": "a,\udc80"}],
    ),
    "message": Target(read_message, messages, examples=2_000),
    "masker": Target(mask, maskable, found=["redis://u:\ud800@h/"]),
    "client's address": Target(read_address, st.tuples(st.lists(hops, max_size=4), hops)),
    "Redis": Target(ask_redis, replies, found=[b"$" + b"9" * 20 + b"\r\n"]),
}


@pytest.fixture(autouse=True)
def settings_of_django(monkeypatch):
    """The settings that these read."""
    known = SimpleNamespace(SECRET_KEY="", SECRET_KEY_FALLBACKS=[], DATABASES={"default": {}}, ENVIRONMENT=ENVIRONMENT)
    known.CONFIGURATION = SimpleNamespace(start=SimpleNamespace(address=AgentAddress()))
    for module in (masking, client_address):
        monkeypatch.setattr(module, "settings", known)
    monkeypatch.setattr(masking, "salted_hmac", partial(salted_hmac, secret="of the tests"))


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused_within_bounds(name):
    examine(TARGETS[name], TARGETS[name].examples // QUICK_SHARE)


@pytest.mark.slow
def test_every_page_comes_whatever_is_typed_stored_or_answered():
    printed_by("tests.support.fuzzed_pages", fuzzed_pages.EXAMPLES // QUICK_SHARE)

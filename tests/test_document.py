"""`parse()`: every valid document becomes a config, every other one an error that names all its faults."""

import json
import re
import time
import tracemalloc
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo_site.config.revision import parsed
from demo_site.document import parsing
from demo_site.document.fields import Setting, unknown
from demo_site.document.model import Document
from demo_site.document.parsing import MAX_BYTES, MAX_FAULTS, MAX_VALUES, DocumentInvalid, parse, parse_again
from tests.support.documents import SMALLEST, changed, raw

PORT, HOST, DB, PASSWORD = (f"redis_config.redis_{name}" for name in ("port", "host", "db", "password"))
VALID_TEXT = json.dumps(SMALLEST)


def faults_of(raw_document):
    with pytest.raises(DocumentInvalid) as caught:
        parse(raw_document)
    return [str(fault) for fault in caught.value.faults]


def with_text(old, new):
    """The smallest document's text with a part replaced, for what `json.dumps` cannot write."""
    assert old in VALID_TEXT
    return VALID_TEXT.replace(old, new, 1).encode()


def with_member(text):
    """The smallest document with an unknown member `x` of this JSON text."""
    return with_text("{", f'{{"x": {text}, ')


def test_smallest_valid_document():
    config = parse(raw(SMALLEST))
    redis = config.redis_config
    assert (redis.redis_host, redis.redis_port, redis.redis_db) == ("127.0.0.1", 6379, 0)
    assert redis.redis_password.get_secret_value() == "aaaa1111"
    assert config.show_message == "this is a python-consul-redis demo"


@pytest.mark.parametrize("password", [None, ...], ids=["null", "absent"])
def test_password_may_be_null_or_absent(password):
    assert parse(raw(changed(PASSWORD, password))).redis_config.redis_password is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (PORT, 1),
        (PORT, 65535),
        (DB, 15),
        (HOST, "redis.example.org"),
        (HOST, "::1"),
        (HOST, "fe80::1%eth0.100"),
        (PASSWORD, "@:/%#\u00e9 \U0001f600"),
        ("show_message", "<script>alert(1)</script>"),
        ("show_message", "\U0001f600" * 10_000),
    ],
)
def test_unusual_values_are_kept_as_they_are(path, value):
    config = parse(raw(changed(path, value)))
    for name in path.split("."):
        config = getattr(config, name)
    assert getattr(config, "get_secret_value", lambda: config)() == value


FAULTS = [
    ("no bytes", b"", "(document)"),
    ("not JSON", b"redis_host = 127.0.0.1", "(document)"),
    ("cut off", raw(SMALLEST)[:-1], "(document)"),
    ("a list", b"[]", "(document)"),
    ("null", b"null", "(document)"),
    ("a byte order mark", b"\xef\xbb\xbf" + raw(SMALLEST), "(document)"),
    ("UTF-16", VALID_TEXT.encode("utf-16"), "(document)"),
    ("Latin-1", with_text("python", "pyth\u00f6n").decode().encode("latin-1"), "(document)"),
    ("over 512 KiB", raw(changed("show_message", "x" * 512 * 1024)), "(document)"),
    ("an unknown member nested 101 deep", with_member("[" * 101 + "]" * 101), "(document)"),
    ("lists nested 100,000 deep", b"[" * 100_000 + b"]" * 100_000, "(document)"),
    ("objects nested 100,000 deep", b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "(document)"),
    ("an unknown member nested 100,000 deep", with_member("[" * 10**5 + "]" * 10**5), "(document)"),
    ("a number with 5,000 digits", with_text("6379", "9" * 5000), None),
    ("no members", b"{}", None),
    ("no redis_config", raw(changed("redis_config", ...)), "redis_config"),
    ("redis_config a list", raw(changed("redis_config", [])), "redis_config"),
    ("redis_config null", raw(changed("redis_config", None)), "redis_config"),
    ("no host", raw(changed(HOST, ...)), HOST),
    ("an empty host", raw(changed(HOST, "")), HOST),
    ("a blank host", raw(changed(HOST, "  ")), HOST),
    ("a host with a space", raw(changed(HOST, "a b")), HOST),
    ("a host with a zone that no interface has", raw(changed(HOST, "fe80::1%a]b")), HOST),
    ("a host that is a URL", raw(changed(HOST, "redis://127.0.0.1")), HOST),
    ("a host that is a number", raw(changed(HOST, 127)), HOST),
    ("a null host", raw(changed(HOST, None)), HOST),
    ("no port", raw(changed(PORT, ...)), PORT),
    ("a port in quotes", raw(changed(PORT, "6379")), PORT),
    ("a port that is true", raw(changed(PORT, True)), PORT),
    ("a port that is a float", raw(changed(PORT, 6379.0)), PORT),
    ("a null port", raw(changed(PORT, None)), PORT),
    ("port 0", raw(changed(PORT, 0)), PORT),
    ("port -1", raw(changed(PORT, -1)), PORT),
    ("port 65536", raw(changed(PORT, 65536)), PORT),
    ("a port of 100 digits", raw(changed(PORT, 10**100)), PORT),
    ("a port that is NaN", with_text("6379", "NaN"), PORT),
    ("a port that is Infinity", with_text("6379", "Infinity"), PORT),
    ("a port beyond floats", with_text("6379", "1e999"), PORT),
    ("no database", raw(changed(DB, ...)), DB),
    ("a database below 0", raw(changed(DB, -1)), DB),
    ("a database that is false", raw(changed(DB, False)), DB),
    ("a database in quotes", raw(changed(DB, "0")), DB),
    ("a password that is a number", raw(changed(PASSWORD, 11111111)), PASSWORD),
    ("a password that is a list", raw(changed(PASSWORD, ["a"])), PASSWORD),
    ("no message", raw(changed("show_message", ...)), "show_message"),
    ("a null message", raw(changed("show_message", None)), "show_message"),
    ("a message that is a number", raw(changed("show_message", 1)), "show_message"),
    ("half a surrogate pair", with_text("python", "\\ud83d"), "show_message"),
    ("half a surrogate pair in an unknown name", with_text("{", '{"\\udc00": [1], '), None),
    ("a name twice", with_text('"show_message"', '"show_message": "a", "show_message"'), "show_message"),
    ("a nested name twice", with_text('"redis_db"', '"redis_db": 1, "redis_db"'), DB),
    ("an unknown name twice", with_text("{", '{"x": 1, "x": 2, '), "x"),
    ("NaN in an unknown member", with_member('[1, {"y": NaN}]'), "x[1].y"),
]


@pytest.mark.parametrize(("raw_document", "path"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_fault_is_named_with_its_path(raw_document, path):
    faults = faults_of(raw_document)
    assert path is None or {fault.split(": ", 1)[0] for fault in faults} == {path}
    assert all(len(fault) < 300 and fault.isprintable() for fault in faults)


def test_value_of_exactly_512_kib_is_taken():
    padding = MAX_BYTES - len(raw(changed("show_message", "")))
    assert len(parse(raw(changed("show_message", "x" * padding))).show_message) == padding


def test_all_faults_are_reported_together():
    text = '{"redis_config": {"redis_host": "", "redis_port": "6379", "redis_port": 0, "redis_db": NaN, \
            "redis_password": 5}, "x": {"y": Infinity}}'
    paths = [fault.split(": ", 1)[0] for fault in faults_of(text.encode())]
    assert set(paths) == {HOST, PORT, DB, PASSWORD, "show_message", "x.y"}
    assert paths.count(PORT) == 2


def test_a_long_path_is_shortened_in_its_middle():
    """Every worker reports, stores and shows it."""
    nested = '{"' + "x" * 90 + '": '
    faults = faults_of(with_text("{", f'{{"first": {nested * 50}{{"last": NaN}}{"}" * 50}, '))
    (path,) = [fault.split(": ", 1)[0] for fault in faults]
    assert re.fullmatch(r"first\.[x.]+\.\.\.[x.]+\.last", path)
    assert len(path) < 500


def test_unknown_members_are_kept_aside_as_ignored():
    document = changed("redis_config.redis_pasword", "typo")
    document["colour"] = {"red": 1}
    assert unknown(parse(raw(document))) == {"redis_config.redis_pasword": "typo", "colour": {"red": 1}}


def test_unknown_members_are_in_no_repr():
    """One may be a misspelt secret; a repr stands in tracebacks and logs."""
    document = changed("redis_config.redis_pasword", SENTINEL) | {"redis": {"password": SENTINEL}}
    value = parsed(raw(document), "consul", "config", 7)
    assert "show_message" in repr(value)
    assert SENTINEL not in f"{value!r} {value.document!r} {value.document!s} {value.document.redis_config!r}"


SENTINEL = "s3nt1nelSecretValue"


@pytest.mark.parametrize("path", [PASSWORD, HOST, PORT, DB, "show_message", "redis_config"])
@pytest.mark.parametrize("wrong", [[SENTINEL], {SENTINEL: 1}, {"a": SENTINEL}, SENTINEL + " ", 4711_4711_4711])
def test_no_error_shows_a_value(path, wrong):
    document = changed(path, wrong)
    document["redis_config"] = document["redis_config"] or {}
    try:
        parse(raw(document))
    except DocumentInvalid as error:
        shown = f"{error!s} {error!r} {error.__cause__!r} {error.__context__!r} {error.args!r}"
        assert SENTINEL not in shown
        assert "471147114711" not in shown


@pytest.mark.parametrize("wrong", ["NaN", '1, "%s": 1', '"\\ud800"'], ids=["not finite", "twice", "no text"])
@pytest.mark.parametrize("inside", [True, False], ids=["in the group", "beside it"])
def test_no_error_names_a_member_that_is_named_like_the_password(wrong, inside):
    secret = "s3cret-passw0rd"
    member = f'"{secret}": {wrong.replace("%s", secret)}'
    raw_document = f'''{{"redis_config": {{"redis_password": "{secret}"{f", {member}" if inside else ""}}},
                          "show_message": 5{"" if inside else f", {member}"}}}'''.encode()
    with pytest.raises(DocumentInvalid) as caught:
        parse(raw_document)
    assert "s3cret" not in str(caught.value)
    found = {fault.path for fault in caught.value.faults}
    assert {"show_message", "redis_config.redis_host"} < found, "what is declared keeps its name"


def test_password_is_in_no_repr():
    config = parse(raw(SMALLEST))
    assert "aaaa1111" not in f"{config!r} {config!s} {config.redis_config!r} {config.model_dump()!r}"


def test_config_is_frozen_and_equal_to_its_like():
    config = parse(raw(SMALLEST))
    assert config == parse(json.dumps(SMALLEST, indent=4).encode())
    with pytest.raises(ValueError, match="frozen"):
        config.show_message = "other"


def filled(opening, item, closing):
    """Valid JSON of nearly 512 KiB: `item` as often as it fits between the brackets."""
    room = MAX_BYTES - len(opening) - len(closing) - len(VALID_TEXT) - 20
    items = ",".join(item.format(position) for position in range(10**5, 10**5 + room // (len(item.format(10**5)) + 1)))
    return with_member(opening + items + closing)


@pytest.mark.parametrize(
    "raw_document",
    [
        filled("[", "1", "]"),
        filled("[", "NaN", "]"),
        filled("[" * 90, "1", "]" * 90),
        filled("[" * 90, "0.5", "]" * 90),
        filled("[" * 90, "[]", "]" * 90),
        filled("[" * 90, "NaN", "]" * 90),
        filled("[" * 800, "NaN", "]" * 800),
        filled('{"a":' * 90 + "[", "1e999", "]" + "}" * 90),
        filled("{{", '"{}": 1', "}}").replace(b"{{", b"{").replace(b"}}", b"}"),
        filled("[", '{{"": 1, "": 2}}', "]"),
        b'{"a": ' * 900 + b"1" + b"}" * 900,
        b"[" * MAX_BYTES,
        b'"' + b"\\u0000" * (MAX_BYTES // 6 - 1) + b'"',
        b"9" * MAX_BYTES,
        b"1" + b"0" * 4000 + b"e" + b"9" * 1000,
    ],
    ids=lambda value: value[:30].decode() + " ...",
)
def test_the_worst_documents_take_less_than_a_second(raw_document):
    assert len(raw_document) <= MAX_BYTES
    outcome(raw_document)


class WithList(Document):
    """A service's own document, with a setting that may have a fault in each of its items."""

    words: Annotated[list[str], Setting("Words", "a page")] = []  # noqa: RUF012


@pytest.mark.parametrize(
    "items",
    [
        *("[]", "[[]]", '{"a":1}', '{"a":{"b":{}}}', '{"a":1,"a":2}', "1", "NaN", '"\\ud800"', '["{,["]'),
        *('[[[[[[{"a":NaN}]]]]]]', '{"a":[[],[],[],[]]}', '{"\U0001f600": 1}'),
    ],
)
@pytest.mark.parametrize("most", [MAX_VALUES, MAX_BYTES], ids=["as many as may be", "as many as fit"])
def test_no_document_takes_more_than_64_mib(monkeypatch, items, most):
    monkeypatch.setattr(parsing, "Document", WithList)
    in_each = json_values(items)
    count = min((most - 60) // in_each, (MAX_BYTES - 200) // (len(items.encode()) + 1))
    document = f'{{"words": [{",".join([items] * count)}], {VALID_TEXT[1:]}'.encode()
    tracemalloc.start()
    try:
        found = faults_of(document)
        assert (found[0].split(":")[0] == "(document)") == (count * in_each > MAX_VALUES)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()


def json_values(text):
    return sum(map(text.count, "[{,")) + 1


def test_faults_are_as_many_as_people_can_read(monkeypatch):
    monkeypatch.setattr(parsing, "Document", WithList)
    found = faults_of(f'{{"words": [{",".join(["1"] * 15_000)}], {VALID_TEXT[1:]}'.encode())
    assert len(found) == MAX_FAULTS
    assert found[0] == "words[0]: must be text"


def test_long_texts_of_punctuation_are_no_depth():
    text = '{"a": [[["' * 20_000
    assert parse(raw(changed("show_message", text))).show_message == text


# Generated documents: 20,000 in all.

quickly = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from([0, -1, 1, 65535, 65536, 10**400, "", "6379", "127.0.0.1", 1e999, "\ud800", "\x00"]),
)
names = st.one_of(st.sampled_from([*SMALLEST, *SMALLEST["redis_config"]]), st.text(max_size=5))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=6
)
redis_configs = st.fixed_dictionaries(
    {},
    optional={
        "redis_host": st.just("127.0.0.1") | scalars,
        "redis_port": st.integers(1, 65535) | scalars,
        "redis_db": st.just(0) | scalars,
        "redis_password": st.text(max_size=8) | values,
        "further": values,
    },
)
near_documents = st.fixed_dictionaries(
    {}, optional={"redis_config": redis_configs | values, "show_message": st.text(max_size=20) | values, "x": values}
)


def outcome(raw_document):
    """`parse` returns a usable config or raises its one error, in less than a second of the processor's time."""
    began = time.process_time()
    try:
        config = parse(raw_document)
    except DocumentInvalid as error:
        assert time.process_time() - began < 1
        assert error.faults
        assert all(fault.path and fault.problem and str(fault).isprintable() for fault in error.faults)
        return
    assert time.process_time() - began < 1
    assert isinstance(config, Document)
    again = parse_again(raw_document)
    assert (again, unknown(again)) == (config, unknown(config))
    config.show_message.encode()
    assert config.redis_config.redis_host.strip()
    assert type(config.redis_config.redis_port) is int
    assert 1 <= config.redis_config.redis_port <= 65535
    assert type(config.redis_config.redis_db) is int
    assert config.redis_config.redis_db >= 0


@pytest.mark.slow
@settings(quickly, max_examples=5_000)
@given(near_documents)
def test_documents_near_a_valid_one(value):
    outcome(json.dumps(value).encode())


@pytest.mark.slow
@settings(quickly, max_examples=2_500)
@given(values)
def test_any_json(value):
    outcome(json.dumps(value).encode())


@settings(quickly, max_examples=5_000)
@given(st.binary(max_size=200))
def test_any_bytes(raw_document):
    outcome(raw_document)


@pytest.mark.slow
@settings(quickly, max_examples=7_500)
@given(st.integers(0, len(VALID_TEXT)), st.integers(0, 12), st.binary(max_size=12))
def test_valid_document_with_a_damaged_part(position, length, replacement):
    valid = VALID_TEXT.encode()
    outcome(valid[:position] + replacement + valid[position + length :])

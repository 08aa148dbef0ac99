"""What others write where the site reads: a row says that it cannot be read, and no page and no command breaks."""

import json
import re

import pytest

from demo_site.consul_agent import catalog, listing
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.consul_agent.errors import Garbled, TooLong
from tests.support import shown
from tests.support.admin import PATH
from tests.support.editors import Editor
from tests.test_admin_edit import history

SAID = {
    "state": "current",
    "index": 7,
    "reason": None,
    "workers": 1,
    "started_at": "2026-01-01T00:00:00Z",
    "seen_at": "2026-01-01T00:00:00Z",
}
NESTED = "[" * 900 + "]" * 900
BAD_WORKERS = [
    json.dumps(SAID).replace("7", "1e999"),
    json.dumps(SAID).replace("7", "9" * 5000),
    json.dumps(SAID).replace("7", "9" * 50),
    json.dumps(SAID).replace("7", "NaN"),
    *(json.dumps(SAID | {"index": index}) for index in (-1, "7", 7.5, True, [7], {})),
    json.dumps(SAID | {"state": "\ud800"}),
    json.dumps(SAID | {"state": ""}),
    json.dumps(SAID | {"state": "x" * 501}),
    json.dumps(SAID | {"reason": "\udfff", "state": "rejected"}),
    json.dumps(SAID | {"reason": ["x"]}),
    json.dumps(SAID | {"started_at": None}),
    json.dumps(SAID | {"seen_at": 5}),
    json.dumps(SAID | {"workers": 10**30}),
    json.dumps(SAID | {"registers": "yes"}),
    json.dumps(SAID)[:-1] + f', "of_another_version": {NESTED}}}',
    NESTED,
    "null",
    "x" * 500_000,
]
ODD_BUT_READABLE = [
    SAID | {"of_another_version": [1, {"x": None}], "workers": None},
    SAID | {"state": "\u202e\x1b[31m\0<b>"},
    SAID | {"state": "rejected", "reason": "%(x)s", "reason_message": {"template": "%(x)s", "parameters": {"y": 1}}},
    SAID | {"state": "rejected", "reason": "x", "reason_message": [[[[[[]]]]]]},
    SAID | {"state": "rejected", "reason": "x" * 400_000},
    SAID | {"started_at": "", "seen_at": "\t"},
]
NO_WORKERS = [
    "",
    "1",
    "/1",
    "a/",
    "a/b/1",
    "a/-1",
    "a/²",
    "a/" + "1" * 5000,
    "\u202ea/1",
    "a\nb/1",
    "a/01",
    "a" * 300 + "/1",
]


@pytest.fixture
def poisoned(admin, consul):
    """Keys of workers that no worker of this site wrote: at each pid of `bad` one that cannot be read."""
    for pid, value in enumerate(BAD_WORKERS, 1):
        consul.put(f"{admin.key}.workers/bad/{pid}", value)
    for pid, value in enumerate(ODD_BUT_READABLE, 1):
        consul.put(f"{admin.key}.workers/odd/{pid}", value)
    names = [*NO_WORKERS, "x" * 400_000 + "/1"]
    for name in names:
        put_anywhere(consul, f"{admin.key}.workers/{name}", "")
    yield len(names)
    for part in ("bad/", "odd/"):
        consul.delete(f"{admin.key}.workers/{part}?recurse")
    for name in names:
        operation = {"KV": {"Verb": "delete", "Key": f"{admin.key}.workers/{name}"}}
        assert consul.api("PUT", "/v1/txn", json=[operation]).ok


def put_anywhere(consul, key, value):
    """Write a key whose name is none for a URL."""
    assert consul.api("PUT", "/v1/txn", json=[{"KV": {"Verb": "set", "Key": key, "Value": value}}]).ok


def test_worker_that_cannot_be_read_is_a_row_that_says_so(admin, poisoned):
    session = admin.session("viewer")
    for path in ("", "status/"):
        answer = session.get(f"{admin.url}{PATH}{path}", timeout=60)
        assert answer.status_code == 200
        found = shown.workers(answer.text)
        assert found["bad"] == dict.fromkeys(range(1, len(BAD_WORKERS) + 1), "unreadable")
        assert "unreadable" not in found["odd"].values()
        assert found["odd"].keys() == set(range(1, len(ODD_BUT_READABLE) + 1))
        assert f"not a worker&#x27;s: {poisoned}, such as" in answer.text
        assert "\u202e" not in answer.text
        assert len(answer.content) < 1_000_000


def test_fleet_on_the_command_line_survives_and_says_what_is_unreadable(admin, poisoned):
    result = admin.command("effective_config", "--fleet", "--format", "json")
    assert result.status == 0, result.stderr
    rows = [row for row in json.loads(result.stdout) if row["instance"] == "bad"]
    assert [row["state"] for row in rows] == ["unreadable"] * len(BAD_WORKERS)
    assert f"not a worker's: {poisoned}, such as" in result.stderr
    table = admin.command("effective_config", "--fleet")
    assert table.status == 0, table.stderr
    assert f"bad: {len(BAD_WORKERS)} of ? workers" in table.stdout
    assert "\x1b" not in table.stdout + table.stderr
    assert admin.command("effective_config").status == 0  # it sums the workers up


# The history.


BAD_MEMBERS = [
    {"saved_at": 5},
    {"saved_at": ["2026-01-01"]},
    {"saved_at": "x" * 501},
    {"user": None},
    {"user": "\ud800"},
    {"comment": "x" * 5001},
    {"kind": "<b>"},
    {"kind": ""},
    {"replaced_index": -1},
    {"replaced_index": "7"},
    {"replaced_index": 10**30},
    {"replaced": []},
    {"replaced": {"x" * 501: {"value": 1}}},
    {"replaced": {f"s{number}": {"value": 1} for number in range(1001)}},
    *({"replaced": {"a": {"value": value}}} for value in ({}, [1], [["a"]], [None], float("nan"), float("inf"))),
    {"replaced": {"a": 5}},
    {"replaced": {"a": {"value": 5, "withheld": "no"}}},
    {"changes": [{}]},
    {"changes": [{"setting": 1, "before": {"value": 1}, "after": {"value": 2}}]},
    {"changes": {"a": 1}},
]
ODD_MEMBERS = [
    {"of_another_version": {"x": [1]}},
    {"saved_at": "0001-01-01T00:00:00+23:59"},
    {"saved_at": "9999-12-31T23:59:59-23:59"},
    {"saved_at": "x"},
    {"user": "\u202e\x1b\0<script>"},
    {"comment": "\u202e\x1b\0<script>" * 300},
    {"kind": "imported"},
    {"replaced": None},
    *({"changes": [{"setting": "\u202ea", "before": {"value": value}, "after": {"value": None}}]} for value in (
        True, 5, 5.5, 10**4000, "", [], ["a", "\0"], "\n" * 200_000, ["<"] * 80_000,
    )),
    {"changes": [{"setting": f"s{n}", "before": {"value": "'" * 400}, "after": {"value": n}} for n in range(1000)]},
]  # fmt: skip


def put_entries(consul, admin, values):
    for number, value in enumerate(values):
        consul.put(f"{admin.key}.history/20260101T000000.{number:06}Z-00000000", value)


@pytest.fixture
def entry(admin, consul):
    """What an entry of this site holds; it is not there any more."""
    editor = Editor(admin, "editor")
    assert "Saved as version" in editor.post(editor.form() | {"show_message": "changed", "comment": "why"})
    [name] = history(consul, admin)
    found = json.loads(consul.get(name))
    consul.delete(name)
    return found


def pages_of(admin, count):
    """The kinds of the entries on so many pages of the history, and the overview's."""
    session = admin.session("keeper")
    found = []
    for path in [*(f"history/?page={number}" for number in range(1, count + 1)), ""]:
        answer = session.get(f"{admin.url}{PATH}{path}", timeout=60)
        assert answer.status_code == 200, path
        assert len(answer.content) < 5_000_000, path
        found.append([event.kind for event in shown.events(answer.text)])
    return found


def test_entry_that_cannot_be_read_is_a_row_that_says_so(admin, consul, entry):
    texts = [json.dumps(entry | members) for members in BAD_MEMBERS]
    texts += [NESTED, "", "[]", "null", json.dumps(entry)[:-1], "\0", json.dumps(entry)[:-1] + f', "x": {NESTED}}}']
    texts += [json.dumps(entry).replace('"replaced_index": ', '"replaced_index": 1e999, "x": ')]
    put_entries(consul, admin, texts)
    *pages, overview = pages_of(admin, -(-len(texts) // 20))
    kinds = [kind for page in pages for kind in page]
    assert kinds == ["unreadable"] * len(texts)
    assert overview == ["unreadable"] * 3
    assert f"not in time: {len(texts)}" in Editor(admin, "keeper").history(kind="edit")


def test_odd_entry_is_shown_without_what_could_disguise_it(admin, consul, entry):
    put_entries(consul, admin, [entry | members for members in ODD_MEMBERS])
    kinds = [kind for page in pages_of(admin, 1) for kind in page]
    assert "unreadable" not in kinds
    assert len([kind for kind in kinds if kind in ("edit", "imported")]) == len(ODD_MEMBERS) + 1
    page = Editor(admin, "keeper").history()
    assert not re.search("<strong>[^<]*\u202e|<code>[^<]*\u202e", page)
    assert "More settings that it changed: 9" in page


def test_page_of_the_longest_entries_stays_below_its_size(admin, consul, entry):
    """Full pages of what takes the most room: quotes, as many rows as there can be, the longest names."""
    rows = [
        {"setting": f"{'&' * 480}{number}", "before": {"value": "'" * 20}, "after": {"value": None}}
        for number in range(400)
    ]
    replaced = {change["setting"]: change["before"] for change in rows}
    put_entries(consul, admin, [entry | {"changes": rows, "replaced": replaced, "comment": "'" * 5000}] * 25)
    first, _second, _overview = pages_of(admin, 2)
    assert first == ["outside", "edit"] * 20


# The catalog.


def client_of(address):
    return Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": address}))


GOOD = {"Node": {"Address": "10.0.0.1"}, "Service": {"ID": "good", "Address": "", "Port": 80}, "Checks": []}
BAD_REGISTRATIONS = [
    None, 5, "x", [], {},
    GOOD | {"Service": None},
    GOOD | {"Service": {"ID": None}},
    GOOD | {"Service": {"ID": ""}},
    GOOD | {"Service": {"ID": ["x"]}},
    GOOD | {"Service": {"ID": "x", "Port": "80"}},
    GOOD | {"Service": {"ID": "x", "Port": 10**30}},
    GOOD | {"Service": {"ID": "x", "Tags": {"a": 1}}},
    GOOD | {"Service": {"ID": "x", "Tags": [1]}},
    GOOD | {"Service": {"ID": "x", "Meta": [1]}},
    GOOD | {"Node": 5},
    GOOD | {"Node": {"Address": 5}},
    GOOD | {"Checks": {"a": 1}},
    GOOD | {"Checks": [None]},
    GOOD | {"Checks": [{"Status": ["critical"]}]},
]  # fmt: skip
ODD_REGISTRATIONS = [
    GOOD | {"Node": None, "Checks": None},
    {"Service": {"ID": "no-node", "Tags": None, "Meta": None}},
    GOOD | {"Service": {"ID": "half\u202e"}},
    GOOD | {"Service": {"ID": "long" * 100_000, "Tags": ["\x1b[31m" * 10_000]}},
    GOOD | {"Checks": [{}, {"Status": "of another version", "CheckID": ""}]},
]


@pytest.fixture
def agent(new_proxy, consul):
    """Something that answers as an agent does, with this JSON."""
    proxy = new_proxy(consul.http_port)

    def answer(body):
        proxy.answer_http("200 OK", json.dumps(body), X_Consul_Index="5")
        return proxy.address

    return answer


def test_registrations_that_cannot_be_read_are_counted(agent):
    with client_of(agent([GOOD, *BAD_REGISTRATIONS, *ODD_REGISTRATIONS])) as client:
        found, unreadable = catalog.instances(client, "any")
    assert unreadable == len(BAD_REGISTRATIONS)
    assert [(each.service.id[:20], each.address, each.health) for each in found] == [
        ("good", "10.0.0.1", "passing"),
        ("good", "", "passing"),
        ("no-node", "", "passing"),
        ("half ", "10.0.0.1", "passing"),
        ("long" * 5, "10.0.0.1", "passing"),
        ("good", "10.0.0.1", "passing"),
    ]
    assert max(len(each.service.id) for each in found) == 500


def test_services_on_the_command_line_survive_registrations_of_any_shape(agent, new_site):
    site = new_site({"CONSUL_HTTP_ADDR": agent([GOOD, *BAD_REGISTRATIONS, *ODD_REGISTRATIONS])})
    for form in ("json", "table"):
        result = site.command("consul_services", "any", "--format", form)
        assert result.status == 0, result.stderr
        assert result.stdout.count("unreadable") == len(BAD_REGISTRATIONS)
        assert "\x1b" not in result.stdout
    tags = {"good": ["b", "a"], "null": None, "mixed": [1, "a"], "text": "ab", "\x1b[31m\u202e": [], "x" * 500_000: []}
    agent(tags)
    for form in ("json", "table"):
        result = site.command("consul_services", "--format", form)
        assert result.status == 0, result.stderr
        assert result.stdout.count("(unreadable)") == 3
        assert "\x1b" not in result.stdout
        assert len(result.stdout) < 10_000


@pytest.mark.parametrize("body", [5, "x", {}, {"a": 1}, [None], [{}], ["a", 5], [["a"]], True], ids=repr)
def test_what_is_no_list_of_keys_is_no_answer_of_consul(agent, body):
    with client_of(agent(body)) as client, pytest.raises(Garbled, match=r"not a Consul agent"):
        listing.names(client, "prefix/")


ENTRY = {"Key": "prefix/a", "Value": "YQ==", "ModifyIndex": 7}


@pytest.mark.parametrize(
    "odd",
    [
        *({"Key": key} for key in (None, 5, [])),
        *({"Value": value} for value in ("YQ", 5, {"a": 1}, "\ud800", ["YQ=="])),
        *({"ModifyIndex": index} for index in (float("inf"), float("nan"), None, "x", [])),
    ],
    ids=repr,
)
def test_what_is_no_entry_is_no_answer_of_consul(agent, odd):
    for body in ([ENTRY | odd], [ENTRY, ENTRY | odd]):
        with client_of(agent(body)) as client, pytest.raises(Garbled, match=r"not a Consul agent"):
            listing.entries(client, "prefix/", ["a"], 2, 1)


def test_more_keys_than_are_read_say_what_to_do(agent):
    with client_of(agent(["x" * 17_000_000])) as client, pytest.raises(TooLong, match=r"Delete those that are not"):
        listing.names(client, "prefix/")


def test_keys_that_are_not_read_in_time_are_left_out(consul, config_key, new_proxy):
    for name in "abc":
        consul.put(f"{config_key}/{name}", name)
    proxy = new_proxy(consul.http_port)
    proxy.delay(0.3)
    with client_of(proxy.address) as client:
        found = listing.one_by_one(client, f"{config_key}/", ["a", "gone", "b", "c"], 0.4)
    assert found["a"].value == b"a"
    assert found["gone"] is None
    assert "c" not in found


@pytest.mark.parametrize("names", [["a", "b"], ["a", "gone", "b"]], ids=["all there", "one gone"])
def test_a_few_keys_are_read_at_once_and_one_by_one_where_one_has_gone(consul, config_key, names):
    for name in "abc":
        consul.put(f"{config_key}/{name}", name * 3)
    with client_of(consul.address) as client:
        found = listing.some(client, f"{config_key}/", names, 1)
    assert [(name, entry and entry.value) for name, entry in found.items()] == [
        (name, None if name == "gone" else name.encode() * 3) for name in names
    ]

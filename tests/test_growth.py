"""What takes texts of others takes time in proportion to their length, not to its square: a line for each function."""

import contextlib
import gc
import json
import re
import time

import psutil
import pytest

from demo_site.admin import conflicts, forms, secret_shares
from demo_site.bounded import LONGEST_BODY
from demo_site.config import changes, history
from demo_site.config.masking import Shown, differences
from demo_site.consul_agent import catalog
from demo_site.document.fields import printable
from demo_site.document.parsing import DocumentInvalid, parse
from demo_site.fleet import worker
from demo_site.messages import Message, joined
from demo_site.templatetags.configuration import moment, plain
from tests.support.admin import PATH, FormFields
from tests.support.terminal import shown

SHORT, LONG = 10_000, 300_000  # characters
TIMES = 4  # as long a text
MOST_GROWTH = 8  # for that: in proportion it is 4, with the square 16
LEAST_SECONDS = 0.001  # what takes less tells nothing
PIECES = [
    *(
        "a",
        "1",
        "é",
        "\0",
        "\ud800",
        " ",
        "\n",
        "\r",
        "\\",
        "\\n",
        '"',
        "?",
        "%",
        "%%",
        "%(a)s",
        "%(part_1)s",
        "1e",
        ".",
    ),
    *("[", "{", "[[]],", "[],", "{},", '{"a":', '"a":1,', '"a",', "@:", "://", "/", "&", "•"),
]


def entry(**members):
    """A history entry as JSON."""
    known = {
        "saved_at": "",
        "user": "",
        "comment": "",
        "kind": "edit",
        "replaced_index": 1,
        "replaced": {},
        "changes": [],
    }
    return json.dumps(known | members).encode()


def said(**members):
    """What a worker publishes, as JSON."""
    return json.dumps({"state": "stale", "started_at": "", "seen_at": ""} | members).encode()


def timeline(text):
    """So many entries as the text has thousands of characters, each with a text of that length."""
    setting = {"a": Shown(text[:1000])}
    saves = [history.Save("", "", "", "edit", n, setting, (), str(n), n + 2) for n in range(len(text) // 1000)]
    page = history.Page(frozenset(str(n) for n in range(len(saves))), tuple(saves), 0, True, True)
    return list(history.timeline(page, 1, {}))


def from_json(value):
    """Read a message; what is none is refused."""
    with contextlib.suppress(ValueError):
        Message.from_json(value)


def document(raw):
    with contextlib.suppress(DocumentInvalid):
        parse(raw)


def names(text):
    """As many names as the text has tens of characters."""
    return [f"{text[at : at + 9]}{at}" for at in range(0, len(text), 10)]


def share(text):
    session = {}
    secret_shares.join(session, secret_shares.cut(session, utf8(text).decode()))


def utf8(text):
    return text.encode("utf-8", "replace")


FUNCTIONS = {
    "worker: key": lambda text: worker.parsed(f"a/{text}", b""),
    "worker: value": lambda text: worker.parsed("a/1", utf8(text)),
    "worker: reason": lambda text: worker.parsed("a/1", said(reason=text, reason_message=text)),
    "worker: message": lambda text: worker.parsed(
        "a/1", said(reason="x", reason_message={"template": text, "parameters": {"a": text}})
    ),
    "history: value": lambda text: history._decoded(utf8(text), "", 1),
    "history: comment": lambda text: history._decoded(entry(comment=text), "", 1),
    "history: setting": lambda text: history._decoded(entry(replaced={"a": {"value": text}}), "", 1),
    "history: list": lambda text: history._decoded(entry(replaced={"a": {"value": names(text)}}), "", 1),
    "history: settings": lambda text: history._decoded(
        entry(replaced={name: {"value": 1} for name in names(text)}), "", 1
    ),
    "history: id": history.is_id,
    "history: timeline": timeline,
    "differences": lambda text: differences({n: Shown(n) for n in names(text)}, {n: Shown(1) for n in names(text)}),
    "catalog": lambda text: catalog._parsed({"Service": {"ID": text, "Tags": names(text)}, "Node": {"Address": text}}),
    "message: parameter": lambda text: Message("%(text)s", text=text),
    "message: joined": lambda text: joined(names(text)),
    "message: JSON": from_json,
    "message: template": lambda text: from_json({"template": text, "parameters": {}}),
    "message: parameters": lambda text: from_json({"template": "%(a)s", "parameters": dict.fromkeys(names(text), 1)}),
    "message: text of JSON": lambda text: from_json({"template": "%(a)s", "parameters": {"a": text}}),
    "conflicts": conflicts.loaded,
    "conflicts: settings": lambda text: conflicts.loaded(json.dumps({name: [name, False] for name in names(text)})),
    "secret share": share,
    "secret share of others": lambda text: secret_shares.join({}, text),
    "form: lines": lambda text: forms.LinesField().to_python(text),
    "form: lines shown": lambda text: forms.LinesField().prepare_value([text, *names(text)]),
    "form: text": lambda text: forms.TextField(strip=False).has_changed("a", text),
    "form: number": lambda text: forms.NumberField().to_python(text),
    "form: choice": lambda text: forms.ChoiceField(["a"], True).to_python(text),
    "document": lambda text: document(utf8(text)),
    "document: value": lambda text: document(json.dumps({"show_message": text, text[:1000]: 1}).encode()),
    "document: names": lambda text: document(json.dumps(dict.fromkeys(names(text), 1)).encode()),
    "document: object": lambda text: changes.json_object(utf8(text)),
    "printable": printable,
    "page: value": plain,
    "page: list": lambda text: plain(names(text)),
    "page: moment": moment,
    "table": lambda text: shown([{"a": text[:5000]}] * (len(text) // 5000), ["a"]),
}


def seconds(function, text):
    """CPU time of the quickest of several calls."""
    times = []
    for _ in range(3):
        began = time.process_time()
        function(text)
        times.append(time.process_time() - began)
    return min(times)


def growth(function, piece, length):
    """How much longer it takes for a text that is TIMES as long; 1 where even a long one takes next to nothing."""
    while (once := seconds(function, piece * (length // len(piece)))) < LEAST_SECONDS:
        if length >= LONG:
            return 1
        length *= 4
    return seconds(function, piece * (TIMES * length // len(piece))) / once


@pytest.mark.parametrize("name", FUNCTIONS)
def test_time_grows_with_the_length_and_not_with_its_square(name):
    """At one of several lengths: memory comes in steps, and others use the machine as well. A square shows at each."""
    gc.disable()  # it runs more often where there is more
    try:
        for piece in PIECES:
            lengths = (SHORT * factor for factor in (1, 2, 3, 1, 2))
            assert any(growth(FUNCTIONS[name], piece, length) <= MOST_GROWTH for length in lengths), piece
    finally:
        gc.enable()


def test_a_square_shows():
    assert growth(re.compile("a*b").findall, "a", SHORT) > MOST_GROWTH


@pytest.fixture
def editor_form(admin):
    """An editor's session, and what the form holds."""
    session = admin.session("editor")
    return session, FormFields(session.get(f"{admin.url}{PATH}edit/", timeout=30).text).found


def cpu_seconds(site):
    """The CPU time of all workers of the site."""
    times = [psutil.Process(pid).cpu_times() for pid in site.worker_pids()]
    return sum(each.user + each.system for each in times)


ROOM = LONGEST_BODY - 5_000  # for one field


@pytest.mark.parametrize(
    "field",
    [
        *("comment", "base_shown", "base_index", "save_id", "step", "of_nobody", "show_message"),
        *("redis_config__redis_port", "redis_config__redis_host", "redis_config__redis_password"),
        *("redis_config__redis_password__kept", "show_message__kept"),
    ],
)
@pytest.mark.parametrize("text", ["9", "?", "%(a)s", "a.", '{"a":[1,2],'], ids=repr)
def test_longest_body_that_is_one_field_is_refused_quickly(admin, editor_form, field, text):
    session, form = editor_form
    form = form | {field: text * (ROOM // len(text) // (1 if text.isalnum() else 3))}  # as it is quoted
    before = cpu_seconds(admin)
    answer = session.post(f"{admin.url}{PATH}edit/", form, timeout=60, headers={"Referer": admin.url})
    assert answer.status_code in (200, 400)
    assert "Saved as" not in answer.text
    assert cpu_seconds(admin) - before < 3

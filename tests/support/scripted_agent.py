"""A Consul agent that answers every question as it should, but for those that the test has it answer otherwise."""

import base64
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from hypothesis import strategies as st

from tests.support.documents import SMALLEST, raw
from tests.support.fuzzing import damaged, damages, edited, edits, json_like, places
from tests.support.peers import Peer

KEY = "config"
SAVE_ID = "20260101T000000.000000Z-00000000"  # the first one of its history
WORKER = {
    "instance": "a",
    "pid": 1,
    "started_at": "2026-01-01T00:00:00.000Z",
    "index": 7,
    "state": "stale",
    "reason": "Consul at x is gone.",
    "workers": 2,
    "seen_at": "2026-01-01T00:00:00.000Z",
    "registers": True,
    "reason_message": {
        "template": "Consul at %(url)s is %(what)s.",
        "parameters": {"url": "x", "what": {"template": "gone", "parameters": {}}},
    },
}
SHOWN = {"value": "hello", "withheld": False}
ENTRY = {
    "saved_at": "2026-01-01T00:00:00.000Z",
    "user": "editor",
    "comment": "why",
    "kind": "edit",
    "replaced_index": 6,
    "replaced": {
        "show_message": SHOWN,
        "redis_config.redis_host": {"value": "127.0.0.1", "withheld": False},
        "redis_config.redis_port": {"value": 6379, "withheld": False},
        "redis_config.redis_db": {"value": 0, "withheld": False},
        "redis_config.redis_password": {"value": "•••• (fingerprint 01234567)", "withheld": True},
    },
    "changes": [{"setting": "show_message", "before": SHOWN, "after": {"value": "b", "withheld": False}}],
}
SERVICE = {
    "Service": "name",
    "ID": "name-1",
    "Address": "127.0.0.1",
    "Port": 8000,
    "Tags": ["a", "b"],
    "Meta": {"version": "1"},
    "Weights": {"Passing": 1, "Warning": 1},
    "EnableTagOverride": False,
}
CHECK = {"CheckID": "service:name-1:ready", "Name": "ready (/readyz)", "Status": "passing", "Notes": "", "Output": ""}
CHECK |= {"Node": "here"}
CATALOG = {"Node": {"Node": "there", "Address": "10.0.0.1"}, "Service": SERVICE, "Checks": [CHECK]}


_REDIS = SMALLEST["redis_config"]
documents = json_like(
    SMALLEST,
    SMALLEST | {"redis_config": _REDIS | {"redis_password": None, "x": {"y": [1, None]}}},
    SMALLEST | {"redis_config": _REDIS | {"redis_host": "fe80::1%eth0"}, "show_message": "two\nlines"},
)
entries = json_like(ENTRY, ENTRY | {"replaced": None}, ENTRY | {"changes": []})
workers = json_like(WORKER, WORKER | {"reason": None, "reason_message": None, "state": "current"})


_WRITTEN = {"Results": [{"KV": {"Key": KEY, "ModifyIndex": 8}}, {"KV": {"Key": KEY, "ModifyIndex": 8}}], "Errors": None}
REFUSED = {"Results": None, "Errors": [{"OpIndex": 0, "What": "Permission denied"}, {"OpIndex": 1, "What": "index"}]}
_BY_PATH = {
    "/v1/txn": _WRITTEN,
    "/v1/agent/health/service/id/": {"AggregatedStatus": "passing", "Service": SERVICE, "Checks": [CHECK]},
    "/v1/agent/self": {"Member": {"Addr": "127.0.0.1"}},
    "/v1/health/service/": [CATALOG, CATALOG],
    "/v1/catalog/services": {"consul": [], "name": ["a", "b"]},
    "/v1/session/create": {"ID": "adf4238a-882b-9ddc-4a9d-5b6758e4159e"},
    "/v1/session/renew/": [{"ID": "adf4238a-882b-9ddc-4a9d-5b6758e4159e"}],
}


_DOCUMENT, _ENTRY, _WORKER = map(raw, (SMALLEST, ENTRY, WORKER))


class Change(NamedTuple):
    """How an answer differs from Consul's: what is done to its JSON, its head, its framing, and to all its bytes.

    `pieces` are the bytes of each part that is sent at once, `stays` whether the connection stays open after it.
    """

    body: object = ()
    status: bytes = b"200 OK"
    head: tuple = ()
    framing: str = "length"
    before: bytes = b""
    damage: tuple = ()
    cut: int | None = None
    pieces: int = 65_536
    pause: float = 0.0
    stays: bool = False

    def bytes_for(self, good):
        body = self.body if isinstance(self.body, bytes) else edited(good, self.body)
        head, body = _FRAMINGS[self.framing](body)
        lines = [b"HTTP/1.1 " + self.status, b"X-Consul-Index: 7", *self.head, head]
        raw = damaged(self.before + b"\r\n".join(line for line in lines if line) + b"\r\n\r\n" + body, self.damage)
        return raw if self.cut is None else raw[: self.cut % (len(raw) + 1)]


def _chunked(body, size=7, trailer=b""):
    pieces = [body[at : at + size] for at in range(0, len(body), size)][:2000]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


_CHUNKED = b"Transfer-Encoding: chunked"
_FRAMINGS = {
    "length": lambda body: (b"Content-Length: %d" % len(body), body),
    "chunked": lambda body: (_CHUNKED, _chunked(body)),
    "trailers": lambda body: (_CHUNKED, _chunked(body, 4096, b"X-Consul-Index: 9\r\nx\r\n: \r\n" * 50)),
    "until the end": lambda body: (b"", body),
    "too long": lambda body: (b"Content-Length: %d" % (len(body) + 5), body),
    "too short": lambda body: (b"Content-Length: %d" % (len(body) // 2), body),
    "endless": lambda body: (b"Content-Length: " + b"9" * 30, body),
    "twice": lambda body: (b"Content-Length: 3\r\n" + _CHUNKED, _chunked(body)),
    "negative": lambda body: (_CHUNKED, b"-5\r\n" + body),
    "zip": lambda body: (b"Content-Encoding: gzip\r\nContent-Length: %d" % len(body), body),
}
_HEAD = [
    *(b"X-Consul-Index: " + index for index in (b"", b"-1", b"0", b"1e3", b"9" * 5000, "٣".encode(), b"1_0", b"7, 8")),
    *(b"Connection: close", b"Location: http://127.0.0.1:1/", b": x", b" x", b"x", b"", b"X" * 70_000, b"A: \x00\xff"),
    *(
        b"\r\n".join([b"X-Header: x"] * 200),
        b"Transfer-Encoding: gzip",
        b"Content-Length: x",
        b"\r\n",
        b"Date: \x1b[31m",
    ),
]
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUSES = [
    *(
        b"200 OK",
        b"200",
        b"201 x",
        b"204 No Content",
        b"206 x",
        b"301 Moved",
        b"304 Not Modified",
        b"400 Bad",
        b"403 No",
    ),
    *(
        b"404 Not Found",
        b"409 Conflict",
        b"429 Slow",
        b"500 \x1b[31m\xff",
        b"503 x",
        b"999 x",
        b"99999 x",
        b"-1 x",
        b"",
        b"x",
    ),
]


def rarely(usual, strategy):
    return st.one_of(*[st.just(usual)] * 4, strategy)


changes = st.builds(
    Change,
    body=st.lists(edits, max_size=3).map(tuple) | st.lists(edits, min_size=1, max_size=3).map(tuple)
    | st.sampled_from([REFUSED, []]).flatmap(lambda v: st.lists(edits, max_size=2).map(lambda e: edited(v, e)))
    | st.binary(max_size=30),
    status=rarely(b"200 OK", st.sampled_from(_STATUSES)),
    head=rarely((), st.lists(st.sampled_from(_HEAD), max_size=3).map(tuple)),
    framing=rarely("length", st.sampled_from(sorted(_FRAMINGS))),
    before=rarely(b"", st.sampled_from([_CONTINUE, _CONTINUE * 2000, b"\r\n", b"\0", b"HTTP/2 200\r\n\r\n"])),
    damage=rarely((), damages.map(tuple)),
    cut=rarely(None, places),
    pieces=rarely(65_536, st.integers(1, 100)),
    pause=rarely(0.0, st.sampled_from([0.001, 0.001, 0.001, 0.02])),
    stays=st.sampled_from([False] * 60 + [True]),
)  # fmt: skip


class ScriptedAgent(Peer):
    """`script` has the changed answers by the number of the question, from 0; the others are as of these values."""

    def __init__(self, script, document=_DOCUMENT, history=(_ENTRY,), fleet=(_WORKER, _WORKER)):
        self._script, self._asked = script, 0
        self._values = {KEY: document}
        self._values |= {f"{KEY}.history/{SAVE_ID[:-1]}{number}": value for number, value in enumerate(history)}
        self._values |= {f"{KEY}.workers/a/{number}": value for number, value in enumerate(fleet, 1)}
        super().__init__(self._answer_all)

    def _answer_all(self, connection):
        while request := _received(connection):
            change = self._script.get(self._asked)
            self._asked += 1
            raw = (change or Change()).bytes_for(self._good(*request))
            size = max(change.pieces if change else len(raw), len(raw) // 50)
            for at in range(0, len(raw), size):
                connection.sendall(raw[at : at + size])
                if change and change.pause:
                    time.sleep(change.pause)
            if change and change.stays:
                connection.recv(1)  # until the client gives up
            if change:
                return

    def _good(self, method, uri):
        """What Consul would answer."""
        url = urlsplit(uri)
        if method == "PUT" or not url.path.startswith("/v1/kv/"):
            return next((answer for path, answer in _BY_PATH.items() if url.path.startswith(path)), True)
        key = url.path.removeprefix("/v1/kv/")
        below = [each for each in self._values if each.startswith(key)]
        if "keys=" in url.query:
            return below
        return [self._entry(each) for each in below if each == key or "recurse=" in url.query]

    def _entry(self, key):
        content = base64.b64encode(self._values[key]).decode()
        return {"Key": key, "Value": content, "ModifyIndex": 7, "Flags": 0, "Session": "held"}


def _received(connection):
    """The method and the URI of the next request, once it is there as a whole; nothing after the last one."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (piece := connection.recv(65_536)):
            return None
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (piece := connection.recv(65_536)):
        body += piece
    return head.decode("latin-1").split(" ", 2)[:2]


script_numbers = st.just([0]) | st.just([0]) | st.lists(st.integers(0, 3), min_size=1, max_size=3)
scripts = script_numbers.flatmap(lambda numbers: st.fixed_dictionaries(dict.fromkeys(numbers, changes)))

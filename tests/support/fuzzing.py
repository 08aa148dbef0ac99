"""Generated input that reaches deep: what is valid, with a part replaced by what has broken a parser somewhere."""

import contextlib
import json
import time
import tracemalloc
from typing import NamedTuple

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

MOST_CPU_SECONDS, MOST_MIB = 1.0, 64
QUICK_SHARE = 25

_LONG = 100_000
HOSTILE_TEXTS = [
    *("", " ", "\0", "\n", "\r\n", "\x1b[31m", "\u202e", "\ufeff", "\ud800", "\udfff\ud800", "\udcff", "é" * 300),
    *("0", "-1", "²", "٣", "1_0", "1e999", "NaN", "9" * 5000, "1e-400", str(2**63), "true", "null", "None"),
    *("%", "%s", "%(a)s", "%(path)s" * 100, "{0}", "<script>", "'\"&", "../..", "a.b", "__class__", "\\", "\\n"),
    *("://", "http://u:p@h/", "?password=x", "[::1", "[::1]:99999", "fe80::1%a]b", "x:0", ":", "@", ",", ";"),
]
LONG_TEXTS = [
    piece * (_LONG // len(piece)) for piece in ("x", "\0", "\u202e", "?", "://", "%(a)s", "1", "\n", "\\", "[[]],")
]
_HOSTILE_JSON = [
    *("null", "true", "0", "-1", "7", "1.5", "1e999", "-1e999", "NaN", "-Infinity", "1e-400", "-0.0", "9" * 5000),
    *(str(2**31), str(2**63), str(2**64), "1" + "0" * 400, '""', "[]", "{}", "[null]", "[[]]", '{"":null}', '["a",1]'),
    *('{"a":1,"a":2}', '{"template":"%(a)s","parameters":{"a":"x"}}', '"' + "A" * 5 + '"', '"YQ=="', '"7"', '["x"]'),
    *("[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900, "[" * 90 + "NaN" + "]" * 90, '"\\ud800"', '"\\udc00x"'),
    *("", "x", "tru", "'a'", '"\\x"', '"', "1,2", '"a":1', "]", "}", "[" * 5000, "\ud800", "\0", "01", "+1", ".5"),
    *(json.dumps(text) for text in HOSTILE_TEXTS),
]
_LONG_JSON = [
    *(json.dumps(text) for text in LONG_TEXTS),
    *("[" + ",".join([item] * (_LONG // 5)) + "]" for item in ("[]", "1", "NaN", '"\\ud800"', '{"a":1}')),
    "{" + ",".join(f'"{number}":{number}' for number in range(_LONG // 10)) + "}",
    *("[" * _LONG, "9" * _LONG),
]
# One in ten is long: most of what goes wrong goes wrong with little, and sooner.
texts = st.one_of(*[st.sampled_from(HOSTILE_TEXTS)] * 5, *[st.text(max_size=12)] * 4, st.sampled_from(LONG_TEXTS))
json_texts = st.one_of(*[st.sampled_from(_HOSTILE_JSON)] * 9, st.sampled_from(_LONG_JSON))
places = st.integers(0, 10_000)
damages = st.lists(st.tuples(places, st.integers(0, 6), st.binary(max_size=8)), max_size=2)


class Edit(NamedTuple):
    """One thing done to JSON: to the member at this place, counted round and round, with this text of JSON."""

    place: int
    kind: str
    text: str


edits = st.builds(Edit, places, st.sampled_from(["replace"] * 6 + ["name", "twice", "beside", "remove"]), json_texts)


def edited(value, changes):
    """The value as JSON, after these edits."""
    root = [_tree(value)]
    for place, kind, text in changes:
        holders = list(_holders(root))
        holder, at = holders[place % len(holders)]
        is_member = isinstance(holder, _Members)
        if kind == "remove":
            del holder[at]
        elif kind == "name" and is_member:
            holder[at] = (text, holder[at][1])
        elif kind == "twice" and is_member:
            holder.append((holder[at][0], text))
        elif kind == "beside":
            holder.append((json.dumps(f"beside{at}"), text) if is_member else text)
        else:
            holder[at] = (holder[at][0], text) if is_member else text
        root = root or ["null"]
    return ",".join(map(_text, root)).encode("utf-8", "surrogatepass")


class _Members(list):
    """An object: pairs of a name, as a text of JSON, and a value."""


def _tree(value):
    """Lists and objects that can be edited; whatever else as a text of JSON."""
    if isinstance(value, dict):
        return _Members((json.dumps(name), _tree(member)) for name, member in value.items())
    return list(map(_tree, value)) if isinstance(value, list) else json.dumps(value)


def _holders(node):
    """Every place of a value: the list or object that it is in, and where in there."""
    for at, item in enumerate(node):
        yield node, at
        inner = item[1] if isinstance(node, _Members) else item
        if isinstance(inner, list):
            yield from _holders(inner)


def _text(node):
    if isinstance(node, _Members):
        return "{" + ",".join(f"{name}:{_text(value)}" for name, value in node) + "}"
    return "[" + ",".join(map(_text, node)) + "]" if isinstance(node, list) else node


def damaged(raw, changes):
    """The bytes with parts cut out, and others put in."""
    for place, length, inserted in changes:
        at = place % (len(raw) + 1)
        raw = raw[:at] + inserted + raw[at + length :]
    return raw


def json_like(*valid):
    """JSON like one of these values, as bytes: one with a few edits, or damaged."""
    base = st.sampled_from(valid)
    some = st.builds(edited, base, st.lists(edits, min_size=1, max_size=3))
    broken = st.builds(lambda value, changes: damaged(json.dumps(value).encode(), changes), base, damages)
    return some | some | some | broken | st.binary(max_size=50)


class Target(NamedTuple):
    """What reads outside input: a function, what it may be given, and which errors are its own.

    `examples` are in `make soak`; `make test` has one in `QUICK_SHARE` of them. `found`: inputs that went wrong once.
    """

    read: object
    inputs: object
    errors: tuple = ()
    examples: int = 1_000
    found: tuple = ()


def examine(target, count):
    """Read so many inputs: none takes more than the bounds, and none raises what is not the target's own error.

    Returns the most CPU seconds and the most MiB that one took; both are traced, so the time is several times too long.
    """
    costs = []

    is_short = count < target.examples  # the same inputs each time; the full length has others at each run
    chosen = {"max_examples": count, "derandomize": is_short, "deadline": None, "database": None}

    @settings(**chosen, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def holds(value):
        costs.append(_costs(target, value))

    for value in target.found:
        holds = example(value)(holds)
    holds()
    return [max(each) for each in zip(*costs, strict=True)]


def _costs(target, value):
    """The CPU seconds and the MiB, which are within bounds."""
    tracemalloc.start()
    try:
        seconds = _cpu_seconds(target, value)
        taken = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert taken < MOST_MIB, f"{taken:.0f} MiB"
    if seconds > MOST_CPU_SECONDS:  # to trace takes several times as long
        seconds = _cpu_seconds(target, value)
        assert seconds < MOST_CPU_SECONDS, f"{seconds:.1f} s"
    return seconds, taken


def _cpu_seconds(target, value):
    """Of this thread: the peers have theirs."""
    began = time.thread_time()
    with contextlib.suppress(*target.errors):
        target.read(value)
    return time.thread_time() - began

"""From bytes to a `Document`, or to every fault at once."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import reduce
from itertools import islice
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ..bounded import json_fits
from ..messages import MASK, Message, _, joined, unforeseen
from .fields import Group, group_of, printable, short
from .model import FIELDS, Document

# Consul refuses a larger KV value: https://developer.hashicorp.com/consul/api-docs/kv#create-update-key
MAX_BYTES = 512 * 1024
MAX_DEPTH = 100  # the parser's own limit depends on the caller's stack
MAX_VALUES = 20_000  # what is made of 512 KiB of `{"a":{}},`, or of a fault in each of them, takes hundreds of MiB
MAX_FAULTS = 1000  # more help nobody and take seconds to write
_LONGEST_PATH = 400  # characters: every worker reports, stores and shows it
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
WHOLE_DOCUMENT = "(document)"
# A shorter one may be a word of any text. It is masked where its type says that it is a secret, and nowhere else.
SHORTEST_SECRET = 8


class Fault(NamedTuple):
    """One thing wrong with a document: the member's path and what is wrong. Never a value: it may be a secret."""

    path: str
    problem: Message

    @property
    def message(self) -> Message:
        return _("%(path)s: %(problem)s", path=self.path, problem=self.problem)

    def __str__(self) -> str:
        return str(self.message)


class DocumentInvalid(ValueError):
    """The document cannot be used; `faults` lists every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        self.message = joined(fault.message for fault in faults)
        super().__init__(self.message)


def parse(raw: bytes) -> Document:
    """Return the document that `raw` holds.

    Raises `DocumentInvalid` with every fault at once, each with its path, and nothing else.
    """
    value = _json(raw)
    faults = list(islice(_json_faults(value), MAX_FAULTS))
    faults += list(_conflicts(value, Document))
    try:
        document = Document.model_validate(value)
    except ValidationError as error:
        # The chain is cut on purpose: pydantic's error keeps the input, and the input may be a secret.
        found = error.errors(include_input=False, include_url=False)
        faults += [_fault(detail["loc"], _problem(detail)) for detail in found[:MAX_FAULTS]]
    except Exception as error:  # of a validator's own
        faults.append(Fault(WHOLE_DOCUMENT, unforeseen(error)))
    if faults:
        raise DocumentInvalid(_without_secrets(faults, value))
    return document


def parse_again(raw: bytes) -> Document:
    """The document of bytes that `parse` accepted before, in this process or another one; a third of the work."""
    return Document.model_validate_json(raw)


def _json(raw: bytes) -> Any:
    if not raw:
        raise _whole(_("is empty"))
    if len(raw) > MAX_BYTES:
        raise _whole(_("has %(bytes)s bytes, Consul's limit is %(limit)s", bytes=len(raw), limit=MAX_BYTES))
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _whole(_("starts with a byte order mark; save it as UTF-8 without one"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _whole(_("is not UTF-8 (byte %(byte)s)", byte=error.start)) from None
    if not json_fits(raw, MAX_VALUES, most_depth=len(raw)):
        raise _whole(_("has more than %(values)s values", values=MAX_VALUES))
    if not json_fits(raw, MAX_VALUES, MAX_DEPTH):
        raise _whole(_("is nested too deeply (more than %(levels)s levels)", levels=MAX_DEPTH))
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _whole(_not_json(error)) from None
    except ValueError:
        raise _whole(_("holds a number with too many digits")) from None
    if not isinstance(value, dict):
        raise _whole(_("must be a JSON object"))
    return value


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its names came more than once (RFC 8259, section 4)."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.duplicates: list[str] = []
        if len(self) < len(pairs):
            self.duplicates = [name for name, count in Counter(name for name, _value in pairs).items() if count > 1]


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=float)  # NaN and Infinity are faults with a path


def _json_faults(value: Any, path: tuple[int | str, ...] = ()) -> Iterator[Fault]:
    """Yield what JSON parsers let pass and the document does not."""
    if isinstance(value, _Object):
        yield from (_fault((*path, name), _("is there more than once")) for name in value.duplicates)
    for name, member in _members(value):
        if problem := _text_problem(name) or _text_problem(member) or _number_problem(member):
            yield _fault((*path, name), problem)
        if isinstance(member, (dict, list)):
            yield from _json_faults(member, (*path, name))


def _conflicts(value: Any, model: type[Group], path: tuple[str, ...] = ()) -> Iterator[Fault]:
    """What does not go together in a group that is there."""
    if not isinstance(value, dict):
        return
    given = {name: member for name, member in value.items() if name in model.model_fields and member is not None}
    yield from (_fault((*path, name), problem) for name, problem in model.conflicts(given))
    for name, member in given.items():
        if inner := group_of(model, name):
            yield from _conflicts(member, inner, (*path, name))


def _without_secrets(faults: list[Fault], value: Any) -> list[Fault]:
    """A member that nobody declared may be named like a secret of the document."""
    for path in (path for path, field in FIELDS.items() if field.secret):
        secret = reduce(
            lambda there, name: there.get(name) if isinstance(there, dict) else None, path.split("."), value
        )
        if isinstance(secret, str) and len(secret) >= SHORTEST_SECRET:
            shown = printable(secret)
            faults = [f if f.path in FIELDS else Fault(f.path.replace(shown, MASK), f.problem) for f in faults]
    return faults


def _members(value: Any) -> Iterable[tuple[int | str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value)


def _number_problem(value: Any) -> Message | None:
    finite = not isinstance(value, float) or math.isfinite(value)
    return None if finite else _("must be a finite number (NaN and Infinity are not JSON)")


def _text_problem(value: Any) -> Message | None:
    # "\ud83d" alone: JSON allows it, UTF-8 and so every page, log and Redis password cannot carry it.
    broken = isinstance(value, str) and _LONE_SURROGATE.search(value)
    return _("contains half of a surrogate pair, which is not text") if broken else None


def _fault(location: tuple[int | str, ...], problem: Message) -> Fault:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{printable(part)}" for part in location).lstrip(".")
    shown = path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH // 2]}...{path[-_LONGEST_PATH // 2 :]}"
    return Fault(shown or WHOLE_DOCUMENT, problem)


def _whole(problem: Message) -> DocumentInvalid:
    return DocumentInvalid([Fault(WHOLE_DOCUMENT, problem)])


def _not_json(error: json.JSONDecodeError) -> Message:
    place = {"line": error.lineno, "column": error.colno}
    return _("is not JSON: %(problem)s (line %(line)s, column %(column)s)", problem=error.msg, **place)


# By pydantic's type of error, with the names of its context: https://docs.pydantic.dev/latest/errors/validation_errors/
_PROBLEMS = {
    "missing": _("is missing"),
    "string_type": _("must be text"),
    "int_type": _("must be a whole number"),
    "int_from_float": _("must be a whole number"),
    "float_type": _("must be a number"),
    "bool_type": _("must be true or false"),
    "list_type": _("must be a list"),
    "model_type": _("must be a JSON object"),
    "literal_error": _("must be %(expected)s"),
    "greater_than_equal": _("must be at least %(ge)s"),
    "less_than_equal": _("must be at most %(le)s"),
    "greater_than": _("must be more than %(gt)s"),
    "less_than": _("must be less than %(lt)s"),
    "multiple_of": _("must be a multiple of %(multiple_of)s"),
    "string_too_short": _("must have at least %(min_length)s characters"),
    "string_too_long": _("must have at most %(max_length)s characters"),
    "too_short": _("must have at least %(min_length)s items"),
    "too_long": _("must have at most %(max_length)s items"),
    "string_pattern_mismatch": _("must match %(pattern)s"),
}


def _problem(detail: ErrorDetails) -> Message:
    """What is wrong in our own words; for a validator's own error in that one's."""
    kind, context = detail["type"], detail.get("ctx", {})
    if error := context.get("error"):  # raised by a validator: whatever is no message of ours may contain the value
        reason = error.args[0] if error.args else None
        return reason if isinstance(reason, Message) else unforeseen(error)
    if kind in ("too_short", "too_long") and context["field_type"] != "List":  # a secret's text
        kind = f"string_{kind}"
    template = _PROBLEMS.get(kind)
    if template is None:
        return _("is not valid: %(reason)s", reason=detail["msg"])
    return Message(template, **{name: short(value) for name, value in context.items() if f"%({name})s" in template})

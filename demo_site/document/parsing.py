"""The configuration document: typed models, and `parse()` from bytes to a `Document`. No I/O, no Django."""

import ipaddress
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

# Consul refuses a larger KV value: https://developer.hashicorp.com/consul/api-docs/kv#create-update-key
MAX_BYTES = 512 * 1024
MAX_DEPTH = 100  # the parser's own limit depends on the caller's stack
MAX_FAULTS = 1000  # of the kinds that an endless list can hold; more help nobody and take seconds to write
_LONGEST_PATH = 400  # characters: every worker says, stores and shows it
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
WHOLE_DOCUMENT = "(document)"


class Fault(NamedTuple):
    """One thing wrong with a document: the member's path and what is wrong. Never a value: it may be a secret."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class DocumentInvalid(ValueError):
    """The document cannot be used; `faults` lists every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(map(str, faults)))


def _network_host(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    if ":" in value:
        try:
            zone = ipaddress.IPv6Address(value).scope_id
        except ValueError:
            zone = ""
        if zone is not None and not re.fullmatch(r"[A-Za-z0-9_.-]{1,15}", zone):  # an interface, where there is one
            raise ValueError("must be a host name or an IP address, without a port")
    elif not re.fullmatch(r"[A-Za-z0-9_.-]{1,253}", value):
        raise ValueError("must be a host name or an IP address (letters, digits, dots, hyphens)")
    elif not all(0 < len(label) < 64 for label in value.removesuffix(".").split(".")):
        raise ValueError("must be a host name: 1 to 63 characters between its dots")  # a resolver refuses to ask
    return value


class _Members(BaseModel):
    # strict: "6379" is no port and true is no number. Unknown members are kept aside in model_extra.
    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Without the members that are not known: one may be a misspelt `redis_password`."""
        return [(name, value) for name, value in super().__repr_args__() if name in type(self).model_fields]


class RedisConfig(_Members):
    """The Redis server to count in. Frozen and comparable: equal values share a connection pool."""

    redis_host: Annotated[str, AfterValidator(_network_host)]
    redis_port: Annotated[int, Field(ge=1, le=65535)]
    redis_db: Annotated[int, Field(ge=0, le=2**31 - 1)]
    redis_password: SecretStr | None = None


class Document(_Members):
    """What the key holds. `ignored` are the members that this version does not know."""

    redis_config: RedisConfig
    show_message: str

    @property
    def ignored(self) -> dict[str, Any]:
        """Unknown members by path, for example ``{"redis_config.redis_pasword": "..."}``."""
        nested = {f"redis_config.{_printable(name)}": value for name, value in _extra(self.redis_config)}
        return {_printable(name): value for name, value in _extra(self)} | nested


def _extra(model: BaseModel) -> Iterator[tuple[str, Any]]:
    yield from (model.model_extra or {}).items()


def parse(raw: bytes) -> Document:
    """Return the document that `raw` holds.

    Raises `DocumentInvalid` with every fault at once, each with its path, and nothing else.
    """
    value = _json(raw)
    faults = list(islice(_json_faults(value), MAX_FAULTS))
    try:
        document = Document.model_validate(value)
    except ValidationError as error:
        # The chain is cut on purpose: pydantic's error keeps the input, and the input may be a secret.
        faults += [_fault(detail["loc"], detail["msg"]) for detail in error.errors(include_input=False)]
    if faults:
        raise DocumentInvalid(faults)
    return document


def parse_again(raw: bytes) -> Document:
    """The document of bytes that `parse` accepted before, in this process or another one; a third of the work."""
    return Document.model_validate_json(raw)


def _json(raw: bytes) -> Any:
    if not raw:
        raise _whole("is empty")
    if len(raw) > MAX_BYTES:
        raise _whole(f"has {len(raw)} bytes, Consul's limit is {MAX_BYTES}")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise _whole("starts with a byte order mark; save it as UTF-8 without one")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _whole(f"is not UTF-8 (byte {error.start})") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _whole(f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise _whole("is nested too deeply") from None
    except ValueError:
        raise _whole("holds a number with too many digits") from None
    if not isinstance(value, dict):
        raise _whole("must be a JSON object")
    return value


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its names came more than once (RFC 8259, section 4)."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.duplicates: list[str] = []
        if len(self) < len(pairs):
            self.duplicates = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]


_DECODER = json.JSONDecoder(object_pairs_hook=_Object, parse_constant=float)  # NaN and Infinity are told by path


def _json_faults(value: Any, path: tuple[int | str, ...] = ()) -> Iterator[Fault]:
    """Yield what JSON parsers let pass and the document does not."""
    if len(path) > MAX_DEPTH:
        raise _whole(f"is nested too deeply (more than {MAX_DEPTH} levels)")
    if isinstance(value, _Object):
        yield from (_fault((*path, name), "is there more than once") for name in value.duplicates)
    for name, member in _members(value):
        if problem := _text_problem(name) or _text_problem(member) or _number_problem(member):
            yield _fault((*path, name), problem)
        if isinstance(member, (dict, list)):
            yield from _json_faults(member, (*path, name))


def _members(value: Any) -> Iterable[tuple[int | str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value)


def _number_problem(value: Any) -> str:
    finite = not isinstance(value, float) or math.isfinite(value)
    return "" if finite else "must be a finite number (NaN and Infinity are not JSON)"


def _text_problem(value: Any) -> str:
    # "\ud83d" alone: JSON allows it, UTF-8 and so every page, log and Redis password cannot carry it.
    broken = isinstance(value, str) and _LONE_SURROGATE.search(value)
    return "holds half of a surrogate pair, which is no text" if broken else ""


def _fault(location: tuple[int | str, ...], message: str) -> Fault:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in location).lstrip(".")
    shown = path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH // 2]}...{path[-_LONGEST_PATH // 2 :]}"
    return Fault(shown or WHOLE_DOCUMENT, _sentence(message))


def _sentence(message: str) -> str:
    """Shorten pydantic's wording: after a path, "Input should be X" reads better as "should be X"."""
    message = re.sub("a valid dictionary.*", "a JSON object", message)  # it names Python's types
    return "is missing" if message == "Field required" else re.sub(r"^(Value error, |Input )", "", message)


def _printable(name: str) -> str:
    """Escape what a terminal, a log or UTF-8 could not carry, a lone surrogate for example, and cap the length."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= 100 else shown[:100] + "..."


def _whole(problem: str) -> DocumentInvalid:
    return DocumentInvalid([Fault(WHOLE_DOCUMENT, problem)])

"""What a declaration must be, and what follows from it. What cannot be shown fails when its class is made."""

import copy
import json
import re
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, SecretStr

from demo_site.document import fields, parsing
from demo_site.document.fields import DeclarationError, Group, Setting, fields_of
from demo_site.document.parsing import DocumentInvalid, parse, parse_again
from demo_site.messages import Message, _
from tests.support.documents import SMALLEST as SITE
from tests.support.own_settings import SMALLEST, own_model

S = Setting(_("Label"), "feeds")


class Inner(Group):
    a: Annotated[int, S] = 1


class Colour(Enum):
    RED = "red"


def declared(annotation, default=..., name="x"):
    """The fields of a group with one member."""
    members = {"__annotations__": {name: annotation}} | ({} if default is ... else {name: default})
    return list(fields_of(type("Made", (Group,), members)))


CANNOT_BE_SHOWN = "cannot show"
NULL = "Write `| None = None`"
NAME = "cannot use this name"


@pytest.mark.parametrize(
    ("annotation", "default", "sentence"),
    [
        *[(int, ..., "Annotated[TYPE, Setting("), (list[str], [], "Annotated[TYPE, Setting(")],
        *[(Annotated[kind, S], ..., CANNOT_BE_SHOWN) for kind in (dict, dict[str, str], list, set[str], Any, Colour)],
        *[(Annotated[list[kind], S], ..., CANNOT_BE_SHOWN) for kind in (int, SecretStr, str | None, list[str], Inner)],
        *[(Annotated[kind, S], ..., CANNOT_BE_SHOWN) for kind in (int | str, float | int, Literal["a", 1])],
        *[(Annotated[kind, S], ..., CANNOT_BE_SHOWN) for kind in (Literal[True], Literal["a", ""], bytes)],
        *[(Annotated[int | str | None, S], None, CANNOT_BE_SHOWN), (Annotated[None, S], None, CANNOT_BE_SHOWN)],
        *[(Annotated[int | None, S], ..., NULL), (Annotated[int | None, S], 5, NULL), (Inner | None, ..., NULL)],
        (Inner | None, Inner(), NULL),
        (Inner, Inner(), "Inner | None = None"),
        (Inner, None, "Inner | None = None"),
        *[(Annotated[int, Field(gt=5, lt=6), S], ..., "example=")],
        *[(Annotated[kind, Field(min_length=1), S], ..., "example=") for kind in (str, SecretStr, list[str])],
        (Annotated[str, Setting(_("Label"), "feeds", example=5)], ..., "example="),
        (Annotated[int, Field(alias="y"), S], 1, "alias"),
        (Annotated[int, Field(validation_alias="y"), S], 1, "alias"),
    ],
    ids=str,
)
def test_what_the_site_cannot_show_fails_with_a_sentence(annotation, default, sentence):
    with pytest.raises(DeclarationError) as caught:
        declared(annotation, default)
    assert str(caught.value).startswith("x: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", ["comment", "step", "base_index", "csrfmiddlewaretoken", "document", "a__b"])
def test_names_that_the_site_uses_are_refused(name):
    with pytest.raises(DeclarationError, match=f"^{name}: .*{NAME}"):
        declared(Annotated[int, S], 1, name)


def test_a_fault_in_a_group_is_named_by_its_path():
    class Outer(Group):
        inner: Inner | None = None

    Inner.model_fields["a"].annotation = dict
    try:
        with pytest.raises(DeclarationError, match=r"^inner\.a: "):
            list(fields_of(Outer))
    finally:
        Inner.model_fields["a"].annotation = int


@pytest.mark.parametrize(
    ("annotation", "bounds"),
    [
        (Annotated[int, Field(ge=1, le=9), S], (1, 9)),
        (Annotated[int, Field(gt=1, lt=9), S], (2, 8)),
        (Annotated[int, S, Field(ge=1)], (1, None)),
        (Annotated[Annotated[int, Field(ge=1)], Field(le=5), S], (1, 5)),
        (Annotated[float, Field(ge=0.5, lt=9), S], (0.5, 9)),
        (Annotated[str, S], (None, None)),
    ],
    ids=str,
)
def test_bounds_are_found_wherever_they_stand(annotation, bounds):
    [field] = declared(annotation)
    assert (field.least, field.most) == bounds
    [field] = declared(annotation | None, None)
    assert (field.least, field.most) == bounds


def test_a_secret_is_one_wherever_its_type_stands():
    for annotation in (
        Annotated[SecretStr | None, S],
        Annotated[SecretStr, Field(min_length=8), S] | None,
        Annotated[Annotated[SecretStr, Field(min_length=8)] | None, S],
    ):
        assert [field.secret for field in declared(annotation, None)] == [True]


def test_the_example_is_a_document(own):
    assert parse(json.dumps(fields.example(own.Document)).encode())


# The two parsers.


@pytest.fixture
def own(monkeypatch):
    """The model with a member of each type, in the place of the site's."""
    module = own_model()
    monkeypatch.setattr(parsing, "Document", module.Document)
    return module


COMPLETE = {
    "text_optional": "x",
    "text_lines": "a\nb",
    "text_default": "x",
    "int_default": 5,
    "int_optional": 1,
    "float_default": 2,
    "bool_off": True,
    "bool_on": False,
    "bool_optional": None,
    "secret_optional": None,
    "secret_bounded": "long enough",
    "choice_default": "fast",
    "choice_number": 2,
    "list_default": [],
    "list_optional": ["a"],
    "features": {"dark": True, "weight": 5},
    "limits": {"most": 1, "soft": False, "key": "k", "note": "n"},
    "first": {"second": {"third": {"name": "a"}}, "aside": {"third": {"name": "b", "token": "t"}}},
}
scalars = st.one_of(
    *[st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)],
    st.integers(2**50, 2**70).map(lambda number: number * 10**20),
    st.sampled_from([0, -1, 1, 2, 9, 10, 2.5, 5.0, 1e15, 1e22, 1e308, 10**400, "", "low", "fast", "\ud800", "\x00"]),
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner))


def paths(value, path=()):
    """The path of each member at any depth."""
    for name, member in value.items():
        yield (*path, name)
        if isinstance(member, dict):
            yield from paths(member, (*path, name))


DOCUMENT = SITE | SMALLEST | {"secret_required": "a secret"} | COMPLETE
PATHS = sorted(paths(DOCUMENT))


@pytest.mark.slow
@settings(deadline=None, database=None, max_examples=2_000, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.just(...) | values), max_size=3))
@example([])
@example([(("float_default",), 2.4999999999999996), (("float_required",), 9.999999999999998)])
@example([(("int_optional",), 10**400), (("float_required",), 1e-320)])
def test_both_parsers_make_the_same_of_whatever_one_accepts(own, changes):
    document = copy.deepcopy(DOCUMENT)
    for (*parents, name), value in changes:
        holder = document
        for parent in parents:
            holder = holder.get(parent) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(name, None)
            holder |= {} if value is ... else {name: value}
    raw = json.dumps(document).encode()
    try:
        parsed = parse(raw)
    except DocumentInvalid as error:
        for fault in error.faults:  # a worker publishes it, and others show it in their visitors' language
            assert Message.from_json(json.loads(json.dumps(fault.message.as_json()))) == fault.message
        return
    again = parse_again(raw)
    assert again == parsed
    assert exactly(again) == exactly(parsed)
    assert fields.given(again) == fields.given(parsed)
    assert fields.unknown(again) == fields.unknown(parsed)


def exactly(document):
    """The values with their types: 1 is not true, and 5 not 5.0."""
    plain = {path: getattr(value, "get_secret_value", lambda value=value: value)() for path, value in read(document)}
    return repr(plain)


def read(document):
    return fields.values(document).items()


# What is wrong, in our own words.


def problems(annotation, value):
    """What is said of a value, by path."""
    made = type("Made", (Group,), {"__annotations__": {"x": annotation}, "x": None})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parsing, "Document", made)
        with pytest.raises(DocumentInvalid) as caught:
            parse(json.dumps({"x": value}).encode())
    assert "s3cr3tV4lue" not in f"{caught.value!r}"
    return {fault.path: str(fault.problem) for fault in caught.value.faults}


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (Annotated[int, Field(ge=1), S], 0, "must be at least 1"),
        (Annotated[float, Field(ge=1), S], 0, "must be at least 1"),
        (Annotated[float, Field(lt=1234567.5), S], 1e9, "must be less than 1234567.5"),
        (Annotated[float, Field(gt=0.000001), S], 0, "must be more than 1e-06"),
        (Annotated[int, Field(multiple_of=5), S], 3, "must be a multiple of 5"),
        (Annotated[str, Field(max_length=2), S], "abc", "must have at most 2 characters"),
        (Annotated[SecretStr, Field(min_length=9), S], "short", "must have at least 9 characters"),
        (Annotated[list[str], Field(max_length=1), S], ["a", "b"], "must have at most 1 items"),
        (Annotated[Literal["a", "b"], S], "c", "must be 'a' or 'b'"),
        *[(Annotated[kind, S], True, "must be a whole number") for kind in (Literal[1, 2], Literal[1, 2] | None)],
        (Annotated[Literal[1, 2], S], 1.0, "must be a whole number"),
        (Annotated[str, Field(pattern="^a+$"), S], "b", "must match ^a+$"),
        (Annotated[bool, S], 1, "must be true or false"),
        (Annotated[int, S], True, "must be a whole number"),
        (Annotated[list[str], S], "abc", "must be a list"),
        (Annotated[SecretStr, S], 5, "must be text"),
    ],
    ids=str,
)
def test_a_problem_is_named_in_our_own_words(annotation, value, problem):
    assert problems(annotation, value) == {"x": problem}


def test_a_problem_of_an_item_is_named_with_its_place():
    items = list[Annotated[str, Field(min_length=2)]]
    assert problems(Annotated[items, S], ["ab", "c"]) == {"x[1]": "must have at least 2 characters"}


def of_its_own(value):
    raise ValueError(_("must be another %(thing)s", thing="thing"))


def without_words(value):
    raise ValueError


def with_the_value(value):
    raise ValueError(f"cannot read {value}")


def with_an_assertion(value):
    assert not value, f"cannot read {value}"


def unforeseen(value):
    raise KeyError(value)


@pytest.mark.parametrize("kind", [str, SecretStr])
def test_a_validator_is_quoted_only_where_it_speaks_in_a_message(kind):
    def said(validator):
        return problems(Annotated[kind, AfterValidator(validator), S], "s3cr3tV4lue")

    assert said(of_its_own) == {"x": "must be another thing"}
    for validator in (without_words, with_the_value):
        assert re.fullmatch(r"an unexpected ValueError at test_fields\.py:\d+", said(validator)["x"])
    assert re.fullmatch(r"an unexpected AssertionError at test_fields\.py:\d+", said(with_an_assertion)["x"])
    assert re.fullmatch(r"an unexpected KeyError at \w+\.py:\d+", said(unforeseen)["(document)"])

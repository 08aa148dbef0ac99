"""How a setting is declared, and what follows from its declaration.

A member of a group is one line: its type with bounds, and a `Setting` beside it for people.

    redis_port: Annotated[int, Field(ge=1, le=65535), Setting(_("Redis port"), feeds=LOCATION)]

Types that work: str, int, float, bool, SecretStr, Literal of texts or of whole numbers, list[str]; each required, with
a default, or with `| None = None`; and groups of them, required or with `| None = None`. Anything else, and a member
without a `Setting`, raises `DeclarationError` when its class is made.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, SecretStr, ValidationError
from pydantic_core import CoreSchema, core_schema

from ..messages import Message

_KINDS: dict[Any, type] = {str: str, int: int, float: float, bool: bool, SecretStr: str}
# The admin's form has fields of these names, and the first row of the effective configuration is "document".
_TAKEN = ("comment", "step", "base_index", "base_shown", "save_id", "csrfmiddlewaretoken", "document")


class DeclarationError(TypeError):
    """A member is declared in a way that the site cannot show or edit; the text says what to write."""


@dataclass(frozen=True)
class Setting:
    """What people need to know of a member: its label, what it feeds, and whether a text may have several lines.

    `example` stands in the example of a document, which has the required members and those that have one. In a group
    with a secret: `moves_secrets` says whether another value may send it elsewhere, as another host does (see
    `destination`), and `names_secret` that the value is the place of a secret, as the path of a file that has it.
    """

    label: Message
    feeds: str
    multiline: bool = False
    example: Any = None
    moves_secrets: bool = True
    names_secret: bool = False

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """As pydantic has it, but true and 1.0 are no whole numbers in a Literal either."""
        schema = handler(source)
        literal: Any = schema["schema"] if schema["type"] == "nullable" else schema
        if literal["type"] == "literal" and isinstance(literal["expected"][0], int):
            strict = core_schema.chain_schema([core_schema.int_schema(strict=True), literal])
            return strict if literal is schema else core_schema.nullable_schema(strict)
        return schema


@dataclass(frozen=True)
class SettingField:
    """One setting at its dotted path, as its declaration says.

    `kind` is str, int, float, bool or list (of texts); a `secret` is a text. `choices` are the values of a Literal.
    `least` and `most` bound a number, None where it is not bounded. `required`: every document has it. `optional_group`
    is the prefix of the paths in the innermost group that may stay away with it, empty if there is none. `default` is
    what an absent member stands for in a group that is there.
    """

    path: str
    declared: Setting
    kind: type
    secret: bool
    required: bool
    optional_group: str
    default: Any
    choices: tuple[Any, ...]
    least: Any
    most: Any

    @property
    def example(self) -> Any:
        if self.declared.example is not None:
            return self.declared.example
        if self.choices:
            return self.choices[0]
        return (self.least or 0) if self.kind in (int, float) else self.kind()


class Group(BaseModel):
    """A JSON object of the document. Frozen and comparable: equal values share what is made of them.

    `class X(Group, probe="module.function")` names what must hold before its values may rule: a function that takes
    the group and returns what it finds wrong, each a path below the group and a message.
    """

    # strict: "6379" is no port and true is no number. Unknown members are kept aside in model_extra.
    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)

    __probe__: ClassVar[str] = ""

    def __init_subclass__(cls, probe: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__probe__ = probe

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        try:
            cls.model_validate(example(cls))
        except ValidationError as error:
            path = ".".join(map(str, error.errors()[0]["loc"]))
            raise DeclarationError(f"{path}: a required setting needs an example: Setting(..., example=...)") from None

    @classmethod
    def conflicts(cls, given: Mapping[str, Any]) -> Iterable[tuple[str, Message]]:
        """What does not go together among the members that are there, valid or not: names below the group, and why."""
        return ()

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Without the members that are not known: one may be a misspelt secret."""
        return [(name, value) for name, value in super().__repr_args__() if name in type(self).model_fields]


def groups(group: Group, prefix: str = "") -> Iterator[tuple[str, Group]]:
    """The group and those in it, each with the prefix of its members' paths."""
    yield prefix, group
    for name in type(group).model_fields:
        if isinstance(member := getattr(group, name), Group):
            yield from groups(member, f"{prefix}{name}.")


def values(group: Group) -> dict[str, Any]:
    """Each setting's value by path: its default where it is absent, None in a group that is. Secrets as `SecretStr`."""
    return {field.path: short(_value_at(group, field.path)) for field in fields_of(type(group))}


def _value_at(group: Any, path: str) -> Any:
    return reduce(lambda holder, name: getattr(holder, name, None), path.split("."), group)


def short(value: Any) -> Any:
    """A number as people write it: 5, where it is 5.0."""
    return int(value) if isinstance(value, float) and repr(value).endswith(".0") else value


def given(group: Group) -> dict[str, Any]:
    """The settings that are there, as `values` has them; the others are at their defaults."""
    there = {
        prefix + name
        for prefix, holder in groups(group)
        for name in holder.model_fields_set & set(type(holder).model_fields)
    }
    return {path: value for path, value in values(group).items() if path in there}


def unknown(group: Group) -> dict[str, Any]:
    """The members that no declaration knows, by path, for example ``{"redis_config.redis_pasword": "..."}``."""
    extra = [(prefix, holder.model_extra or {}) for prefix, holder in groups(group)]
    return {prefix + printable(name): value for prefix, members in extra for name, value in members.items()}


def group_of(model: type[Group], name: str) -> type[Group] | None:
    """The group that this member is, if it is one."""
    return _group(_unwrapped(model.model_fields[name].annotation)[0])


def destination(fields: Mapping[str, SettingField], secret: str) -> list[SettingField]:
    """Where the secret at this path goes: what stands beside it, in the member of the document that it is in.

    A secret that is a member of the document itself has none.
    """
    member, inside, _name = secret.partition(".")
    beside = [field for path, field in fields.items() if inside and path.startswith(f"{member}.")]
    return [field for field in beside if field.declared.moves_secrets and not field.secret]


def printable(name: str) -> str:
    """A member's name, short, and without what a terminal, a log or UTF-8 could not carry: half a surrogate pair."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= 100 else shown[:100] + "..."


def example(model: type[Group]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields_of(model):
        if field.required or field.declared.example is not None:
            put(found, field.path, field.example)
    complete(model, found)
    return found


def put(members: dict[str, Any], path: str, value: Any) -> None:
    """Set a member of a JSON object, with the groups that it is in."""
    *parents, name = path.split(".")
    for parent in parents:
        if not isinstance(members.get(parent), dict):
            members[parent] = {}
        members = members[parent]
    members[name] = value


def complete(model: type[Group], members: dict[str, Any]) -> None:
    """Put the required groups in that are not there: nobody edits a group, only what is in it."""
    for name, info in model.model_fields.items():
        if inner := group_of(model, name):
            if info.is_required():
                members.setdefault(name, {})
            if isinstance(members.get(name), dict):
                complete(inner, members[name])


def fields_of(model: type[Group], prefix: str = "", optional_group: str = "") -> Iterator[SettingField]:
    """Every setting of a group and of the groups in it, in their order. Raises `DeclarationError`."""
    for name, info in model.model_fields.items():
        path, is_required = prefix + name, info.is_required()
        kind, nullable, beside = _unwrapped(info.annotation, info.metadata)
        default = None if is_required else info.get_default(call_default_factory=True)
        if path in _TAKEN or "__" in name or info.validation_alias:
            raise DeclarationError(f"{path}: the site cannot use this name. Write another one: no `__` in it, no alias")
        if nullable and (is_required or default is not None):
            raise DeclarationError(f"{path}: what may be null is null where it is absent. Write `| None = None`")
        if inner := _group(kind):
            if not (nullable or is_required):
                raise DeclarationError(f"{path}: a group that may be absent is written `{kind.__name__} | None = None`")
            yield from fields_of(inner, f"{path}.", optional_group if is_required else f"{path}.")
        else:
            yield _field(path, kind, beside, is_required and not optional_group, optional_group, short(default))


def _unwrapped(annotation: Any, beside: Iterable[Any] = ()) -> tuple[Any, bool, list[Any]]:
    """A member's type without Annotated and None, whether it had None, and what stood beside it."""
    nullable = False
    while (origin := get_origin(annotation)) in (Annotated, Union, UnionType):
        first, *more = [part for part in get_args(annotation) if part is not NoneType]
        if origin is Annotated:
            beside = [*beside, *more]
        elif more:
            break  # a union of several types
        annotation, nullable = first, nullable or origin is not Annotated
    return annotation, nullable, [part for one in beside for part in getattr(one, "metadata", [one])]


def _group(kind: Any) -> type[Group] | None:
    return kind if isinstance(kind, type) and issubclass(kind, Group) else None


def _field(
    path: str, annotation: Any, beside: list[Any], required: bool, optional_group: str, default: Any
) -> SettingField:
    declared = next((one for one in beside if isinstance(one, Setting)), None)
    if declared is None:
        raise DeclarationError(
            f"{path}: the site does not know how to show it. Write "
            f'{path.rpartition(".")[2]}: Annotated[TYPE, Setting(_("its label"), feeds="what it feeds")]'
        )
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    kind = _kind(annotation, choices)
    if kind is None:
        raise DeclarationError(
            f"{path}: the site cannot show {annotation}. Declare a str, int, float, bool, SecretStr, a Literal of "
            "texts or of whole numbers, list[str], or a Group; each may have a default or be `| None = None`"
        )
    found = ((name, getattr(one, name, None)) for one in beside for name in ("ge", "gt", "le", "lt"))
    bounds = {name: bound for name, bound in found if bound is not None}
    step = 1 if kind is int else 0  # an exclusive bound of a whole number is the next number inside
    least = bounds.get("ge", bounds["gt"] + step if "gt" in bounds else None)
    most = bounds.get("le", bounds["lt"] - step if "lt" in bounds else None)
    is_secret = annotation is SecretStr
    return SettingField(path, declared, kind, is_secret, required, optional_group, default, choices, least, most)


def _kind(annotation: Any, choices: tuple[Any, ...]) -> type | None:
    if choices:
        kinds = {type(choice) for choice in choices}
        return kinds.pop() if kinds in ({str}, {int}) and "" not in choices else None
    if get_origin(annotation) is list:
        return list if _unwrapped(*get_args(annotation))[:2] == (str, False) else None
    return _KINDS.get(annotation)

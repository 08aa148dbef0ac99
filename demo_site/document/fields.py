"""How a setting is declared, and what follows from its declaration.

A member of a group is one line: its type with bounds, and a `Setting` beside it for people.

    redis_port: Annotated[int, Field(ge=1, le=65535), Setting(_("Redis port"), feeds=LOCATION)]

Types that work: str, int, float, bool, SecretStr, Literal of texts or of whole numbers, list[str]; each required, with
a default, or with `| None`; and groups of them, required or with `| None = None`. Anything else, and a member without
a `Setting`, raises `DeclarationError` when its class is made.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr
from pydantic.fields import FieldInfo

from ..messages import Message

_PLAIN = (str, int, float, bool)
_TAKEN = ("comment", "step", "base_index", "base_shown", "save_id")  # the admin's form has fields of these names


class DeclarationError(TypeError):
    """A member is declared in a way that the site cannot show or edit; the text says what to write."""


@dataclass(frozen=True)
class Setting:
    """What people need to know of a member: its label, what it feeds, and whether a text may have several lines.

    `example` stands in the example of a document, which has the required members only.
    """

    label: Message
    feeds: str
    multiline: bool = False
    example: Any = None


@dataclass(frozen=True)
class SettingField:
    """One setting at its dotted path, as its declaration says.

    `kind` is str, int, float, bool or list (of texts); a `secret` is a text. `choices` are the values of a Literal.
    `least` and `most` bound a number, both included, None where it is not bounded. `required`: every document has it.
    `default` is what an absent one stands for; None in a group that is not there.
    """

    path: str
    declared: Setting
    kind: type
    secret: bool
    required: bool
    default: Any
    choices: tuple[Any, ...] = ()
    least: Any = None
    most: Any = None

    @property
    def example(self) -> Any:
        """A value that the member may have."""
        if self.declared.example is not None:
            return self.declared.example
        if self.choices:
            return self.choices[0]
        return self.kind(self.least or 0) if self.kind in (int, float) else self.kind()


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
        for _field in fields_of(cls):
            pass  # raises where a member is not declared

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
    """Each setting's value by path, the default where the member is absent. A secret is a `SecretStr`."""
    return {field.path: _value_at(group, field) for field in fields_of(type(group))}


def given(group: Group) -> frozenset[str]:
    """The paths of the members that are there; the other settings are at their defaults."""
    return frozenset(
        prefix + name
        for prefix, holder in groups(group)
        for name in holder.model_fields_set & set(type(holder).model_fields)
    )


def example(model: type[Group]) -> dict[str, Any]:
    """The smallest document, to start from."""
    found: dict[str, Any] = {}
    for field in fields_of(model):
        if field.required:
            *parents, name = field.path.split(".")
            holder = found
            for parent in parents:
                holder = holder.setdefault(parent, {})
            holder[name] = field.example
    return found


def unknown(group: Group) -> dict[str, Any]:
    """The members that no declaration knows, by path, for example ``{"redis_config.redis_pasword": "..."}``."""
    return {prefix + printable(name): value for prefix, holder in groups(group) for name, value in _extra(holder)}


def _extra(group: Group) -> Iterable[tuple[str, Any]]:
    return (group.model_extra or {}).items()


def printable(name: str) -> str:
    """A member's name, short, and without what a terminal, a log or UTF-8 could not carry: half a surrogate pair."""
    shown = name if name.isprintable() else ascii(name)[1:-1]
    return shown if len(shown) <= 100 else shown[:100] + "..."


def fields_of(model: type[Group], prefix: str = "", required: bool = True) -> Iterator[SettingField]:
    """Every setting of a group and of the groups in it, in their order. Raises `DeclarationError`."""
    for name, info in model.model_fields.items():
        path = prefix + name
        if path in _TAKEN or "__" in name:
            raise DeclarationError(f"{path}: the admin's form cannot have a field of this name. Call it something else")
        declared = _unwrapped(info.annotation, info.metadata)
        if isinstance(declared.type, type) and issubclass(declared.type, Group):
            _require_absence(path, declared, info)
            yield from fields_of(declared.type, f"{path}.", required and info.is_required())
        else:
            yield _field(path, declared, info, required and info.is_required())


class _Declared(NamedTuple):
    """A member's type without Annotated and None, and what stood beside it."""

    type: Any
    beside: list[Any]
    nullable: bool


def _unwrapped(annotation: Any, beside: list[Any]) -> _Declared:
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            beside = [*beside, *more]
        elif get_origin(annotation) in (Union, UnionType) and NoneType in get_args(annotation):
            kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
            annotation, nullable = kinds[0] if len(kinds) == 1 else Union[tuple(kinds)], True  # noqa: UP007
        else:
            inner = [part for one in beside for part in (one.metadata if isinstance(one, FieldInfo) else [one])]
            return _Declared(annotation, inner, nullable)


def _field(path: str, declared: _Declared, info: FieldInfo, required: bool) -> SettingField:
    setting = next((one for one in declared.beside if isinstance(one, Setting)), None)
    if setting is None:
        raise DeclarationError(
            f"{path}: the site does not know how to show it. Write "
            f'{path.rpartition(".")[2]}: Annotated[TYPE, Setting(_("its label"), feeds="what it feeds")]'
        )
    choices = get_args(declared.type) if get_origin(declared.type) is Literal else ()
    kind = _kind(declared.type, choices)
    if kind is None:
        raise DeclarationError(
            f"{path}: the site cannot show {declared.type}. Declare a str, int, float, bool, SecretStr, a Literal of "
            "texts or of whole numbers, list[str], or a Group; each may have a default or be `| None`"
        )
    if info.is_required() and declared.nullable:
        raise DeclarationError(f"{path}: what may be null may be absent as well. Give it a default: `= None`")
    least, most = _bounds(declared.beside, kind)
    return SettingField(
        path=path,
        declared=setting,
        kind=kind,
        secret=declared.type is SecretStr,
        required=required,
        default=None if info.is_required() else info.get_default(call_default_factory=True),
        choices=choices,
        least=least,
        most=most,
    )


def _kind(annotation: Any, choices: tuple[Any, ...]) -> type | None:
    if choices:
        kinds = {type(choice) for choice in choices}
        return kinds.pop() if kinds in ({str}, {int}) else None
    if annotation is SecretStr:
        return str
    if get_origin(annotation) is list:
        return list if _unwrapped(get_args(annotation)[0], [])[::2] == (str, False) else None
    return annotation if annotation in _PLAIN else None


def _bounds(beside: list[Any], kind: type) -> tuple[Any, Any]:
    """Those of a number; an exclusive one of a whole number is the next number inside."""
    step = 1 if kind is int else 0

    def bound(inclusive: str, exclusive: str, inside: int) -> Any:
        for one in beside:
            if (value := getattr(one, inclusive, None)) is not None:
                return value
            if (value := getattr(one, exclusive, None)) is not None:
                return value + inside
        return None

    return bound("ge", "gt", step), bound("le", "lt", -step)


def _require_absence(path: str, declared: _Declared, info: FieldInfo) -> None:
    """A group that is not required may stay away, and as nothing else than None: its members have the defaults."""
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    if declared.nullable == info.is_required() or default is not None:
        name = declared.type.__name__
        raise DeclarationError(f"{path}: a group that may stay away is declared `{name} | None = None`")


def _value_at(group: Group, field: SettingField) -> Any:
    value: Any = group
    for name in field.path.split("."):
        if value is None:
            return field.default
        value = getattr(value, name)
    return value

"""The settings of a document, read from its models: what a form, a diff or a table needs to know of each."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from .parsing import Document


@dataclass(frozen=True)
class Setting:
    """One setting at its dotted path. `kind` is str, int, float or bool; `least` and `most` bound a number."""

    path: str
    kind: type
    secret: bool
    optional: bool
    least: int | None = None
    most: int | None = None


@functools.cache
def settings() -> tuple[Setting, ...]:
    """Every setting that the models know, in their order."""
    return tuple(_settings(Document))


def values(document: Document) -> dict[str, Any]:
    """Each setting's value by path; a secret stays a `SecretStr`."""
    return {setting.path: _value_at(document, setting.path) for setting in settings()}


def _value_at(document: Document, path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind is not NoneType]
        kind = kinds[0]
        if not isinstance(kind, type):
            continue  # no plain value: it stays as it is stored
        if issubclass(kind, BaseModel):
            yield from _settings(kind, f"{prefix}{name}.")
        elif issubclass(kind, SecretStr):
            yield Setting(prefix + name, str, secret=True, optional=not field.is_required())
        elif kind in (str, int, float, bool):
            least, most = _bound(field, "ge"), _bound(field, "le")
            yield Setting(prefix + name, kind, secret=False, optional=not field.is_required(), least=least, most=most)


def _bound(field: FieldInfo, name: str) -> int | None:
    return next((getattr(limit, name) for limit in field.metadata if hasattr(limit, name)), None)

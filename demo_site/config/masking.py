"""Settings as people may see them: secrets masked, and what differs between two documents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from ..document import fields
from ..document.parsing import Document
from ..environment import Environment
from ..monitoring.effective import Masker, environment_secrets


@dataclass(frozen=True)
class Shown:
    """A setting's value; `withheld` where a mask stands in its place. None: not set."""

    value: Any
    withheld: bool = False


Settings = Mapping[str, Shown]


@dataclass(frozen=True)
class Difference:
    """One setting before and after a change."""

    setting: str
    before: Shown
    after: Shown


def masker(environment: Environment, values: Iterable[Any]) -> Masker:
    """Knows the secrets of the environment, and each `SecretStr` among the values."""
    given = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    return Masker([*environment_secrets(environment), *given])


def shown(document: Document, masks: Masker) -> Settings:
    """The document's settings by path."""
    return shown_values(fields.values(document), masks)


def shown_values(values: Mapping[str, Any], masks: Masker) -> Settings:
    """These settings, as people may see them."""
    return {path: _shown(value, masks) for path, value in values.items()}


def _shown(value: Any, masks: Masker) -> Shown:
    if isinstance(value, SecretStr):
        return Shown(masks.mask(value.get_secret_value()), withheld=True)
    cleaned = masks.clean(value)
    return Shown(cleaned, withheld=cleaned != value)


def differences(before: Settings, after: Settings) -> list[Difference]:
    """What changed, in the order of the settings. A changed secret shows by its fingerprint."""
    unset = Shown(None)
    paths = dict.fromkeys([*after, *before])
    pairs = [Difference(path, before.get(path, unset), after.get(path, unset)) for path in paths]
    return [pair for pair in pairs if pair.before != pair.after]

"""A three-way merge: what the visitor changed, what somebody else changed meanwhile, and a form that has both."""

import json
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from ..config.changes import SECRETS
from ..config.masking import UNSET, Masker, Settings, Shown, Value, show
from ..document.fields import SettingField, destination
from ..document.model import FIELDS
from .forms import ConfigurationForm, as_stored, field_name, is_ticked, typed_unseen

_DUMPED = TypeAdapter(dict[str, tuple[Value, bool]])


@dataclass(frozen=True)
class Conflict:
    """A setting that somebody has changed: `mine` is None where it was not the visitor, `both` where both were."""

    setting: str
    before: Shown
    theirs: Shown
    mine: Shown | None

    @property
    def both(self) -> bool:
        """Whether somebody has to choose."""
        return self.mine is not None and self.theirs not in (self.before, self.mine)


def dumped(shown: Settings) -> str:
    """The settings as a form carries them along, to know later what the visitor has changed."""
    return json.dumps({path: [value.value, value.withheld] for path, value in shown.items()})


def loaded(text: str) -> Settings:
    """The inverse; empty when the text is not what `dumped` wrote."""
    try:
        found = _DUMPED.validate_json(text, strict=True)
    except ValidationError:
        return {}
    return {path: Shown(value, withheld) for path, (value, withheld) in found.items()}


def choice_name(path: str) -> str:
    """The form's name for whose value is to hold: "theirs" or "mine"."""
    return f"{field_name(path)}__choice"


def given_up(data: Mapping[str, str]) -> frozenset[str]:
    """The settings for which the visitor takes what is stored, whatever was typed."""
    return frozenset(path for path in FIELDS if data.get(choice_name(path)) == "theirs")


def find(form: ConfigurationForm, before: Settings, masks: Masker, theirs: Collection[str] = ()) -> list[Conflict]:
    """Every setting that was changed; `form` has what the visitor typed and starts from the new document.

    What was typed in those that are `theirs` was given up.
    """
    now, found = form.origin.shown, []
    for path, setting in FIELDS.items():
        was = before.get(path, now[path])
        mine = None if path in theirs else _typed(form, setting, was, masks)
        found.append(Conflict(path, was, now[path], mine))
    return [conflict for conflict in found if conflict.mine is not None or conflict.theirs != conflict.before]


def reset(form: ConfigurationForm, paths: Iterable[str]) -> dict[str, str]:
    """The visitor's data with these settings as they are in the document that the form starts from."""
    result, untouched = dict(form.data), ConfigurationForm(form.origin)
    for path in paths:
        name = field_name(path)
        field = untouched.fields[name]
        value = field.prepare_value(field.initial)
        result[name] = "" if value is None else str(value)
        for of_it in (f"{name}__kept", f"{name}__discard", f"{name}__remove", choice_name(path)):
            result.pop(of_it, None)
    return result


def forgotten(typed: Iterable[str], moved: Set[str]) -> list[str]:
    """The secrets among what the visitor `typed` whose destination is among what somebody else has `moved`."""
    return [path for path in typed if path in SECRETS and moved & {place.path for place in destination(FIELDS, path)}]


def _typed(form: ConfigurationForm, setting: SettingField, was: Shown, masks: Masker) -> Shown | None:
    """What the visitor made of the setting, None where it was left as it `was`."""
    name = field_name(setting.path)
    field = form.fields[name]
    if unseen := typed_unseen(form.data, form.origin.session).get(setting.path):
        return show(unseen if setting.secret else field.to_python(unseen), masks)
    if is_ticked(form.data, f"{name}__remove"):
        return UNSET
    typed = field.widget.value_from_datadict(form.data, {}, name)
    began = setting.default if was == UNSET else was.value
    if setting.secret or was.withheld or not field.has_changed(began, typed):
        return None
    return show(as_stored(setting, field.to_python(typed)), masks)

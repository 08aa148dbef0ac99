"""A three-way merge: what the visitor changed, what somebody else changed meanwhile, and a form that has both."""

import json
from collections.abc import Iterable
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


def find(form: ConfigurationForm, before: Settings, masks: Masker) -> list[Conflict]:
    """Every setting that was changed; `form` has what the visitor typed and starts from the new document."""
    now = form.origin.shown
    found = [
        Conflict(path, was := before.get(path, now[path]), now[path], _typed(form, setting, was, masks))
        for path, setting in FIELDS.items()
    ]
    return [conflict for conflict in found if conflict.mine is not None or conflict.theirs != conflict.before]


def carried_over(form: ConfigurationForm, conflicts: Iterable[Conflict]) -> dict[str, str]:
    """The visitor's data where the visitor changed something, and else the new document's."""
    result = dict(form.data)
    mine = {conflict.setting for conflict in conflicts if conflict.mine is not None}
    for path in FIELDS.keys() - mine:
        field = form.fields[field_name(path)]
        value = field.prepare_value(field.initial)
        result[field_name(path)] = "" if value is None else str(value)
    return result


def forgotten(conflicts: Iterable[Conflict]) -> list[str]:
    """The secrets that the visitor typed for a destination which somebody else has changed meanwhile."""
    listed = list(conflicts)
    moved = {conflict.setting for conflict in listed if conflict.mine is None}
    typed = [conflict.setting for conflict in listed if conflict.mine not in (None, UNSET)]
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

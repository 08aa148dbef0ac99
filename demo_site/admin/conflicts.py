"""A three-way merge: what the visitor changed, what somebody else changed meanwhile, and a form that has both."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError

from ..config.changes import REMOVED
from ..config.masking import UNSET, Masker, Settings, Shown
from ..document.fields import SettingField
from ..document.model import FIELDS
from .forms import ConfigurationForm, as_stored, field_name, is_ticked, typed_secrets


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
        return {path: Shown(value, withheld) for path, (value, withheld) in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


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
    for path, shown in form.origin.shown.items():
        name = field_name(path)
        if path not in mine and not shown.withheld:
            value = form.fields[name].prepare_value(form.fields[name].initial)
            result[name] = "" if value is None else str(value)
    return result


def _typed(form: ConfigurationForm, setting: SettingField, was: Shown, masks: Masker) -> Shown | None:
    """What the visitor made of the setting, None where it was left as it `was`."""
    name = field_name(setting.path)
    if secret := typed_secrets(form.data, form.origin.session).get(setting.path):
        return Shown(masks.mask(secret.get_secret_value()), withheld=True)
    if is_ticked(form.data, f"{name}__remove"):
        return UNSET
    if form.origin.is_write_only(setting) or was.withheld:
        return None
    field = form.fields[name]
    typed = field.widget.value_from_datadict(form.data, {}, name)
    began = setting.default if was == UNSET else was.value
    if not field.has_changed(began.replace("\r\n", "\n") if isinstance(began, str) else began, typed):
        return None
    value = as_stored(setting, _parsed(field, typed))
    return UNSET if value is REMOVED else Shown(masks.clean(value))


def _parsed(field: Any, typed: Any) -> Any:
    """As a value of the setting, so that it can be compared with what others put; else as it was typed."""
    try:
        return field.clean(typed)
    except ValidationError:
        return typed

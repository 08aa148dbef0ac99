"""Two changes at once: what the visitor changed, what somebody else changed meanwhile, and a form that has both."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.forms import Field

from ..config.masking import Settings, Shown
from ..document import fields
from ..monitoring.effective import Masker
from .forms import ConfigurationForm, field_name, is_ticked, typed_secrets


@dataclass(frozen=True)
class Clash:
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


def find(form: ConfigurationForm, before: Settings, masks: Masker) -> list[Clash]:
    """Every setting that was changed; `form` holds what the visitor typed and starts from the new document."""
    now, mine = form.origin.shown, _typed(form, before, masks)
    paths = [setting.path for setting in fields.settings()]
    clashes = [Clash(path, before.get(path, now[path]), now[path], mine.get(path)) for path in paths]
    return [clash for clash in clashes if clash.mine is not None or clash.theirs != clash.before]


def carried_over(data: Mapping[str, str], clashes: Iterable[Clash], shown: Settings) -> dict[str, str]:
    """The visitor's data where the visitor changed something, and else the new document's."""
    result = dict(data)
    mine = {clash.setting for clash in clashes if clash.mine is not None}
    for path, value in shown.items():
        if path not in mine and not value.withheld:
            result[field_name(path)] = "" if value.value is None else str(value.value)
    return result


def _typed(form: ConfigurationForm, before: Settings, masks: Masker) -> Mapping[str, Shown]:
    secrets = typed_secrets(form.data, form.origin.session)
    found = {path: Shown(masks.mask(secret.get_secret_value()), withheld=True) for path, secret in secrets.items()}
    for setting in fields.settings():
        name, was = field_name(setting.path), before.get(setting.path, Shown(None))
        typed = form.data.get(name, "")
        if is_ticked(form.data, f"{name}__remove"):
            found[setting.path] = Shown(None)
        elif not (form.origin.is_write_only(setting) or was.withheld) and _differs(form.fields[name], was.value, typed):
            found[setting.path] = Shown(_like(was.value, masks.clean(typed)))
    return found


def _differs(field: Field, was: Any, typed: str) -> bool:
    return field.has_changed(was.replace("\r\n", "\n") if isinstance(was, str) else was, typed)


def _like(was: Any, typed: str) -> Any:
    """A number, where it was one and what was typed is one: so it can be compared with what others put."""
    return int(typed) if type(was) is int and typed.strip().isdecimal() and len(typed) < 20 else typed

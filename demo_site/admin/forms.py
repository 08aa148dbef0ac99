"""The form of the configuration: a field for each setting that the document's models know."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pydantic import SecretStr

from ..config.editing import Base, plain
from ..config.masking import Shown
from ..document import fields
from ..document.parsing import Document, DocumentInvalid, parse
from ..wording import localized
from . import secret_shares

LABELS: Mapping[str, str | Promise] = {
    "redis_config.redis_host": gettext_lazy("Redis host"),
    "redis_config.redis_port": gettext_lazy("Redis port"),
    "redis_config.redis_db": gettext_lazy("Redis database"),
    "redis_config.redis_password": gettext_lazy("Redis password"),
    "show_message": gettext_lazy("Message on the page"),
}
COMMENT_LENGTH = 500


def field_name(path: str) -> str:
    """The form's name for a setting; a dot would need quoting in scripts and styles."""
    return path.replace(".", "__")


def label(path: str) -> str:
    """What people call the setting."""
    return str(LABELS.get(path, path))


class CommentForm(forms.Form):
    """Why a change is made."""

    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        help_text=gettext_lazy("Why this change? It stands in the history and in the log."),
        max_length=COMMENT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
    )


@dataclass(frozen=True)
class Origin:
    """What the form starts from: the document, each of its settings as people may see it, and the visitor's session."""

    base: Base
    shown: Mapping[str, Shown]
    session: MutableMapping[str, Any]

    def is_write_only(self, setting: fields.Setting) -> bool:
        """A secret, or a value that holds one."""
        return setting.secret or self.shown[setting.path].withheld


def is_ticked(data: Mapping[str, str], name: str) -> bool:
    """Whether the box is ticked; a preview carries one that is not as "False"."""
    return data.get(name, "") not in ("", "False")


def received(post: QueryDict, session: MutableMapping[str, Any]) -> dict[str, str]:
    """What a browser sent, without the secrets: a half of each stays (`halves`), the other goes to the session."""
    # A text area sends every line end as CR LF.
    data = {name: str(value).replace("\r\n", "\n") for name, value in post.items()}
    for setting in fields.settings():
        name = field_name(setting.path)
        if f"{name}__kept" in data and data.get(name):
            data[f"{name}__kept"] = secret_shares.cut(session, data[name])
            data[name] = ""
        if is_ticked(data, f"{name}__discard"):
            del data[f"{name}__discard"]
            data[f"{name}__kept"] = ""
    return data


def typed_secrets(data: Mapping[str, str], session: MutableMapping[str, Any]) -> dict[str, SecretStr]:
    """The secrets that were typed into this form, on this page or on one before, by path."""
    kept = {setting.path: data.get(f"{field_name(setting.path)}__kept") for setting in fields.settings()}
    joined = {path: secret_shares.join(session, half) for path, half in kept.items() if half}
    return {path: SecretStr(secret) for path, secret in joined.items() if secret}


@dataclass(frozen=True)
class FormRow:
    """One setting in the form: its field, and what goes with a secret's."""

    path: str
    field: forms.BoundField
    kept: forms.BoundField | None
    boxes: list[forms.BoundField]


class ConfigurationForm(CommentForm):
    """Valid when the document that it makes is: `raw` and `document` are that one.

    A secret is never shown: empty keeps the one that is stored. `kept` holds a half of one that was typed on the page
    before (see `halves`).
    """

    raw: bytes
    document: Document

    def __init__(self, origin: Origin, data: Any = None, **options: Any) -> None:
        self.origin = origin
        super().__init__(data, **options)
        for setting in fields.settings():
            for name, field in self._fields_of(setting):
                self.fields[name] = field
        self.order_fields([name for name in self.fields if name != "comment"])

    def _fields_of(self, setting: fields.Setting) -> Iterator[tuple[str, forms.Field]]:
        name, value = field_name(setting.path), self.origin.base.values[setting.path]
        if not self.origin.is_write_only(setting):
            yield name, _field(setting, value)
            return
        yield name, _secret_field(setting, value is not None)
        yield f"{name}__kept", forms.CharField(required=False, widget=forms.HiddenInput)
        if self.data.get(f"{name}__kept"):
            yield f"{name}__discard", forms.BooleanField(label=_("Discard the value typed before"), required=False)
        if setting.optional and value is not None:
            yield f"{name}__remove", forms.BooleanField(label=_("Remove it"), required=False)

    def rows(self) -> Iterator[FormRow]:
        """The settings in their order, for a template."""
        for setting in fields.settings():
            name = field_name(setting.path)
            kept = self[f"{name}__kept"] if f"{name}__kept" in self.fields else None
            boxes = [self[box] for box in (f"{name}__discard", f"{name}__remove") if box in self.fields]
            yield FormRow(setting.path, self[name], kept, boxes)

    def clean(self) -> dict[str, Any]:
        """Make the document and have it validated as every other is."""
        new = {s.path: value for s in fields.settings() if (value := self._new_value(s)) is not ...}
        self.raw = self.origin.base.changed(new)
        try:
            self.document = parse(self.raw)
        except DocumentInvalid as error:
            for fault in error.faults:
                self.add_fault(fault.path, fault.problem)
        return self.cleaned_data

    def add_fault(self, path: str, problem: str) -> None:
        """Show a problem at its field, or above all where the form has none for it."""
        name = field_name(path)
        if name not in self.fields:
            self.add_error(None, f"{path}: {localized(problem)}")
        elif name not in self.errors:
            self.add_error(name, localized(problem))

    def _new_value(self, setting: fields.Setting) -> Any:
        """As it goes into the document; `...` where the field has an error of its own."""
        name, stored = field_name(setting.path), self.origin.base.values[setting.path]
        if name in self.errors:
            return plain(stored)
        value = self.cleaned_data.get(name)
        if self.origin.is_write_only(setting):
            return self._new_secret(name, stored)
        if isinstance(value, str) and isinstance(stored, str) and stored.replace("\r\n", "\n") == value:
            return stored
        return None if setting.optional and value == "" else value

    def _new_secret(self, name: str, stored: Any) -> Any:
        half = self.cleaned_data.get(f"{name}__kept")
        if half:
            typed = secret_shares.join(self.origin.session, half)
            if typed is None:
                self.add_error(name, _("The value typed before is gone with your login. Type it again."))
            return typed
        return None if self.cleaned_data.get(f"{name}__remove") else plain(stored)


def _field(setting: fields.Setting, value: Any) -> forms.Field:
    options: dict[str, Any] = {
        "label": label(setting.path),
        "help_text": setting.path,
        "initial": value,
        "required": False if setting.kind in (str, bool) else not setting.optional,
    }
    if setting.kind is int:
        return forms.IntegerField(min_value=setting.least, max_value=setting.most, **options)
    if setting.kind is float:
        return forms.FloatField(min_value=setting.least, max_value=setting.most, **options)
    if setting.kind is bool:
        return forms.BooleanField(**options)
    # A line end would be lost in an input field of one line.
    long = "." not in setting.path or "\n" in str(value)
    widget = forms.Textarea(attrs={"rows": 3}) if long else forms.TextInput(attrs={"class": "vTextField"})
    return forms.CharField(strip=False, widget=widget, **options)


def _secret_field(setting: fields.Setting, is_set: bool) -> forms.Field:
    note = _("Leave empty to keep the stored one.") if is_set else _("None is stored.")
    return forms.CharField(
        label=label(setting.path),
        help_text=f"{setting.path}. {note}",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )

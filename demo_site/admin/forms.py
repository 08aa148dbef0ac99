"""The form of the configuration: a field for each setting that the document's model declares."""

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext, gettext_lazy
from pydantic import SecretStr

from ..config.changes import REMOVED, Base
from ..config.masking import Shown
from ..document.fields import SettingField
from ..document.model import FIELDS, Document
from ..document.parsing import DocumentInvalid, Fault, parse
from ..messages import translated
from . import secret_shares

COMMENT_LENGTH = 500
UNCHANGED: Any = object()  # as a setting's new value: it stays as it is stored


def field_name(path: str) -> str:
    """The form's name for a setting; a dot would need quoting in scripts and styles."""
    return path.replace(".", "__")


class CommentForm(forms.Form):
    """Why a change is made."""

    comment = forms.CharField(
        label=gettext_lazy("Comment"),
        help_text=gettext_lazy("Why this change? It is shown in the history and in the log."),
        max_length=COMMENT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def add_fault(self, fault: Fault) -> None:
        """Show what is wrong at its field, or above all where the form has none for it."""
        name = field_name(fault.path.partition("[")[0])  # of an item: at the list
        problem = translated(fault.problem if fault.path == name.replace("__", ".") else fault.message, gettext)
        if name not in self.fields:
            self.add_error(None, translated(fault.message, gettext))
        elif name not in self.errors:
            self.add_error(name, problem)


@dataclass(frozen=True)
class Origin:
    """What the form starts from: the document, each of its settings as people may see it, and the visitor's session."""

    base: Base
    shown: Mapping[str, Shown]
    session: MutableMapping[str, Any]

    def is_write_only(self, setting: SettingField) -> bool:
        """A secret, or a value that contains one."""
        return setting.secret or self.shown[setting.path].withheld


def is_ticked(data: Mapping[str, str], name: str) -> bool:
    """Whether the box is ticked; a preview carries one that is not as "False"."""
    return data.get(name, "") not in ("", "False")


def received(post: QueryDict, session: MutableMapping[str, Any]) -> dict[str, str]:
    """What a browser sent, without the secrets: one share of each stays, the other goes to the session."""
    # A text area sends every line end as CR LF.
    data = {name: str(value).replace("\r\n", "\n") for name, value in post.items()}
    for path in FIELDS:
        name = field_name(path)
        if f"{name}__kept" in data and data.get(name):
            data[f"{name}__kept"] = secret_shares.cut(session, data[name])
            data[name] = ""
        if is_ticked(data, f"{name}__discard"):
            del data[f"{name}__discard"]
            data[f"{name}__kept"] = ""
    return data


def typed_secrets(data: Mapping[str, str], session: MutableMapping[str, Any]) -> dict[str, SecretStr]:
    """The secrets that were typed into this form, on this page or on one before, by path."""
    shares = {path: data.get(f"{field_name(path)}__kept") for path in FIELDS}
    whole = {path: secret_shares.join(session, share) for path, share in shares.items() if share}
    return {path: SecretStr(secret) for path, secret in whole.items() if secret}


@dataclass(frozen=True)
class FormRow:
    """One setting in the form: its field, and what goes with it."""

    path: str
    field: forms.BoundField
    kept: forms.BoundField | None
    boxes: list[forms.BoundField]


class ConfigurationForm(CommentForm):
    """Valid when the document that it makes is: `raw` and `document` are that one.

    A secret is never shown: empty keeps the one that is stored. `kept` has a share of one that was typed on the page
    before (see `secret_shares`).
    """

    raw: bytes
    document: Document

    def __init__(self, origin: Origin, data: Any = None, **options: Any) -> None:
        self.origin = origin
        super().__init__(data, **options)
        for setting in FIELDS.values():
            for name, field in self._fields_of(setting):
                self.fields[name] = field
        self.order_fields([name for name in self.fields if name != "comment"])

    def _fields_of(self, setting: SettingField) -> Iterator[tuple[str, forms.Field]]:
        name, base = field_name(setting.path), self.origin.base
        value, is_given = base.values[setting.path], setting.path in base.given
        if self.origin.is_write_only(setting):
            yield name, _secret_field(setting, value is not None)
            yield f"{name}__kept", forms.CharField(required=False, widget=forms.HiddenInput)
            if self.data.get(f"{name}__kept"):
                label = gettext("Discard the value typed before")
                yield f"{name}__discard", forms.BooleanField(label=label, required=False)
        else:
            yield name, _field(setting, value, is_given)
        if is_given and value is not None and not setting.required and not _is_removed_when_empty(setting):
            yield f"{name}__remove", forms.BooleanField(label=gettext("Remove it"), required=False)

    def rows(self) -> Iterator[FormRow]:
        """The settings in their order, for a template."""
        for path in FIELDS:
            name = field_name(path)
            kept = self[f"{name}__kept"] if f"{name}__kept" in self.fields else None
            boxes = [self[box] for box in (f"{name}__discard", f"{name}__remove") if box in self.fields]
            yield FormRow(path, self[name], kept, boxes)

    def clean(self) -> dict[str, Any]:
        """Make the document and have it validated as every other is."""
        new = {path: self._new_value(setting) for path, setting in FIELDS.items()}
        self.raw = self.origin.base.changed({path: value for path, value in new.items() if value is not UNCHANGED})
        try:
            self.document = parse(self.raw)
        except DocumentInvalid as error:
            for fault in error.faults:
                self.add_fault(fault)
        return self.cleaned_data

    def _new_value(self, setting: SettingField) -> Any:
        """As it goes into the document; `UNCHANGED` also where the field has an error of its own."""
        name = field_name(setting.path)
        if name in self.errors:
            return UNCHANGED
        if self.origin.is_write_only(setting) and (share := self.cleaned_data.get(f"{name}__kept")):
            typed = secret_shares.join(self.origin.session, share)
            if typed is None:
                self.add_error(name, gettext("The value typed before is gone with your login. Type it again."))
            return UNCHANGED if typed is None else typed
        if self.cleaned_data.get(f"{name}__remove"):
            return REMOVED
        if self.origin.is_write_only(setting) or name not in self.changed_data:
            return UNCHANGED
        return as_stored(setting, self.cleaned_data[name])


def as_stored(setting: SettingField, value: Any) -> Any:
    """What a field's value comes to in the document: an optional one that is empty goes."""
    is_empty = value is None or (value == "" and _is_removed_when_empty(setting))
    return REMOVED if is_empty and not setting.required else value


def _is_removed_when_empty(setting: SettingField) -> bool:
    """Whether an empty field can say that the member goes; else a box does."""
    is_text = setting.kind is str and not setting.choices
    return not setting.secret and setting.kind not in (bool, list) and not (is_text and setting.default is not None)


class LinesField(forms.CharField):
    """A list of texts, one on each line. A line break inside of one is shown as ``\\n``, a backslash as two."""

    def prepare_value(self, value: Any) -> Any:
        """The lines of a list; what a browser sent stays as it is."""
        if not isinstance(value, list):
            return value
        return "".join(str(item).replace("\\", r"\\").replace("\n", r"\n") + "\n" for item in value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the lines are other ones than those of the list that they start from."""
        return bool((initial or []) != self.to_python(data))

    def to_python(self, value: Any) -> Any:
        """The list of the lines."""
        if isinstance(value, list):
            return value
        lines = str(value or "").removesuffix("\n").split("\n") if value else []
        return ["\\".join(part.replace(r"\n", "\n") for part in line.split(r"\\")) for line in lines]


def _field(setting: SettingField, value: Any, is_given: bool) -> forms.Field:
    where = {"path": setting.path}
    options: dict[str, Any] = {
        "label": translated(setting.declared.label, gettext),
        "help_text": setting.path if is_given else gettext("%(path)s. Not set: the default applies.") % where,
        "initial": value.replace("\r\n", "\n") if isinstance(value, str) else value,
        "required": setting.required and setting.kind in (int, float),
    }
    if setting.choices:
        known = [(choice, str(choice)) for choice in setting.choices]
        choices = known if setting.required else [("", "---------"), *known]
        return forms.TypedChoiceField(
            choices=choices, coerce=lambda text: setting.kind(text), empty_value=None, **options
        )
    if setting.kind is bool:
        return forms.BooleanField(**options)
    if setting.kind is list:
        return LinesField(strip=False, widget=forms.Textarea(attrs={"rows": 3}), **options)
    if setting.kind is str:
        # A line end would be lost in an input field of one line.
        is_long = setting.declared.multiline or "\n" in str(value)
        widget = forms.Textarea(attrs={"rows": 3}) if is_long else forms.TextInput(attrs={"class": "vTextField"})
        return forms.CharField(strip=False, widget=widget, **options)
    number = forms.IntegerField if setting.kind is int else forms.FloatField
    return number(min_value=setting.least, max_value=setting.most, **options)


def _secret_field(setting: SettingField, is_set: bool) -> forms.Field:
    note = gettext("Leave empty to keep the stored one.") if is_set else gettext("None is stored.")
    return forms.CharField(
        label=translated(setting.declared.label, gettext),
        help_text=f"{setting.path}. {note}",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"}),
    )

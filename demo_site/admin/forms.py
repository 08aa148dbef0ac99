"""The form of the configuration: a field for each setting that the document's model declares."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext, gettext_lazy

from ..config.changes import Base, places, typed
from ..config.masking import Shown
from ..document.fields import SettingField
from ..document.model import FIELDS, Document
from ..document.parsing import DocumentInvalid, Fault, parse
from ..messages import translated
from ..templatetags.configuration import plain, words
from . import secret_shares

COMMENT_LENGTH = 500
UNCHANGED: Any = object()  # as a setting's new value: it stays as it is stored


def field_name(path: str) -> str:
    """The form's name for a setting; a dot would need quoting in scripts and styles."""
    return path.replace(".", "__")


class CommentForm(forms.Form):
    """Why a change is made."""

    required_css_class = "required"  # as Django's admin marks it
    comment = forms.CharField(
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Required: why this change? It is shown in the history and in the log."),
        max_length=COMMENT_LENGTH,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def add_fault(self, fault: Fault) -> None:
        """Show what is wrong at its field, or above all where the form has none for it."""
        path = fault.path.partition("[")[0]  # of an item: its list's
        if (name := field_name(path)) not in self.fields:
            self.add_error(None, words(fault.message))
        elif name not in self.errors:
            self.add_error(name, words(fault.problem if path == fault.path else fault.message))

    def focus_on_fault(self, names: Iterable[str]) -> None:
        """Have the browser begin at the first of these fields that has an error."""
        if wrong := next((name for name in names if name in self.errors), None):
            self.fields[wrong].widget.attrs["autofocus"] = True


class RollbackForm(CommentForm):
    """The reason, and the secrets `asked` for, by path: no document at hand has them with the destination."""

    def __init__(self, asked: Iterable[str], data: Any = None, reason: str = "") -> None:
        super().__init__(data, initial={"comment": reason})
        for path in asked:
            setting = FIELDS[path]
            self.fields[field_name(path)] = forms.CharField(
                label=translated(setting.declared.label, gettext), strip=False, widget=_secret_input()
            )


@dataclass(frozen=True)
class Origin:
    """What the form starts from: the document, each of its settings as people may see it, and the visitor's session."""

    base: Base
    shown: Mapping[str, Shown]
    session: MutableMapping[str, Any]

    def is_write_only(self, setting: SettingField) -> bool:
        """A secret, or a text that contains one."""
        return setting.secret or (self.shown[setting.path].withheld and not setting.choices)


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


def typed_unseen(data: Mapping[str, str], session: MutableMapping[str, Any]) -> dict[str, Any]:
    """What was typed into fields that do not show it, on this page or on one before, by path: secrets, mostly."""
    shares = {path: data.get(f"{field_name(path)}__kept") for path in FIELDS}
    whole = {path: secret_shares.join(session, share) for path, share in shares.items() if share}
    return {path: typed(path, text) for path, text in whole.items() if text}


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
        is_kept, is_given = bool(self.data.get(f"{name}__kept")), setting.path in base.values
        is_unseen = is_kept or self.origin.is_write_only(setting)
        value = base.values.get(setting.path, setting.default)
        yield name, _field(setting, value, is_unseen, " ".join(self._notes(setting, is_kept, is_unseen)))
        if is_unseen:
            yield f"{name}__kept", forms.CharField(required=False, widget=forms.HiddenInput)
            if is_kept:
                label = gettext("Discard the value typed before")
                yield f"{name}__discard", forms.BooleanField(label=label, required=False)
        if is_given and not setting.required and (is_unseen or not _goes_when_empty(setting)):
            label = gettext("Remove it") if setting.default is None else gettext("Remove it: the default applies")
            yield f"{name}__remove", forms.BooleanField(label=label, required=False)

    def _notes(self, setting: SettingField, is_kept: bool, is_unseen: bool) -> Iterator[str]:
        base = self.origin.base
        if setting.kind is list:
            yield gettext(r"One item on each line; write a line break inside an item as \n, and \ as \\.")
        if is_kept:
            return  # the page says that, and what an empty field means
        if setting.path in base.values:
            if is_unseen and base.is_from_force(setting.path):
                yield gettext("Leave empty to take the one in force.")
            elif is_unseen:
                yield gettext("Leave empty to keep the stored one.")
        elif setting.secret and base.ruling[setting.path]:
            yield gettext("Not set in the stored document; the version in force has one.")
        else:
            yield gettext("Not set.") if setting.default is None else gettext("Not set: the default applies.")
        if setting.secret and (destination := translated(places(setting.path), gettext)):
            yield gettext("A change of %(settings)s needs it typed again.") % {"settings": destination}

    def at_changed(self, fault: Fault) -> Fault:
        """The fault at the field that was changed, if it is about a place that several settings make up."""
        group = fault.path.rpartition(".")[0]
        place = [p for p, each in FIELDS.items() if p.rpartition(".")[0] == group and each.declared.moves_secrets]
        changed = [path for path in place if field_name(path) in self.changed_data and not FIELDS[path].secret]
        if fault.path not in place or fault.path in changed or not changed:
            return fault
        return fault._replace(path=changed[0])

    def rows(self) -> dict[str, Any]:
        """The settings in their order, each with its field and what goes with it, for a template.

        Folded are those that neither this document nor the example has, but for a secret that is in force; open, where
        something was typed in one.
        """

        def is_usual(path: str) -> bool:
            setting = FIELDS[path]
            base = self.origin.base
            is_given = path in base.values or (setting.secret and base.ruling[path])
            return setting.required or is_given or setting.declared.example is not None

        rows = list(self._rows())
        shown = [row for row in rows if is_usual(row["path"])]
        folded = [row for row in rows if not is_usual(row["path"])]
        names = {row["field"].name for row in folded}
        is_open = self.is_bound and not names.isdisjoint([*self.changed_data, *self.errors])
        return {"shown": shown, "folded": folded, "is_open": is_open}

    def _rows(self) -> Iterator[dict[str, Any]]:
        for path in FIELDS:
            name = field_name(path)
            kept = self[f"{name}__kept"] if f"{name}__kept" in self.fields else None
            boxes = [self[box] for box in (f"{name}__discard", f"{name}__remove") if box in self.fields]
            yield {"path": path, "field": self[name], "kept": kept, "boxes": boxes}

    def clean(self) -> dict[str, Any]:
        """Make the document and have it validated as every other is."""
        new = {path: self._new_value(setting) for path, setting in FIELDS.items()}
        self.raw = self.origin.base.changed({path: value for path, value in new.items() if value is not UNCHANGED})
        try:
            self.document = parse(self.raw)
            typed = [path for path, value in new.items() if value is not UNCHANGED]
            faults: Iterable[Fault] = self.origin.base.astray(self.document, typed)
        except DocumentInvalid as error:
            faults = error.faults
        for fault in faults:
            self.add_fault(fault)
        return self.cleaned_data

    def _new_value(self, setting: SettingField) -> Any:
        """As it goes into the document; `UNCHANGED` also where the field has an error of its own."""
        name = field_name(setting.path)
        if name in self.errors:
            return UNCHANGED
        if share := self.cleaned_data.get(f"{name}__kept"):
            text = secret_shares.join(self.origin.session, share)
            if text is None:
                self.add_error(name, gettext("The value typed before is gone with your login. Type it again."))
            return UNCHANGED if text is None else self.fields[name].to_python(text)
        if self.cleaned_data.get(f"{name}__remove"):
            return None
        if f"{name}__kept" in self.fields or name not in self.changed_data:
            return UNCHANGED
        return as_stored(setting, self.cleaned_data[name])


def as_stored(setting: SettingField, value: Any) -> Any:
    """What a field's value comes to in the document: what is empty goes, where that is no value of its own."""
    return None if value == "" and _goes_when_empty(setting) else value


def _goes_when_empty(setting: SettingField) -> bool:
    """Whether an empty field says that the member goes; else a box does."""
    if setting.kind in (str, bool) and not setting.choices:
        return setting.default is None and not (setting.required or setting.secret)
    return setting.kind is not list


class NumberField(forms.Field):
    """A number as JSON has it: 5 is no 5.0. What is no number stays text, and the document says what is wrong."""

    def to_python(self, value: Any) -> Any:
        for kind in (int, float):
            with contextlib.suppress(ValueError, TypeError):
                return kind(value)
        return value or None


class ChoiceField(forms.Field):
    """One of several values, or none. What is none of them stays text as well."""

    def __init__(self, choices: Sequence[Any], is_needed: bool, **options: Any) -> None:
        self.known = {str(choice): choice for choice in choices}
        listed = [(text, plain(choice)) for text, choice in self.known.items()]
        super().__init__(widget=forms.Select(choices=listed if is_needed else [("", "---------"), *listed]), **options)

    def to_python(self, value: Any) -> Any:
        return self.known.get(value, value or None)


class TextField(forms.CharField):
    """A text as it is typed. Browsers have one kind of line end only."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether it is another text, whatever its line ends."""
        return self.to_python(_lines(initial)) != self.to_python(_lines(data))


class LinesField(TextField):
    """A list of texts, one on each line. A line end inside of one is shown as ``\\n``, a backslash as two."""

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "".join(_lines(str(item)).replace("\\", r"\\").replace("\n", r"\n") + "\n" for item in value)

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return list(map(_lines, value))
        lines = value.removesuffix("\n").split("\n") if value else []
        return ["\\".join(part.replace(r"\n", "\n") for part in line.split(r"\\")) for line in lines]


def _lines(text: Any) -> Any:
    return re.sub(r"\r\n?", "\n", text) if isinstance(text, str) else text


def _field(setting: SettingField, value: Any, is_unseen: bool, notes: str) -> forms.Field:
    options: dict[str, Any] = {
        "label": translated(setting.declared.label, gettext),
        "help_text": notes,
        "initial": None if is_unseen else value,
        "required": False,  # the document says what it lacks
    }
    choices = setting.choices or ((True, False) if setting.kind is bool and _goes_when_empty(setting) else ())
    if choices:
        return ChoiceField(choices, setting.required, **options)
    if setting.kind is bool:
        return forms.BooleanField(**options)
    if setting.kind in (int, float):
        limits = {"min": setting.least, "max": setting.most, "step": "any" if setting.kind is float else None}
        attributes = {name: limit for name, limit in limits.items() if limit is not None}
        return NumberField(widget=forms.NumberInput(attrs=attributes), **options)
    widget: forms.Widget = forms.TextInput(attrs={"class": "vTextField"})
    if setting.secret:
        widget = _secret_input()
    elif setting.kind is list or setting.declared.multiline or "\n" in str(value):  # a field of one line would lose it
        widget = forms.Textarea(attrs={"rows": 3})
    return (LinesField if setting.kind is list else TextField)(strip=False, widget=widget, **options)


def _secret_input() -> forms.PasswordInput:
    return forms.PasswordInput(attrs={"autocomplete": "new-password", "class": "vTextField"})

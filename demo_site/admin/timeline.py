"""The timeline of the document: its changes page by page, those that a filter lets through, and the last ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, NamedTuple

from django import forms
from django.conf import settings
from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext, gettext_lazy

from ..config import changes, history, repository
from ..config.live import Live
from ..config.masking import Masker, Shown
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..document.model import FIELDS
from ..messages import LONGEST_TEXT
from ..templatetags.configuration import plain
from .change import TIMEOUTS

_LAST_CHANGES = 3
_PAGE_ENTRIES = 20
_NAMED_SETTINGS = 2  # on the line of a change
_MOST_USERS = 50  # that the filter suggests
_EVENT_CHARACTERS = 8_000  # of the differences of one change on a page, so that it stays below 5 MB whatever they hold
_ROW_CHARACTERS, _VALUE_CHARACTERS = 100, 1_000  # what the row of a difference takes itself; what is shown of a value


class Link(NamedTuple):
    """The way back from a change, or to a version."""

    text: str
    url: str


@dataclass(frozen=True)
class Row:
    """A change as one line that opens. `is_anchor`: the first one on its page that its version's address leads to."""

    event: history.Event
    way_back: Link | None
    is_open: bool
    is_anchor: bool

    @property
    def settings(self) -> list[str]:
        """What it changed, as much as fits into the line."""
        return [change.setting for change in (self.event.changes or ())[:_NAMED_SETTINGS]]

    @property
    def more_settings(self) -> int:
        return len(self.event.changes or ()) - len(self.settings) + self.event.more


class FilterForm(forms.Form):
    """Which changes to show. A field that holds no choice filters nothing, and says so."""

    user = forms.CharField(
        label=gettext_lazy("Changed by"),
        required=False,
        max_length=LONGEST_TEXT,
        widget=forms.TextInput(attrs={"list": "history-users", "autocomplete": "off"}),
    )
    kind = forms.ChoiceField(
        label=gettext_lazy("Kind of change"),
        required=False,
        choices=[
            ("", gettext_lazy("Every kind")),
            ("edit", gettext_lazy("Edited")),
            ("rollback", gettext_lazy("Rolled back")),
            ("outside", gettext_lazy("Outside of this page")),
        ],
        error_messages={"invalid_choice": gettext_lazy("There is no such kind.")},
    )
    setting = forms.ChoiceField(
        label=gettext_lazy("Setting"),
        required=False,
        choices=[("", gettext_lazy("Every setting")), *((path, path) for path in FIELDS)],
        error_messages={"invalid_choice": gettext_lazy("There is no such setting.")},
    )

    def chosen(self) -> dict[str, str]:
        self.full_clean()
        return {name: value for name, value in self.cleaned_data.items() if value}


@dataclass(frozen=True)
class Asked:
    """What is to be shown: this page, or that of the save or of the version; of all changes, or of those chosen."""

    page: str = "1"
    save: str = ""
    version: int = 0
    chosen: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Mapping[str, str], chosen: Mapping[str, str]) -> "Asked":
        page, save = parameters.get("page", "1"), parameters.get("save", "")
        return cls(page, save, index_of(parameters.get("version", "")), chosen)

    @property
    def is_named(self) -> bool:
        return bool(self.save or self.version)

    def names(self, event: history.Event) -> bool:
        """Whether it is the one that the address names."""
        return (bool(event.save) and event.entry == self.save) or (self.version > 0 and event.index == self.version)

    def chooses(self, event: history.Event) -> bool:
        """Whether the filter lets it through. Where it is not known what changed, any setting may have."""
        user, setting = self.chosen.get("user"), self.chosen.get("setting")
        return (
            event.is_change
            and event.kind == self.chosen.get("kind", event.kind)
            and (user is None or (event.save is not None and event.save.user == user))
            and (setting is None or event.touches(setting))
        )


def last_changes(live: Live, most: int = _LAST_CHANGES) -> dict[str, Any]:
    """For a template: the newest changes, newest first, or why they cannot be read."""
    try:
        found = _read(live, most)
    except ConsulError as error:
        return {"events_trouble": error.message}
    return {"events": found["events"][:most]}


def changes_since(live: Live, version: str) -> dict[str, Any]:
    """For a template: the changes that came after this version, newest first, or why they cannot be read.

    `has_older`: there are more of them than are read for a page.
    """
    index = index_of(version)
    try:
        found = _read(live)
    except ConsulError as error:
        return {"others_trouble": error.message}
    events = [row.event for row in found["events"]]
    newer = list(takewhile(lambda event: event.index > index or (index > 0 and not event.index), events))
    has_older = newer == events and found["pages"].has_next()
    return {"others": [event for event in newer if event.is_change], "has_older": has_older}


def change(live: Live, index: int) -> Row | None:
    """The change that made the version at `index`, if it is known. Raises `ConsulError`."""
    asked = Asked(version=index)
    rows: list[Row] = _read(live, 1, asked)["events"]
    return next((row for row in rows if asked.names(row.event) and not row.event.is_unreadable), None)


def restorable(live: Live, index: int | None) -> int | None:
    """The ModifyIndex of the version in force, if what is stored at `index` was rejected, or deleted."""
    revision, rejected = live.in_force.revision, live.status.rejected
    is_unusable = index is None or (rejected is not None and rejected.index == index)
    return revision.index if is_unusable and revision.kind != "file" else None


def show_history(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The timeline: each save with its differences, and what was changed by others."""
    form = FilterForm(request.GET, auto_id="filter_%s")
    chosen = form.chosen()
    context = context | {"page": "history", "title": gettext("History of the configuration"), "filter": form}
    context |= {"chosen": chosen, "query": urlencode(chosen)}
    try:
        context |= _read(settings.CONFIGURATION, _PAGE_ENTRIES, Asked.of(request.GET, chosen))
    except ConsulError as error:
        context["off"] = error.message
    return TemplateResponse(request, "demo_site/history.html", context)


def index_of(version: str) -> int:
    """The ModifyIndex that a browser sent; 0 where it is none."""
    return int(version) if version.isdecimal() and len(version) < 20 else 0


def _read(live: Live, most: int = _PAGE_ENTRIES, asked: Asked = Asked()) -> dict[str, Any]:
    """A page of so many entries, or of so many of the chosen changes, for a template. Raises `ConsulError`."""
    with live.start.open_client(TIMEOUTS) as client:
        found = _History(live, client)
        return found.search(most, asked) if asked.chosen else found.page(most, asked)


class _History:
    """The document and the names of its history's entries as they are now, and pages of what they tell."""

    def __init__(self, live: Live, client: Client) -> None:
        self.live, self.client, self.key = live, client, live.start.key
        self.stored = repository.read(client, self.key)
        self.ids, self.others = history.ids(client, self.key)

    def page(self, most: int, asked: Asked) -> dict[str, Any]:
        """All changes: only the entries of the page are read, unless it is a version's that has to be found."""
        pages = Paginator(self.ids, most).get_page(self._place(asked) // most + 1 if asked.is_named else asked.page)
        read = history.read_page(self.client, self.key, self.ids, max(pages.start_index() - 1, 0), pages.end_index())
        events = self._events(read)
        return self._shown(pages, events, asked) | {"unread": read.unread, "users": _users(events)}

    def search(self, most: int, asked: Asked) -> dict[str, Any]:
        """The chosen changes among those of the newest entries, as far as these can be read."""
        read = history.read_newest(self.client, self.key, self.ids, len(self.ids) + self.others)
        events = self._events(read)
        chosen = [event for event in events if asked.chooses(event)]
        place = next((number for number, event in enumerate(chosen) if asked.names(event)), None)
        pages = Paginator(chosen, most).get_page(asked.page if place is None else place // most + 1)
        unsearched = read.unread + sum(event.is_unreadable for event in events)
        return self._shown(pages, list(pages), asked) | {"unsearched": unsearched, "users": _users(events)}

    def _place(self, asked: Asked) -> int:
        """Where the entry stands on whose page the named change is, 0 where it is not found."""
        if asked.save in self.ids or not asked.version:
            return self.ids.index(asked.save) if asked.save in self.ids else 0
        if asked.version == self.stored.index:
            return 0  # even where the history was restored from a backup, and all its keys are newer
        place = history.position(self.client, self.key, self.ids, asked.version)
        return min(place, max(len(self.ids) - 1, 0))  # the oldest version has no entry of its own

    def _events(self, page: history.Page) -> list[history.Event]:
        """What these entries tell, newest first."""
        revision = self.live.in_force.revision
        if revision.kind == "file" and not self.stored.index and not page.entries:
            return []  # nobody deleted anything
        base = changes.base(self.stored, revision)
        masks = Masker(self.live.start.environment, self.live.in_force.document, base.values)
        current = changes.as_shown(self.stored, revision, masks) if self.stored.index else None
        return list(history.timeline(page, self.stored.index, current))

    def _shown(self, pages: Page[Any], events: Sequence[history.Event], asked: Asked) -> dict[str, Any]:
        """What the template needs of one page. Open are the newest change, and those that the address names."""
        in_force, rows, anchors = restorable(self.live, self.stored.index or None), list[Row](), set[int]()
        for event in events:
            is_open = asked.names(event) or (pages.number == 1 and not rows)
            is_anchor = event.index > 0 and not event.is_unreadable and event.index not in anchors
            anchors.add(event.index)
            way_back = _way_back(event, self.stored.index, in_force)
            rows.append(Row(self._dated(_shortened(event)), way_back, is_open, is_anchor))
        is_missing = asked.is_named and not any(map(asked.names, events))
        return {"events": rows, "pages": pages, "others": self.others, "is_missing": is_missing}

    def _dated(self, event: history.Event) -> history.Event:
        revision = self.live.in_force.revision
        return replace(event, in_force_since=revision.loaded_at) if event.index == revision.index else event


def _users(events: Iterable[history.Event]) -> list[str]:
    return sorted({event.save.user for event in events if event.save})[:_MOST_USERS]


def _way_back(event: history.Event, stored_index: int, in_force: int | None) -> Link | None:
    """From the newest version to the one before, or to the one `in_force`; of any other, to that version."""
    if event.is_unreadable:
        return None
    if event.index != stored_index:
        return _way_to(event, in_force)
    undo = gettext("Undo this change")
    if in_force:
        return Link(undo, reverse("admin:configuration_restore"))
    if event.save:
        return _link(undo, "rollback", event.save.id) if event.save.can_be_undone else None
    return _link(undo, "restore_version", event.entry) if event.entry else None


def _way_to(event: history.Event, in_force: int | None) -> Link | None:
    text = gettext("Restore this version")
    if event.index == in_force:
        return Link(text, reverse("admin:configuration_restore"))
    if event.save:
        return _link(text, "restore_version", event.save.id)
    is_known = event.newer is not None and event.newer.can_be_undone
    return _link(text, "rollback", event.newer.id) if event.newer and is_known else None


def _link(text: str, page: str, save_id: str) -> Link:
    return Link(text, reverse(f"admin:configuration_{page}", args=[save_id]))


def _shortened(event: history.Event) -> history.Event:
    """As much of its changes as a page of many can have."""
    shown, left = [], _EVENT_CHARACTERS
    for change in event.changes or ():
        cut = replace(change, before=_cut(change.before), after=_cut(change.after))
        left -= (
            sum(len(plain(value)) for value in (change.setting, cut.before.value, cut.after.value)) + _ROW_CHARACTERS
        )
        if left < 0:
            break
        shown.append(cut)
    return event if event.changes is None else replace(event, changes=shown, more=len(event.changes) - len(shown))


def _cut(shown: Shown) -> Shown:
    text = plain(shown.value)
    if shown.value is None or len(text) <= _VALUE_CHARACTERS:
        return shown
    return replace(shown, value=f"{text[:_VALUE_CHARACTERS]}… ({len(text)})")

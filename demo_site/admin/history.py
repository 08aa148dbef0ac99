"""The history of the document, and going back in it: a rollback is a new save of an older version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext

from ..config import changes, history, repository
from ..config.live import Live
from ..config.masking import UNSET, Masker, Settings, Shown
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..document.model import FIELDS, Document
from ..document.parsing import DocumentInvalid, Fault, parse
from ..messages import Message, _, translated
from ..templatetags.configuration import plain
from .change import TIMEOUTS, ChangePage
from .forms import CommentForm, RollbackForm, field_name

_LAST_CHANGES = 3
_PAGE_ENTRIES = 20
_EVENT_CHARACTERS = 8_000  # of the differences of one change on a page, so that it stays below 5 MB whatever they hold
_ROW_CHARACTERS, _VALUE_CHARACTERS = 100, 1_000  # what the row of a difference takes itself; what is shown of a value


@dataclass(frozen=True)
class Target:
    """The document that a rollback would save, or why there is none; `asked` are the secrets that must be typed."""

    raw: bytes = field(default=b"", repr=False)
    document: Document | None = None
    faults: tuple[Fault, ...] = ()
    asked: tuple[str, ...] = ()


class Link(NamedTuple):
    """The way back from a change, or to a version."""

    text: str
    url: str


def last_changes(live: Live, most: int = _LAST_CHANGES) -> dict[str, Any]:
    """For a template: the newest changes, newest first, or why they cannot be read."""
    try:
        found = _read(live, 1, most)
    except ConsulError as error:
        return {"events_trouble": error.message}
    return {"events": found["events"][:most]}


def change(live: Live, index: int) -> tuple[history.Event, Link | None] | None:
    """The change that made the version at `index`, and the way back, if it is known. Raises `ConsulError`."""
    key = live.start.key
    with live.start.open_client(TIMEOUTS) as client:
        stored = repository.read(client, key)
        ids, _others = history.ids(client, key)
        place = history.position(client, key, ids, index)
        page = history.read_page(client, key, ids, max(place - 1, 0), place + 2)
    known = _timeline(live, stored, page)
    return next((each for each in known if each[0].index == index and not each[0].is_unreadable), None)


def restorable(live: Live, index: int | None) -> int | None:
    """The ModifyIndex of the version in force, if what is stored at `index` was rejected, or deleted."""
    revision, rejected = live.in_force.revision, live.status.rejected
    is_unusable = index is None or (rejected is not None and rejected.index == index)
    return revision.index if is_unusable and revision.kind != "file" else None


def show_history(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The timeline, page by page: each save with its differences, and what was changed by others."""
    context = context | {"page": "history", "title": gettext("History of the configuration")}
    try:
        context |= _read(settings.CONFIGURATION, request.GET.get("page", 1), _PAGE_ENTRIES, request.GET.get("save"))
    except ConsulError as error:
        context["off"] = error.message
    return TemplateResponse(request, "demo_site/history.html", context)


def _read(live: Live, number: str | int, entries: int, save_id: str | None = None) -> dict[str, Any]:
    """One page of so many `entries`, that of this save if it is kept, for a template. Raises `ConsulError`."""
    key = live.start.key
    with live.start.open_client(TIMEOUTS) as client:
        stored = repository.read(client, key)
        ids, others = history.ids(client, key)
        if save_id in ids:
            number = ids.index(save_id) // entries + 1
        pages = Paginator(ids, entries).get_page(number)
        page = history.read_page(client, key, ids, max(pages.start_index() - 1, 0), pages.end_index())
    return {"events": _timeline(live, stored, page), "pages": pages, "unread": page.unread, "others": others}


def _timeline(
    live: Live, stored: repository.StoredDocument, page: history.Page
) -> list[tuple[history.Event, Link | None]]:
    revision = live.in_force.revision
    if revision.kind == "file" and not stored.index and not page.entries:
        return []  # nobody deleted anything
    masks = Masker(live.start.environment, live.in_force.document, changes.base(stored, revision).values)
    current = changes.as_shown(stored, revision, masks) if stored.index else None
    events = [
        replace(event, in_force_since=revision.loaded_at) if event.index == revision.index else event
        for event in map(_shortened, history.timeline(page, stored.index, current))
    ]
    in_force = restorable(live, stored.index or None)
    return [(event, _way_back(event, stored.index, in_force)) for event in events]


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


def roll_back(request: HttpRequest, context: dict[str, Any], save_id: str) -> HttpResponse:
    """What going back to the version before this save would change; with a reason, the rollback."""
    return _RollbackPage(request, context, save_id).answer()


def restore(request: HttpRequest, context: dict[str, Any], save_id: str) -> HttpResponse:
    """The same for the version that this save made."""
    return _RestorePage(request, context, save_id).answer()


def restore_in_force(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The same for the whole document in force, where another one is stored that was rejected."""
    return _InForcePage(request, context).answer()


class _RollbackPage(ChangePage):
    kind = "rollback"
    saved_text = _("Rolled back, saved as version %(index)s.")
    name = "rollback"
    target_save: history.Save | None = None

    def __init__(self, request: HttpRequest, context: dict[str, Any], save_id: str = "") -> None:
        super().__init__(request, context)
        self.target_id = save_id
        self.known: dict[str, Any] = {}

    def look_up(self, client: Client) -> None:
        self.target_save = history.read(client, self.start.key, self.target_id)

    def proceed(self, stored: repository.StoredDocument, refusal: Message | None) -> HttpResponse:
        base = changes.base(stored, self.live.in_force.revision)
        typed = self._typed()
        masks = self.masker(base, typed)
        target = self.target(stored, base, typed)
        form = self._form(masks, target.asked, self.reason(stored))
        self.known |= {"stored": stored, "base_index": stored.index, "target": target, "refusal": refusal}
        if target.document is None:
            return self.page(form)
        comment = form.cleaned_data["comment"] if form.is_valid() else ""
        change = self.change(stored, target.document, comment, masks)
        untyped = {*target.asked} - typed.keys()
        differences = [one for one in change.changes if one.setting not in untyped]
        is_change = bool(change.changes) or stored.document is None
        self.known |= {"differences": differences, "is_change": is_change}
        self.known |= {"keeps_secrets": not any(one.setting in changes.SECRETS for one in differences)}
        if self.data is None or not form.is_valid() or target.faults or not is_change:
            return self.page(form)
        if self.data.get("base_index") != str(stored.index):
            return self.page(form, moved=True)
        if refusal:
            return self.page(form)
        # Only now, and never on a GET: a link must not make the site send a password.
        if faults := self.probe(target.document, masks):
            return self.page(form, target=replace(target, faults=tuple(faults)))
        return self.save(form, target.raw, change)

    def target(self, stored: repository.StoredDocument, base: changes.Base, typed: Mapping[str, Any]) -> Target:
        if self.target_save is None:
            raise Http404
        self.known |= {"save": self.target_save}
        return self._merged(stored, base, self.settings(self.target_save), typed)

    def settings(self, save: history.Save) -> Settings | None:
        """The settings to go back to, None where they are not known."""
        return save.replaced if save.can_be_undone else None

    def title(self) -> str:
        return gettext("Roll back")

    def reason(self, stored: repository.StoredDocument) -> str:
        """What the reason is unless somebody types another one."""
        save = self.target_save
        if save and save.index == stored.index:
            return gettext("Undo version %(index)s") % {"index": save.index}
        return gettext("Back to version %(index)s") % {"index": save.replaced_index if save else ""}

    def unreachable(self, error: ConsulError) -> HttpResponse:
        if self.data is None:
            return self.off(error.message)
        revision = self.live.in_force.revision
        stored = repository.parsed(revision.raw, 0)
        form = self._form(self.masker(changes.base(stored, revision)))
        form.add_error(None, translated(error.message, gettext))
        return self.page(form, base_index=self.data.get("base_index", ""), kept=True)

    def _typed(self) -> dict[str, Any]:
        """The secrets that were typed, by path."""
        found = {path: (self.data or {}).get(field_name(path)) for path in changes.SECRETS}
        return {path: changes.typed(path, text) for path, text in found.items() if text}

    def _form(self, masks: Masker, asked: Iterable[str] = (), reason: str = "") -> RollbackForm:
        self.clean_comment(masks)
        return RollbackForm(asked, self.data, reason)

    def _merged(
        self,
        stored: repository.StoredDocument,
        base: changes.Base,
        settings: Settings | None,
        typed: Mapping[str, Any],
    ) -> Target:
        """The stored document with these settings in place of its own."""
        if settings is None:
            reason = _("The version before was not readable, so there is nothing to go back to.")
            return Target(faults=(Fault("", reason),))
        there = {path: shown.value for path, shown in settings.items() if path in FIELDS and not shown.withheld}
        # In its groups it had nothing else, whatever has been declared there since: a host excludes a service.
        its_groups = {path.partition(".")[0] for path in there if "." in path}
        since = [path for path in FIELDS if path not in settings and path.partition(".")[0] in its_groups]
        there |= dict.fromkeys(since)
        held = self._secrets_held(stored, base, settings, there)
        asked = tuple(path for path in changes.SECRETS if path not in held)
        secrets = {path: changes.plain({**held, **typed}.get(path)) for path in changes.SECRETS}
        raw = base.changed(there | secrets)
        try:
            document = parse(raw)
        except DocumentInvalid as error:
            return Target(faults=tuple(fault for fault in error.faults if fault.path not in asked), asked=asked)
        return Target(raw, document, tuple(base.astray(document, typed)), asked)

    def _secrets_held(
        self, stored: repository.StoredDocument, base: changes.Base, replaced: Settings, there: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The secrets, or None, that come back with their destination; one that is left out must be typed.

        As the stored document has them, unless that one is in force nowhere. With a group that goes, its secrets go.
        """
        rejected = self.live.status.rejected
        is_unusable = stored.document is None or (rejected is not None and rejected.index == stored.index)
        settings = base.merged(there)
        stood = [path for path, shown in replaced.items() if shown != UNSET]
        found: dict[str, Any] = {}
        for path in changes.SECRETS:
            known = [secret for secret in base.secrets_for(path, settings) if secret or path not in stood]
            if not any(name.startswith(FIELDS[path].optional_group) for name in stood):
                found[path] = None
            elif known:
                found[path] = known[-1 if is_unusable else 0]
            elif path not in stood:
                found[path] = None
        return found

    def page(self, form: Any, status: int = 200, **more: Any) -> HttpResponse:
        form.focus_on_fault(form.fields)
        known = {"page": self.name, "title": self.title(), "new_id": self.save_id, "form": form}
        context = self.context | known | self.known | more
        return TemplateResponse(self.request, "demo_site/rollback.html", context, status=status)

    def off(self, reason: Message, status: int = 200) -> HttpResponse:
        return self.page(CommentForm(), status, off=reason)


class _RestorePage(_RollbackPage):
    name = "restore"

    def settings(self, save: history.Save) -> Settings | None:
        return save.after

    def reason(self, stored: repository.StoredDocument) -> str:
        index = self.target_save.index if self.target_save else ""
        return gettext("Back to version %(index)s") % {"index": index}


class _InForcePage(_RollbackPage):
    """Saves the document that every worker runs, byte for byte. It is not probed: it is in force already."""

    name = "in_force"

    def title(self) -> str:
        return gettext("Restore the version in force")

    def look_up(self, client: Client) -> None:
        """Nothing: this process holds it."""

    def proceed(self, stored: repository.StoredDocument, refusal: Message | None) -> HttpResponse:
        in_force = restorable(self.live, stored.index or None)
        if in_force is None:
            return self.off(_("What is stored was not rejected, so there is nothing to restore."))
        self.known |= {"in_force": in_force, "rejected": self.live.status.rejected}
        return super().proceed(stored, refusal)

    def target(self, stored: repository.StoredDocument, base: changes.Base, typed: Mapping[str, Any]) -> Target:
        revision = self.live.in_force.revision
        return Target(revision.raw, revision.document)

    def reason(self, stored: repository.StoredDocument) -> str:
        known = {"index": self.live.in_force.revision.index, "rejected": stored.index}
        if not stored.index:
            return gettext("Back to version %(index)s, which is in force: the document was deleted") % known
        return gettext("Back to version %(index)s, which is in force: version %(rejected)s was rejected") % known

    def probe(self, document: Document, masks: Masker) -> list[Fault]:
        return []

"""The history of the document, and going back in it: a rollback is a new save of an older version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from ..config import changes, history, masking, repository
from ..config.live import Live
from ..config.masking import UNSET, Masker, Settings, Shown
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..document.fields import given
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


def last_changes(live: Live) -> dict[str, Any]:
    """For a template: the newest changes, newest first, or why they cannot be read."""
    try:
        found = _read(live, 1, _LAST_CHANGES)
    except ConsulError as error:
        return {"events_trouble": error.message}
    return {"events": found["events"][:_LAST_CHANGES]}


def show_history(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The timeline, page by page: each save with its differences, and what was changed by others."""
    context = context | {"page": "history", "title": gettext("History of the configuration")}
    try:
        context |= _read(settings.CONFIGURATION, request.GET.get("page", 1), _PAGE_ENTRIES)
    except ConsulError as error:
        context["off"] = error.message
    return TemplateResponse(request, "demo_site/history.html", context)


def _read(live: Live, number: str | int, entries: int) -> dict[str, Any]:
    """One page of so many `entries`, for a template. Raises `ConsulError`."""
    key = live.start.key
    with live.start.open_client(TIMEOUTS) as client:
        stored = repository.read(client, key)
        ids, others = history.ids(client, key)
        pages = Paginator(ids, entries).get_page(number)
        page = history.read_page(client, key, ids, max(pages.start_index() - 1, 0), pages.end_index())
    return {"events": _timeline(live, stored, page), "pages": pages, "unread": page.unread, "others": others}


def _timeline(live: Live, stored: repository.StoredDocument, page: history.Page) -> list[history.Event]:
    revision = live.in_force.revision
    if revision.kind == "file" and not stored.index and not page.entries:
        return []  # nobody deleted anything
    masks = Masker(live.start.environment, live.in_force.document, changes.base(stored, revision).values)
    current = masking.shown(given(stored.document), masks) if stored.document else None
    return [
        replace(event, in_force_since=revision.loaded_at) if event.index == revision.index else event
        for event in map(_shortened, history.timeline(page, stored.index, current))
    ]


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
    """What a rollback to the version before this save would change; with a comment, the rollback."""
    return _RollbackPage(request, context, save_id).answer()


class _RollbackPage(ChangePage):
    kind = "rollback"
    saved_text = _("Rolled back, saved as ModifyIndex %(index)s.")

    def __init__(self, request: HttpRequest, context: dict[str, Any], replaced_id: str) -> None:
        super().__init__(request, context)
        self.replaced_id = replaced_id
        self.back: history.Save | None = None  # to before this one
        self.known: dict[str, Any] = {}

    def look_up(self, client: Client) -> None:
        self.back = history.read(client, self.start.key, self.replaced_id)

    def proceed(self, stored: repository.StoredDocument, refusal: Message | None) -> HttpResponse:
        if self.back is None:
            raise Http404
        base = changes.base(stored, self.live.in_force.revision)
        typed = self._typed()
        masks = self.masker(base, typed)
        target = self._target(stored, base, self.back, typed)
        form = self._form(masks, target.asked)
        self.known = {"stored": stored, "base_index": stored.index, "target": target, "refusal": refusal}
        if target.document is None:
            return self.page(form)
        comment = form.cleaned_data["comment"] if form.is_valid() else ""
        change = self.change(stored, target.document, comment, masks)
        untyped = {*target.asked} - typed.keys()
        self.known |= {"differences": [one for one in change.changes if one.setting not in untyped]}
        if self.data is None or not form.is_valid() or target.faults or not change.changes:
            return self.page(form)
        if self.data.get("base_index") != str(stored.index):
            return self.page(form, moved=True)
        if refusal:
            return self.page(form)
        # Only now, and never on a GET: a link must not make the site send a password.
        if faults := self.probe(target.document, masks):
            return self.page(form, target=replace(target, faults=tuple(faults)))
        return self.save(form, target.raw, change)

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

    def _form(self, masks: Masker, asked: Iterable[str] = ()) -> RollbackForm:
        self.clean_comment(masks)
        return RollbackForm(asked, self.data)

    def _target(
        self, stored: repository.StoredDocument, base: changes.Base, back: history.Save, typed: Mapping[str, Any]
    ) -> Target:
        if back.replaced is None:
            reason = _("The version before was not readable, so there is nothing to go back to.")
            return Target(faults=(Fault("", reason),))
        there = {path: shown.value for path, shown in back.replaced.items() if path in FIELDS and not shown.withheld}
        # In its groups it had nothing else, whatever has been declared there since: a host excludes a service.
        its_groups = {path.partition(".")[0] for path in there if "." in path}
        since = [path for path in FIELDS if path not in back.replaced and path.partition(".")[0] in its_groups]
        there |= dict.fromkeys(since)
        held = self._secrets_held(stored, base, back.replaced, there)
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
        known = {"page": "rollback", "title": gettext("Roll back"), "new_id": self.save_id, "form": form}
        context = self.context | known | {"save": self.back} | self.known | more
        return TemplateResponse(self.request, "demo_site/rollback.html", context, status=status)

    def off(self, reason: Message, status: int = 200) -> HttpResponse:
        return self.page(CommentForm(), status, off=reason)

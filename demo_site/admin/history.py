"""The history of the document, and going back in it: a rollback is a new save of an older version."""

from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..config import editing, history, masking, repository
from ..config.live import Live
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..document.parsing import Document, DocumentInvalid, parse
from ..monitoring.effective import Masker
from ..wording import localized
from . import saving
from .edit import why_not_saved
from .forms import CommentForm


@dataclass(frozen=True)
class Target:
    """The document that a rollback would save, or why there is none. `problems` are pairs of path and problem."""

    raw: bytes = field(default=b"", repr=False)
    document: Document | None = None
    problems: tuple[tuple[str, str], ...] = ()


def events(live: Live, count: int) -> list[history.Event]:
    """The newest changes, newest first. Raises `ConsulError`."""
    key = live.start.environment["DEMO_CONFIG_KEY"]
    with closing(Client(live.start.address, saving.TIMEOUTS)) as client:
        return _timeline(live, repository.read(client, key), history.newest(client, key, count))[:count]


def show_history(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The timeline: each save with its differences, and what was changed by others."""
    live: Live = settings.CONFIGURATION
    key = live.start.environment["DEMO_CONFIG_KEY"]
    context = context | {"page": "history", "title": _("History of the configuration")}
    try:
        with closing(Client(live.start.address, saving.TIMEOUTS)) as client:
            stored, kept = repository.read(client, key), history.kept(client, key)
        context |= {"events": _timeline(live, stored, kept.saves), "kept": kept}
    except ConsulError as error:
        context["off"] = localized(str(error))
    return TemplateResponse(request, "demo_site/history.html", context)


def _timeline(live: Live, stored: repository.Stored, saves: list[history.Save]) -> list[history.Event]:
    loaded = live.in_force.loaded
    if loaded.kind == "file" and not stored.index and not saves:
        return []  # nobody deleted anything
    masks = masking.masker(live.start.environment, editing.base(stored, loaded).values.values())
    current = masking.shown(stored.document, masks) if stored.document else None
    return [
        replace(event, in_force_since=loaded.loaded_at) if event.index == loaded.index else event
        for event in history.timeline(saves, stored.index, current)
    ]


def roll_back(request: HttpRequest, context: dict[str, Any], save_id: str) -> HttpResponse:
    """What a rollback to the version before this save would change; with a comment, the rollback."""
    return _Rollback(request, context, save_id).answer()


class _Rollback:
    """One request for the rollback page. What was typed is on every page that answers a POST."""

    def __init__(self, request: HttpRequest, context: dict[str, Any], save_id: str) -> None:
        self.request, self.save_id = request, save_id
        self.live: Live = settings.CONFIGURATION
        self.environment = self.live.start.environment
        self.data: dict[str, str] | None = request.POST.dict() if request.method == "POST" else None
        posted_id = request.POST.get("save_id", "")
        self.context = context | {
            "page": "rollback",
            "title": _("Roll back"),
            "new_id": posted_id if history.is_id(posted_id) else history.new_id(datetime.now(UTC)),
        }

    def answer(self) -> HttpResponse:
        client, key = Client(self.live.start.address, saving.TIMEOUTS), self.environment["DEMO_CONFIG_KEY"]
        try:
            stored, save = repository.read(client, key), history.read(client, key, self.save_id)
            made = history.read(client, key, self.context["new_id"]) if self.data else None  # pressed twice
            self.context["refusal"] = repository.write_refusal(client, key)
        except ConsulError as error:
            return self._out_of_reach(error)
        finally:
            client.close()
        if made:
            return self._saved(made.index)
        if save is None:
            raise Http404
        return self._answer(stored, save)

    def _answer(self, stored: repository.Stored, save: history.Save) -> HttpResponse:
        target, masks = self._target(stored, save), self._masker(stored)
        form = self._form(masks)
        shown = {"save": save, "stored": stored, "base_index": stored.index, "target": target, "form": form}
        if target.document is None:
            return self._page(**shown)
        change = self._change(stored, target, target.document, masks)
        shown["differences"] = change.differences
        if self.data is None or not form.is_valid() or target.problems or not change.differences:
            return self._page(**shown)
        if self.data.get("base_index") != str(stored.index):
            return self._page(**shown, moved=True)
        if self.context["refusal"]:
            return self._page(**shown)
        try:
            index = saving.commit(self.live, change, self.request.user)
        except repository.Conflict:
            return self.answer()  # it was changed after it was read just now: the index differs this time
        except (saving.Unlogged, repository.TooLarge, repository.Unconfirmed, ConsulError) as error:
            form.add_error(None, why_not_saved(error))
            return self._page(**shown)
        return self._saved(index)

    def _saved(self, index: int) -> HttpResponse:
        text = _("Rolled back, saved as ModifyIndex %(index)s.") % {"index": index}
        return saving.answer(self.request, self.context["may"], text)

    def _out_of_reach(self, error: ConsulError) -> HttpResponse:
        reason = localized(str(error))
        if self.data is None:
            return self._page(off=reason)
        in_force = self.live.in_force.loaded
        form = self._form(self._masker(repository.Stored(in_force.raw, 0)))
        form.add_error(None, reason)
        return self._page(form=form, base_index=self.data.get("base_index", ""), kept=True)

    def _form(self, masks: Masker) -> CommentForm:
        if self.data:  # in case somebody explains the rollback by naming a password
            self.data["comment"] = masks.clean(self.data.get("comment", "").replace("\r\n", "\n"))
        return CommentForm(self.data)

    def _masker(self, stored: repository.Stored) -> Masker:
        base = editing.base(stored, self.live.in_force.loaded)
        in_force = self.live.in_force.document.redis_config.redis_password
        return masking.masker(self.environment, [in_force, *base.values.values()])

    def _target(self, stored: repository.Stored, save: history.Save) -> Target:
        if save.replaced is None:
            return Target(
                problems=(("", _("The version before was not readable, so there is nothing to go back to.")),)
            )
        base = editing.base(stored, self.live.in_force.loaded)
        old = {path: shown.value for path, shown in save.replaced.items() if not shown.withheld}
        kept = {path: value for path, value in base.values.items() if path not in old}
        new = {**old, **kept, **editing.secrets_in_force(self.live, stored)}
        raw = base.changed({path: editing.plain(value) for path, value in new.items()})
        try:
            document = parse(raw)
        except DocumentInvalid as error:
            return Target(problems=tuple((fault.path, localized(fault.problem)) for fault in error.faults))
        problems = [(path, localized(problem)) for path, problem in editing.probe_faults(document)]
        return Target(raw, document, tuple(problems))

    def _change(self, stored: repository.Stored, target: Target, document: Document, masks: Masker) -> saving.Change:
        before = masking.shown(stored.document, masks) if stored.document else None
        comment = self.data.get("comment", "") if self.data else ""
        return saving.Change(
            id=self.context["new_id"],
            raw=target.raw,
            replaced_index=stored.index,
            replaced=before,
            differences=masking.differences(before or {}, masking.shown(document, masks)),
            comment=comment.strip(),
            kind="rollback",
            masker=masks,
        )

    def _page(self, **more: Any) -> HttpResponse:
        return TemplateResponse(self.request, "demo_site/rollback.html", self.context | more)

"""The page to edit the configuration: a form, a preview with the probe's result, and a save that overwrites nobody."""

import logging
from collections.abc import Iterable
from typing import Any

from django import db
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from .. import redis_cache
from ..config import changes, history, masking
from ..config.repository import StoredDocument, parsed
from ..consul_agent.errors import ConsulError
from ..document.model import FIELDS
from ..document.parsing import Fault
from ..messages import Message, _, translated
from . import conflicts, secret_shares
from .change import ChangePage
from .forms import ConfigurationForm, Origin, received, typed_unseen
from .timeline import changes_since, index_of, restorable

logger = logging.getLogger(__name__)


def edit(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The form; the form with what is wrong; the preview; or, after a save, the way to its version."""
    return _EditPage(request, context).answer()


class _EditPage(ChangePage):
    kind = "edit"
    saved_text = _("Saved as version %(index)s.")

    def received(self) -> dict[str, str]:
        data = received(self.request.POST, self.request.session)
        _write(self.request.session)
        return data

    def answer(self) -> HttpResponse:
        if self.live.in_force.revision.kind == "file":
            return self.off(_("This site reads its configuration from a file, not from Consul: edit the file."))
        return super().answer()

    def proceed(self, stored: StoredDocument, refusal: Message | None) -> HttpResponse:
        form = self._form(stored)
        if refusal:
            for field in form.fields.values():
                field.disabled = self.data is None  # a disabled field would forget what was typed
            return self.page(form, refusal=refusal)
        if self.data is None:
            return self.page(form)
        if self.data.get("base_index") != str(stored.index):
            return self._conflict(stored, form, self.data)
        if theirs := conflicts.given_up(self.data):
            return self._give_up(stored, form, theirs)
        return self._checked(form, stored)

    def _checked(self, form: ConfigurationForm, stored: StoredDocument) -> HttpResponse:
        """Validate, probe, and go on to the step that was asked for."""
        step = form.data.get("step")
        if step == "edit" or not form.is_valid():
            return self.page(form)
        masks = self._masks(form.origin.base)
        for fault in self.probe(form.document, masks):
            form.add_fault(form.at_changed(fault))
        change = self.change(stored, form.document, form.cleaned_data["comment"], masks)
        if not change.changes and stored.document:
            form.add_error(None, gettext("Nothing is changed yet."))
        if form.errors:
            return self.page(form)
        return self.save(form, form.raw, change) if step == "save" else self._preview(form, change)

    def saved(self, index: int) -> HttpResponse:
        secret_shares.forget(self.request.session)
        _write(self.request.session)
        return super().saved(index)

    def _conflict(self, stored: StoredDocument, form: ConfigurationForm, data: dict[str, str]) -> HttpResponse:
        """Carry on from the new document: what the visitor changed stays typed, the rest is as it is now."""
        before, theirs = conflicts.loaded(data.get("base_shown", "")), conflicts.given_up(data)
        found = conflicts.find(form, before, self._masks(form.origin.base), theirs)
        if found and all(conflict.mine == conflict.theirs for conflict in found):
            return self.done(_("What is stored now is what you typed: nothing is left to save."), stored.index)
        mine = {conflict.setting: conflict.mine for conflict in found if conflict.mine not in (None, conflict.theirs)}
        typed = [path for path, shown in mine.items() if shown != masking.UNSET]
        moved = theirs | {conflict.setting for conflict in found if conflict.mine is None}
        forgotten = conflicts.forgotten(typed, moved)
        form = self._reset(stored, form, (FIELDS.keys() - mine.keys()) | {*forgotten}, forgotten)
        others = changes_since(self.live, data.get("base_index", ""))
        choices = {path: conflicts.choice_name(path) for path in mine.keys() - {*forgotten}}
        rows = [(conflict, choices.get(conflict.setting) if conflict.both else None) for conflict in found]
        return self.page(form, conflicts=rows, **others)

    def _give_up(self, stored: StoredDocument, form: ConfigurationForm, theirs: frozenset[str]) -> HttpResponse:
        """Go on with what is stored of these settings. A secret was typed for the destination that was given up."""
        typed = typed_unseen(form.data, self.request.session).keys() - theirs
        forgotten = conflicts.forgotten(typed, theirs)
        form = self._reset(stored, form, theirs | {*forgotten}, forgotten)
        return self.page(form) if forgotten else self._checked(form, stored)

    def _reset(
        self, stored: StoredDocument, form: ConfigurationForm, paths: Iterable[str], forgotten: Iterable[str]
    ) -> ConfigurationForm:
        """The form again, with these settings as they are stored, and the secrets that have to be typed again."""
        self.data = conflicts.reset(form, paths)
        form = self._form(stored)
        for path in forgotten:
            form.add_fault(Fault(path, _("somebody else changed where it goes, so it is forgotten: type it again")))
        return form

    def unreachable(self, error: ConsulError) -> HttpResponse:
        if self.data is None:
            return self.off(error.message)
        form = self._form(parsed(self.live.in_force.revision.raw, index_of(self.data.get("base_index", ""))))
        form.add_error(None, translated(error.message, gettext))
        return self.page(form, base_shown=self.data.get("base_shown"), kept=True)

    # What the pages are made of.

    def _form(self, stored: StoredDocument) -> ConfigurationForm:
        base = changes.base(stored, self.live.in_force.revision)
        masks = self._masks(base)
        self.clean_comment(masks)
        return ConfigurationForm(Origin(base, masking.shown(base.values, masks), self.request.session), self.data)

    def _masks(self, base: changes.Base) -> masking.Masker:
        return self.masker(base, typed_unseen(self.data, self.request.session) if self.data else None)

    def page(self, form: Any, **more: Any) -> HttpResponse:
        base, rejected = form.origin.base, self.live.status.rejected
        known = {"title": gettext("Edit the configuration"), "faults": base.faults}
        if base.index and (index := restorable(self.live, base.index)):
            known |= {"restorable": index, "rejected": rejected}
        # Answers in between, as while Consul is away, carry the choices along.
        given_up = {path: conflicts.choice_name(path) for path in conflicts.given_up(form.data)}
        rows = form.rows() | {"given_up": given_up}
        form.focus_on_fault([*(row["field"].name for row in (*rows["shown"], *rows["folded"])), "comment"])
        return self._page("edit", form, known | rows | more)

    def _preview(self, form: ConfigurationForm, change: history.Save) -> HttpResponse:
        known = {"title": gettext("Review and save"), "change": change, "redis": redis_cache.place(form.document)}
        return self._page("edit_preview", form, known)

    def _page(self, template: str, form: ConfigurationForm, more: dict[str, Any]) -> HttpResponse:
        origin = form.origin
        known = {"page": "edit", "form": form, "base": origin.base, "base_shown": conflicts.dumped(origin.shown)}
        return TemplateResponse(self.request, f"demo_site/{template}.html", self.context | known | more)

    def off(self, reason: Message, status: int = 200) -> HttpResponse:
        context = self.context | {"page": "edit", "title": gettext("Edit the configuration"), "off": reason}
        return TemplateResponse(self.request, "demo_site/edit.html", context, status=status)


def _write(session: SessionBase) -> None:
    """Store the session's changes, if the database takes them. After the answer its error would be all that is shown.

    What is lost is one share of a secret: the form says so when it is needed.
    """
    try:
        if session.modified:
            session.save()
    except (db.Error, UpdateError) as error:
        logger.warning("The session of a visitor who edits the configuration cannot be stored: %s", error)
    session.modified = False

"""Changing the configuration: a form, a preview with the probe's result, and a save that overwrites nobody."""

import logging
from datetime import UTC, datetime
from typing import Any

from django import db
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..config import editing, history, masking, repository
from ..config.live import Live
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError, Denied
from ..monitoring.effective import Masker
from ..wording import localized
from . import conflicts, saving, secret_shares
from .forms import ConfigurationForm, Origin, received, typed_secrets

logger = logging.getLogger(__name__)


def edit(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The form; the form with what is wrong; the preview; or, after a save, the way to the history."""
    return _Editor(request, context).answer()


class _Editor:
    """One request for the edit page."""

    def __init__(self, request: HttpRequest, context: dict[str, Any]) -> None:
        self.request, self.context, self.session = request, context, request.session
        self.live: Live = settings.CONFIGURATION
        self.environment = self.live.start.environment
        self.data: dict[str, str] | None = received(request.POST, self.session) if request.method == "POST" else None
        _write(self.session)

    def answer(self) -> HttpResponse:
        if self.live.in_force.loaded.kind == "file":
            return self._off(_("This site reads its configuration from a file, not from Consul: edit the file."))
        client = Client(self.live.start.address, saving.TIMEOUTS)
        try:
            stored = repository.read(client, self.environment["DEMO_CONFIG_KEY"])
            made = self._made(client)  # after the document: it cannot be a later one than a save that is not found
            refusal = repository.write_refusal(client, self.environment["DEMO_CONFIG_KEY"])
        except ConsulError as error:
            return self._out_of_reach(error)
        finally:
            client.close()
        if made:
            return self._saved(made.index)
        if refusal:
            return self._refused(stored, refusal)
        if self.data is None:
            return self._form_page(self._form(stored))
        if self.data.get("base_index") != str(stored.index):
            return self._conflict(stored, self.data)
        return self._checked(self._form(stored), stored)

    def _made(self, client: Client) -> history.Save | None:
        """The save that is asked for, if it was made already: a button can be pressed twice."""
        save_id = self.data.get("save_id", "") if self.data and self.data.get("step") == "save" else ""
        return history.read(client, self.environment["DEMO_CONFIG_KEY"], save_id) if history.is_id(save_id) else None

    def _checked(self, form: ConfigurationForm, stored: repository.Stored) -> HttpResponse:
        """Validate, probe, and go on to the step that was asked for."""
        step = form.data.get("step")
        if step == "edit" or not form.is_valid():
            return self._form_page(form)
        for path, problem in editing.probe_faults(form.document):
            form.add_fault(path, self._masker(stored).clean(problem))
        change = self._change(form, stored)
        if not change.differences and stored.document:
            form.add_error(None, _("Nothing is changed yet."))
        if form.errors:
            return self._form_page(form)
        return self._save(form, change) if step == "save" else self._preview_page(form, change)

    def _save(self, form: ConfigurationForm, change: saving.Change) -> HttpResponse:
        try:
            index = saving.commit(self.live, change, self.request.user)
        except repository.Conflict:
            return self._reread(form)
        except Denied as error:
            return self._form_page(form, refusal=str(error))
        except (saving.Unlogged, repository.TooLarge, repository.Unconfirmed, ConsulError) as error:
            form.add_error(None, why_not_saved(error))
            return self._form_page(form)
        return self._saved(index)

    def _saved(self, index: int) -> HttpResponse:
        secret_shares.forget(self.session)
        _write(self.session)
        text = _("Saved as ModifyIndex %(index)s.") % {"index": index}
        return saving.answer(self.request, self.context["may"], text)

    def _reread(self, form: ConfigurationForm) -> HttpResponse:
        client = Client(self.live.start.address, saving.TIMEOUTS)
        try:
            return self._conflict(repository.read(client, self.environment["DEMO_CONFIG_KEY"]), dict(form.data))
        except ConsulError as error:
            form.add_error(None, why_not_saved(error))
            return self._form_page(form)
        finally:
            client.close()

    def _conflict(self, stored: repository.Stored, data: dict[str, str]) -> HttpResponse:
        """Carry on from the new document: what the visitor changed stays typed, the rest is as it is now."""
        before = conflicts.loaded(data.get("base_shown", ""))
        form = self._form(stored)
        found = conflicts.find(form, before, self._masker(stored))
        self.data = conflicts.carried_over(data, found, form.origin.shown)
        if found and all(clash.mine == clash.theirs for clash in found):
            text = _("What is stored now is what you typed: nothing is left to save.")
            return saving.answer(self.request, self.context["may"], text)
        return self._form_page(self._form(stored), clashes=found)

    def _out_of_reach(self, error: ConsulError) -> HttpResponse:
        if self.data is None:
            return self._off(localized(str(error)))
        in_force = self.live.in_force.loaded
        form = self._form(repository.Stored(in_force.raw, _number(self.data.get("base_index"))))
        form.add_error(None, localized(str(error)))
        return self._form_page(form, base_shown=self.data.get("base_shown"), kept=True)

    def _refused(self, stored: repository.Stored, refusal: str) -> HttpResponse:
        form = self._form(stored)
        for field in form.fields.values():
            field.disabled = self.data is None  # a disabled field would forget what was typed
        return self._form_page(form, refusal=refusal)

    # What the pages are made of.

    def _form(self, stored: repository.Stored) -> ConfigurationForm:
        base = editing.base(stored, self.live.in_force.loaded)
        masks = self._masker(stored)
        shown = masking.shown_values(base.values, masks)
        if self.data:  # in case somebody explains a new password by naming the old one
            self.data["comment"] = masks.clean(self.data.get("comment", ""))
        return ConfigurationForm(Origin(base, shown, self.session), self.data)

    def _masker(self, stored: repository.Stored) -> Masker:
        base = editing.base(stored, self.live.in_force.loaded)
        in_force = self.live.in_force.document.redis_config.redis_password
        typed = typed_secrets(self.data, self.session) if self.data else {}
        return masking.masker(self.environment, [in_force, *base.values.values(), *typed.values()])

    def _change(self, form: ConfigurationForm, stored: repository.Stored) -> saving.Change:
        masks = self._masker(stored)
        before = masking.shown(stored.document, masks) if stored.document else None
        after = masking.shown(form.document, masks)
        save_id = form.data.get("save_id", "")
        return saving.Change(
            id=save_id if history.is_id(save_id) else history.new_id(datetime.now(UTC)),
            raw=form.raw,
            replaced_index=stored.index,
            replaced=before,
            differences=masking.differences(before or {}, after),
            comment=form.cleaned_data["comment"],
            kind="edit",
            masker=masks,
        )

    def _form_page(self, form: ConfigurationForm, **more: Any) -> HttpResponse:
        return self._page("edit", form, {"rows": form.rows(), "faults": form.origin.base.faults, **more})

    def _preview_page(self, form: ConfigurationForm, change: saving.Change) -> HttpResponse:
        return self._page("edit_preview", form, {"change": change, "redis": form.document.redis_config})

    def _page(self, template: str, form: ConfigurationForm, more: dict[str, Any]) -> HttpResponse:
        base_shown = conflicts.dumped(form.origin.shown)
        title = _("Check the change") if template == "edit_preview" else _("Edit the configuration")
        known = {"page": "edit", "title": title, "form": form, "base": form.origin.base, "base_shown": base_shown}
        return TemplateResponse(self.request, f"demo_site/{template}.html", self.context | known | more)

    def _off(self, reason: str) -> HttpResponse:
        context = self.context | {"page": "edit", "title": _("Edit the configuration"), "off": reason}
        return TemplateResponse(self.request, "demo_site/edit.html", context)


def why_not_saved(error: Exception) -> str:
    """What a page says of a save that failed."""
    if isinstance(error, repository.TooLarge):
        return _("The document and its history do not fit into one transaction of Consul (512 KiB).")
    if isinstance(error, saving.Unlogged):
        return _("The database of this site does not take the log entry, so nothing was saved: try again.")
    reason = localized(str(error))
    if isinstance(error, repository.Unconfirmed):
        return _("Consul did not confirm the save. It is never made twice: try again. (%(why)s)") % {"why": reason}
    return reason


def _write(session: SessionBase) -> None:
    """Keep the session's changes, if the database takes them. After the answer its error would be all that is shown.

    What is lost is the half of a secret: the form says so when it is needed.
    """
    try:
        if session.modified:
            session.save()
    except (db.Error, UpdateError) as error:
        logger.warning("The session of a visitor who edits the configuration cannot be kept: %s", error)
    session.modified = False


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 20 else 0

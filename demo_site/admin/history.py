"""Going back in the history of the document: a rollback is a new save of an older version."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext

from ..config import changes, history, repository
from ..config.masking import UNSET, Masker, Settings
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..document.model import FIELDS, Document
from ..document.parsing import DocumentInvalid, Fault, parse
from ..messages import Message, _, translated
from .change import ChangePage
from .forms import CommentForm, RollbackForm, field_name
from .timeline import changes_since, restorable


@dataclass(frozen=True)
class Target:
    """The document that a rollback would save, or why there is none; `asked` are the secrets that must be typed."""

    raw: bytes = field(default=b"", repr=False)
    document: Document | None = None
    faults: tuple[Fault, ...] = ()
    asked: tuple[str, ...] = ()


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
            seen = self.data.get("base_index", "")
            return self.page(form, moved=True, **changes_since(self.live, seen))
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

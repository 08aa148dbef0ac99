"""Changing the configuration: what the pages to edit it and to go back in its history share.

A change is proposed, checked against what is stored, shown, and saved with everything that belongs to it: Django's log,
the history in Consul, the compare-and-set.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from django import db
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from .. import redis_cache
from ..config import changes, history, masking, probing, repository
from ..config.live import Live
from ..config.masking import Masker, Shown
from ..config.revision import timestamp
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.errors import ConsulError, Denied
from ..document.fields import given
from ..document.model import Document
from ..document.parsing import Fault
from ..messages import Message, MessageError, _, joined, translated
from ..models import EffectiveConfiguration
from ..serving.client_address import shown_address
from .forms import COMMENT_LENGTH, CommentForm

TIMEOUTS = Timeouts(connect=1.0, read=3.0)
# What a page masks tells whether a typed text is a secret in force. So nobody may ask in a loop: each user has so many
# pages in each worker, and one more every few seconds. What is saved does not count: the history has it.
_MOST_PAGES, _SECONDS_A_PAGE = 300, 5.0

_MOST_FAULTS = 5  # in a line of the log

logger = logging.getLogger(__name__)


class Unlogged(MessageError):
    """Django's log did not take the entry; nothing was saved."""


class ChangePage:
    """One request for a page that changes the configuration. `data` is what was typed, None until something was.

    A subclass says what is proposed (`proceed`), and how its page looks (`page`).
    """

    kind: str  # as the history and the log name the change
    saved_text: Message

    def __init__(self, request: HttpRequest, context: dict[str, Any]) -> None:
        self.request, self.context = request, context
        self.live: Live = settings.CONFIGURATION
        self.start = self.live.start
        self.data: dict[str, str] | None = self.received() if request.method == "POST" else None
        typed_id = request.POST.get("save_id", "")
        self.is_save = history.is_id(typed_id) and request.POST.get("step", "save") == "save"
        self.save_id = typed_id if history.is_id(typed_id) else history.new_id(datetime.now(UTC))

    def received(self) -> dict[str, str]:
        """What the browser sent. A text area sends every line end as CR LF."""
        return {name: str(value).replace("\r\n", "\n") for name, value in self.request.POST.items()}

    def answer(self) -> HttpResponse:
        """The page, or after a save the way to where it shows."""
        if self.data is not None and not _allowance.take(self.request.user.pk):
            reason = _("These are too many requests in a short time. Wait a minute, then send this one again.")
            return self.off(reason, status=429)
        try:
            with self.start.open_client(TIMEOUTS) as client:
                stored = repository.read(client, self.start.key)
                # After the document: it cannot be a later one than a save that is not found. A button is pressed twice.
                made = history.read(client, self.start.key, self.save_id) if self.is_save else None
                refusal = repository.write_refusal(client, self.start.key)
                self.look_up(client)
        except ConsulError as error:
            return self.unreachable(error)
        return self.saved(made.index) if made else self.proceed(stored, refusal)

    def look_up(self, client: Client) -> None:
        """What else the page needs from Consul."""

    def proceed(self, stored: repository.StoredDocument, refusal: Message | None) -> HttpResponse:
        """The page for what is stored now; `refusal` says which right the site's token lacks to save."""
        raise NotImplementedError

    def unreachable(self, error: ConsulError) -> HttpResponse:
        """The page while Consul cannot be asked, with all that was typed."""
        raise NotImplementedError

    def page(self, form: Any, **more: Any) -> HttpResponse:
        raise NotImplementedError

    def off(self, reason: Message, status: int = 200) -> HttpResponse:
        """The page without its form."""
        raise NotImplementedError

    def probe(self, document: Document, masks: Masker) -> list[Fault]:
        """Have the document's Redis tried, as this user asks for, and log it."""
        faults = [fault._replace(problem=masks.clean(fault.problem)) for fault in probing.faults(document)]
        outcome = joined((fault.message for fault in faults), most=_MOST_FAULTS) if faults else "no fault"
        asked = {"user": self.request.user.get_username(), "address": shown_address(self.request)}
        tried = {"kind": self.kind, "place": redis_cache.place(document), "outcome": outcome}
        text = "%(user)s at %(address)s had %(place)s probed (%(kind)s): %(outcome)s"
        logger.info("%s", Message(text, **asked, **tried))
        return faults

    def masker(self, base: changes.Base, typed: dict[str, Any] | None = None) -> Masker:
        """Knows every secret that may turn up: in force, stored, typed, of the environment."""
        return Masker(self.start.environment, self.live.in_force.document, base.values, typed)

    def clean_comment(self, masks: Masker) -> None:
        """Mask what was typed as the comment, which may name the old password. Before that, its length is bounded."""
        if self.data:
            typed = self.data.get("comment", "")[: COMMENT_LENGTH + 1]  # one more is too long for the form
            self.data["comment"] = str(masks.clean(typed))

    def change(self, stored: repository.StoredDocument, new: Document, comment: str, masks: Masker) -> history.Save:
        """The proposed change, as it will stand in the history."""
        before = changes.as_shown(stored, self.live.in_force.revision, masks)
        return history.Save(
            saved_at=timestamp(datetime.now(UTC)),
            user=self.request.user.get_username(),
            comment=str(masks.clean(comment.strip())),
            kind=self.kind,
            replaced_index=stored.index,
            replaced=before,
            changes=tuple(masking.differences(before or {}, masking.shown(given(new), masks))),
            id=self.save_id,
        )

    def save(self, form: CommentForm, raw: bytes, change: history.Save) -> HttpResponse:
        """Save it, unless somebody else was faster: then the page starts from what is stored now."""
        try:
            index = commit(self.live, raw, change, self.request.user, shown_address(self.request))
        except repository.Conflict:
            return self.answer()  # it was changed after it was read just now: the index differs this time
        except Denied as error:
            return self.page(form, refusal=error.message)
        except (Unlogged, repository.Unconfirmed, ConsulError) as error:
            form.add_error(None, translated(error.message, gettext))
            return self.page(form)
        return self.saved(index)

    def saved(self, index: int) -> HttpResponse:
        """Watch it come into force, or go where somebody gets who may change the configuration but not view it."""
        _allowance.give_back(self.request.user.pk)
        return self.done(Message(self.saved_text, index=index), index)

    def done(self, text: Message, index: int) -> HttpResponse:
        messages.success(self.request, translated(text, gettext))
        if not self.context["may"]["view"]:
            return HttpResponseRedirect(reverse("admin:index"))
        return HttpResponseRedirect(reverse("admin:configuration_version", args=[index]))


class _Allowance:
    """How many pages each user may still ask for in this worker."""

    def __init__(self) -> None:
        self._used: dict[Any, tuple[float, float]] = {}  # by user: how many, and when that was so
        self._lock = threading.Lock()

    def take(self, user: Any) -> bool:
        return self._change(user, 1)

    def give_back(self, user: Any) -> None:
        self._change(user, -1)

    def _change(self, user: Any, pages: int) -> bool:
        with self._lock:
            now = time.monotonic()
            used, then = self._used.get(user, (0.0, now))
            left = max(used - (now - then) / _SECONDS_A_PAGE + pages, 0.0)
            is_allowed = left <= _MOST_PAGES
            if is_allowed:
                self._used[user] = left, now
            return is_allowed


_allowance = _Allowance()


def commit(live: Live, raw: bytes, change: history.Save, user: Any, address: str) -> int:
    """Save it and log it; returns the new ModifyIndex. Raises `Unlogged`, or as `repository.save`.

    The log entry comes first, so nothing is saved without one, and is committed before Consul is asked: other requests
    would wait for the database's lock as long as Consul takes. It says that Consul did not confirm the save until
    Consul has; it goes if nothing was saved, or if another request had made this save.
    """
    key, keep = live.start.key, live.start.environment["DEMO_CONFIG_HISTORY"]
    message = f"{_message(change)}\nfrom {address}"
    logged = _log(change, message, user)
    try:
        with live.start.open_client(TIMEOUTS) as client:
            saved = repository.save(client, key, raw, change, keep)
    except (repository.Conflict, ConsulError):
        _try(logged.delete)
        raise
    if saved.earlier:
        _try(logged.delete)
    else:
        logged.change_message, logged.object_repr = message, _named(replace(change, index=saved.index))
        _try(logged.save)
        author = Message.of(change.user)
        logger.info("%s from %s saved %s, ModifyIndex %s (%s)", author, address, key, saved.index, change.kind)
    return saved.index


def _try(write: Callable[[], object]) -> None:
    """What Consul did is done, whatever becomes of the log entry: that one then says less than is known."""
    try:
        write()
    except db.Error as error:
        logger.warning("A log entry goes on saying that Consul did not confirm a change: %s", error)


def _log(change: history.Save, message: str, user: Any) -> LogEntry:
    try:
        entry = LogEntry(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(EffectiveConfiguration),
            object_id=change.id,
            object_repr=_named(change),
            action_flag=CHANGE,
            change_message=f"(Consul did not confirm this) {message}",
        )
        entry.save()
    except db.Error as error:
        logger.warning("A change is not saved, because it cannot be logged: %s", error)
        text = _("The database of this site does not take the log entry, so nothing was saved: try again.")
        raise Unlogged(text) from error
    return entry


def _named(change: history.Save) -> str:
    """How "Recent actions" call it: its ModifyIndex, once Consul has confirmed it, and its reason."""
    return f"{change.index or '?'}: {' '.join(change.comment.split())}"[:200]


def _message(change: history.Save) -> str:
    lines = [f"{d.setting}: {_text(d.before)} → {_text(d.after)}" for d in change.changes]
    return "\n".join([f"{change.kind}: {change.comment}", *lines])


def _text(shown: Shown) -> str:
    """For the log: true, false and lists as JSON has them."""
    if shown.value is None:
        return "(not valid)" if shown.withheld else "(not set)"
    return shown.value if isinstance(shown.value, str) else json.dumps(shown.value, ensure_ascii=False)

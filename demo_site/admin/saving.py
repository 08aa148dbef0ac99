"""A save with everything that belongs to it: Django's log, the history in Consul, the compare-and-set."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django import db
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from ..config import history, repository
from ..config.live import Live
from ..config.masking import Difference, Settings, Shown
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.errors import ConsulError
from ..models import EffectiveConfiguration
from ..monitoring.effective import Masker

TIMEOUTS = Timeouts(connect=1.0, read=3.0)

logger = logging.getLogger(__name__)


class Unlogged(Exception):
    """Django's log did not take the entry; nothing was saved."""


@dataclass(frozen=True)
class Change:
    """A change that was validated and shown: what is saved, and what people are told of it."""

    id: str
    raw: bytes = field(repr=False)
    replaced_index: int
    replaced: Settings | None
    differences: Sequence[Difference]
    comment: str
    kind: str
    masker: Masker

    @property
    def shown_comment(self) -> str:
        """The comment, should it hold a secret, without it."""
        return str(self.masker.clean(self.comment))


def commit(live: Live, change: Change, user: Any) -> int:
    """Save it and log it; returns the new ModifyIndex. Raises `Unlogged`, or as `store.save`.

    The log entry comes first, so nothing is saved without one, and is committed before Consul is asked: other requests
    would wait for the database's lock as long as Consul takes. It says that Consul did not confirm the save until
    Consul has; it goes if nothing was saved, or if another request had made this save.
    """
    environment = live.start.environment
    key, client = environment["DEMO_CONFIG_KEY"], Client(live.start.address, TIMEOUTS)
    logged = _log(key, change, user)
    try:
        saved = repository.save(
            client, key, change.raw, change.id, _entry(change, user), environment["DEMO_CONFIG_HISTORY"]
        )
    except (repository.Conflict, repository.TooLarge, ConsulError):
        _try(logged.delete)
        raise
    finally:
        client.close()
    if saved.earlier:
        _try(logged.delete)
    else:
        logged.change_message = _message(change)
        _try(logged.save)
    return saved.index


def answer(request: HttpRequest, may: Mapping[str, bool], text: str) -> HttpResponseRedirect:
    """Say that it is saved, in the history, or where somebody gets who may change the configuration but not view it."""
    messages.success(request, text)
    return HttpResponseRedirect(reverse("admin:configuration_history" if may["view"] else "admin:index"))


def _try(write: Callable[[], object]) -> None:
    """What Consul did is done, whatever becomes of the log entry: that one then says less than is known."""
    try:
        write()
    except db.Error as error:
        logger.warning("A log entry goes on saying that Consul did not confirm a change: %s", error)


def _entry(change: Change, user: Any) -> history.Save:
    return history.Save(
        saved_at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        user=user.get_username(),
        comment=change.shown_comment,
        kind=change.kind,
        replaced_index=change.replaced_index,
        replaced=change.replaced,
        changes=tuple(change.differences),
    )


def _log(key: str, change: Change, user: Any) -> LogEntry:
    try:
        entry = LogEntry(
            user_id=user.pk,
            content_type=ContentType.objects.get_for_model(EffectiveConfiguration),
            object_id=key,
            object_repr=key,
            action_flag=CHANGE,
            change_message=f"(Consul did not confirm this) {_message(change)}",
        )
        entry.save()
    except db.Error as error:
        logger.warning("A change is not saved, because it cannot be logged: %s", error)
        raise Unlogged from error
    return entry


def _message(change: Change) -> str:
    lines = [f"{d.setting}: {_text(d.before)} → {_text(d.after)}" for d in change.differences]
    return "\n".join([f"{change.kind}: {change.shown_comment}", *lines])


def _text(shown: Shown) -> str:
    return "(not set)" if shown.value is None else str(shown.value)

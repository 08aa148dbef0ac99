"""A save with everything that belongs to it: Django's log, the history in Consul, the compare-and-set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction

from ..config import history, store
from ..config.effective import Masker
from ..config.live import Live
from ..config.masked import Difference, Settings, Shown
from ..consul_agent.client import Client, Timeouts
from ..models import EffectiveConfiguration

TIMEOUTS = Timeouts(connect=1.0, read=3.0)


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
    """Save it and log it; returns the new ModifyIndex. Raises as `store.save`; then nothing was logged either.

    What Consul did not confirm is logged as such: it may have been made.
    """
    environment = live.start.environment
    key, client = environment["DEMO_CONFIG_KEY"], Client(live.start.address, TIMEOUTS)
    try:
        with transaction.atomic():  # a log that cannot be written stops the save
            logged = _log(key, change, user)
            entry = _entry(change, user)
            try:
                index = store.save(client, key, change.raw, change.id, entry, environment["DEMO_CONFIG_HISTORY"])
            except store.Unconfirmed as error:
                unconfirmed = error
            else:
                return index
            logged.change_message = f"(Consul did not confirm this) {logged.change_message}"
            logged.save(update_fields=["change_message"])
    finally:
        client.close()
    raise unconfirmed


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
    lines = [f"{d.setting}: {_text(d.before)} → {_text(d.after)}" for d in change.differences]
    entry = LogEntry(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(EffectiveConfiguration),
        object_id=key,
        object_repr=key,
        action_flag=CHANGE,
        change_message="\n".join([f"{change.kind}: {change.shown_comment}", *lines]),
    )
    entry.save()
    return entry


def _text(shown: Shown) -> str:
    return "(not set)" if shown.value is None else str(shown.value)

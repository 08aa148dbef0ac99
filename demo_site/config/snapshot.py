"""The snapshot: the last value in force, kept in a file for a first start without Consul (DEMO_CONFIG_SNAPSHOT)."""

import contextlib
import json
import os
import stat
import time
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any

from ..bounded import json_fits, read_file
from ..document.parsing import MAX_BYTES, DocumentInvalid
from ..messages import MessageError, _
from .revision import Revision, parsed

_MODE = 0o600  # it holds the document's secrets
_MAX_BYTES = 2 * MAX_BYTES + 4096  # in JSON, a character of a document takes two at most; and the key and the index
_DRAFT_SECONDS = 60  # no writer takes that long


class SnapshotUnusable(MessageError):
    """There is no snapshot, or it cannot be used."""


def keep(path: Path, value: Revision, right_at: datetime) -> None:
    """Have `path` hold `value`; its time of modification says when that was last known to be right.

    Raises `OSError`.
    """
    content = {"key": value.place, "index": value.index, "document": value.raw.decode()}
    if not _holds(path, content):
        _write(path, json.dumps(content, ensure_ascii=False), right_at.timestamp())
    elif right_at.timestamp() > path.stat().st_mtime:
        os.utime(path, times=(right_at.timestamp(),) * 2)


def _holds(path: Path, content: dict[str, Any]) -> bool:
    """Whether the file is as it would be written: one that was copied or restored may be readable for others."""
    try:
        return stat.S_IMODE(path.stat().st_mode) == _MODE and _content(path) == content
    except (OSError, ValueError):
        return False


def _content(path: Path) -> Any:
    """What the file holds. Raises `OSError` or `ValueError`."""
    text = read_file(path, _MAX_BYTES)
    if not json_fits(text, most_values=10, most_depth=1):
        raise ValueError("not what is written here")
    return json.loads(text)


def _write(path: Path, content: str, modified: float) -> None:
    """Mode 0600, whole or not at all."""
    _remove_drafts(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, _MODE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.utime(draft, times=(modified, modified))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _remove_drafts(path: Path) -> None:
    """Remove what writers left that were killed: it holds the document's secrets."""
    for draft in path.parent.glob(f".{escape(path.name)}.*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > _DRAFT_SECONDS:
                draft.unlink()


def read(path: Path, key: str, max_age: float | None) -> Revision:
    """The value kept in `path`; its `loaded_at` is when it was last known to be right.

    Raises `SnapshotUnusable` when it is not there, broken, of another key, or older than `max_age` seconds.
    """
    try:
        modified = path.stat().st_mtime
        content = _content(path)
        raw, index, place = content["document"].encode(), int(content["index"]), content["key"]
        value = parsed(raw, "snapshot", place, index, datetime.fromtimestamp(modified, UTC))
    except OSError as error:
        raise SnapshotUnusable(_("it cannot be read: %(reason)s", reason=error.strerror)) from None
    except DocumentInvalid as error:
        raise SnapshotUnusable(_("its document is invalid: %(faults)s", faults=error.message)) from None
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        raise SnapshotUnusable(_("it is corrupt")) from None
    age = time.time() - modified
    if place != key:
        raise SnapshotUnusable(_("it is of another key"))
    if max_age is not None and age > max_age:
        ages = {"age": f"{age:.0f}", "most": f"{max_age:.0f}"}
        raise SnapshotUnusable(_("it is %(age)s s old, DEMO_CONFIG_SNAPSHOT_MAX_AGE allows %(most)s s", **ages))
    return value

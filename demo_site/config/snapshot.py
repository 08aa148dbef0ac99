"""The snapshot: the last value in force, kept in a file for a first start without Consul (DEMO_CONFIG_SNAPSHOT)."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from .document import DocumentInvalid
from .loaded import Loaded, loaded


class SnapshotUnusable(Exception):
    """There is no snapshot, or it cannot be used; the text says why."""


def write(path: Path, value: Loaded) -> None:
    """Keep `value` in `path`: mode 0600, whole or not at all. Raises `OSError`."""
    content = {"key": value.place, "index": value.index, "document": value.raw.decode()}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            json.dump(content, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def confirm(path: Path) -> None:
    """Note that the snapshot is still what Consul holds: its age counts from the last such moment."""
    if path.exists():
        os.utime(path)


def read(path: Path, key: str, max_age: float | None) -> Loaded:
    """The value kept in `path`; its `loaded_at` is when it was last known to be right.

    Raises `SnapshotUnusable` when it is not there, broken, of another key, or older than `max_age` seconds.
    """
    try:
        modified = path.stat().st_mtime
        content = json.loads(path.read_bytes())
        raw, index, place = content["document"].encode(), int(content["index"]), content["key"]
        value = loaded(raw, "snapshot", place, index, datetime.fromtimestamp(modified, UTC))
    except OSError as error:
        raise SnapshotUnusable(f"it cannot be read: {error.strerror}") from None
    except DocumentInvalid as error:
        raise SnapshotUnusable(f"its document is invalid: {error}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise SnapshotUnusable("it is corrupt") from None
    age = time.time() - modified
    if place != key:
        raise SnapshotUnusable("it holds the document of another key")
    if max_age is not None and age > max_age:
        raise SnapshotUnusable(f"it is {age:.0f} s old, DEMO_CONFIG_SNAPSHOT_MAX_AGE allows {max_age:.0f} s")
    return value

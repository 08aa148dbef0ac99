"""A changed document: the stored one with some settings replaced, and everything else as it was."""

import copy
import json
from collections.abc import Mapping
from typing import Any

REMOVED: Any = object()  # as a setting's new value: take the member away


def json_object(raw: bytes) -> dict[str, Any] | None:
    """The JSON object that `raw` holds, whatever its members; None if it holds none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def changed(stored: Mapping[str, Any], changes: Mapping[str, Any]) -> bytes:
    """The document with the value of each dotted path in `changes`; unknown members stay untouched."""
    result = copy.deepcopy(dict(stored))
    for path, value in changes.items():
        *parents, name = path.split(".")
        holder = result
        for parent in parents:
            if not isinstance(holder.get(parent), dict):
                holder[parent] = {}
            holder = holder[parent]
        if value is REMOVED:
            holder.pop(name, None)
        else:
            holder[name] = value
    return json.dumps(result, ensure_ascii=False, indent=2).encode("utf-8", "surrogatepass") + b"\n"

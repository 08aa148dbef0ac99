"""A plain table for the terminal."""

import json
import shutil
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import wcwidth  # a Chinese character takes two columns
from django.core.management.base import OutputWrapper
from django.core.management.color import Style

from ..messages import escaped

_GAP = "  "
_ROLES = {
    **dict.fromkeys(("current", "passing", "good"), "SUCCESS"),
    **dict.fromkeys(("behind", "maintenance", "snapshot", "stale", "unreadable", "warning", "note"), "WARNING"),
    **dict.fromkeys(("rejected", "critical", "bad"), "ERROR"),
}


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], out: OutputWrapper, style: Style) -> str:
    """The rows' columns under a heading, states in colour. Long values are wrapped to fit the terminal.

    What is no terminal, such as a pipe, gets each line of a value whole.
    """
    cells = [[_text(row[column]) for column in columns] for row in rows]
    room = shutil.get_terminal_size().columns if out.isatty() else sys.maxsize
    widths = _widths([list(columns), *cells], room - len(_GAP) * (len(columns) - 1))
    lines = [_line([column.upper() for column in columns], widths, style)]
    return "\n".join(lines + [_line(row, widths, style) for row in cells])


def coloured(state: str, text: str, style: Style) -> str:
    """The text in the colour of this state of a worker or a check, or level of a verdict; as it is for what is none."""
    return str(getattr(style, _ROLES[state])(text)) if state in _ROLES else text


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for programs, readable by people: only what a terminal could obey is escaped."""
    text = json.dumps(rows, ensure_ascii=False, indent=2)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, list):
        value = "\n".join(map(str, value))
    text = "-" if value is None or value == "" else str(value)
    return escaped(text).expandtabs(1)


def _widths(cells: list[list[str]], room: int) -> list[int]:
    """Each column is as wide as its longest line; the widest are cut to fit, but for the first one, which has names."""
    widths = [
        max(wcwidth.width(line) for row in cells for line in (row[i].splitlines() or [""]))
        for i in range(len(cells[0]))
    ]
    widths[0] = min(widths[0], room // 2)
    least = widths[0] + 8 * (len(widths) - 1)
    while len(widths) > 1 and sum(widths) > max(room, least):
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _line(row: list[str], widths: list[int], style: Style) -> str:
    wrapped = [
        [part for line in cell.splitlines() or [""] for part in wcwidth.wrap(line, width) or [""]]
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = (
        _GAP.join(
            coloured(cell, wcwidth.ljust(part, width), style)
            for cell, part, width in zip(row, parts, widths, strict=True)
        )
        for parts in zip_longest(*wrapped, fillvalue="")
    )
    return "\n".join(line.rstrip() for line in lines)

"""A plain table for the terminal."""

import json
import shutil
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from ..messages import escaped

_GAP = "  "


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """The rows' columns under a heading; long values are wrapped to fit the terminal (100 characters at most)."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    cells = [[_text(row[column]) for column in columns] for row in rows]
    widths = _widths([list(columns), *cells], width - len(_GAP) * (len(columns) - 1))
    lines = [_line([column.upper() for column in columns], widths)]
    return "\n".join(lines + [_line(row, widths) for row in cells])


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
    widths = [max(len(line) for row in cells for line in (row[i].splitlines() or [""])) for i in range(len(cells[0]))]
    widths[0] = min(widths[0], room // 2)
    least = widths[0] + 8 * (len(widths) - 1)
    while len(widths) > 1 and sum(widths) > max(room, least):
        widest = max(range(1, len(widths)), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _line(row: list[str], widths: list[int]) -> str:
    wrapped = [
        [part for line in cell.splitlines() or [""] for part in textwrap.wrap(line, width) or [""]]
        for cell, width in zip(row, widths, strict=True)
    ]
    lines = zip_longest(*wrapped, fillvalue="")
    return "\n".join(_GAP.join(map(str.ljust, parts, widths)).rstrip() for parts in lines)

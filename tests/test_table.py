"""The terminal table of the management commands."""

import io

import pytest
import wcwidth
from django.core.management.color import make_style

from tests.support.terminal import shown

ROWS = [
    {"setting": "DJANGO_SECURE_PROXY_SSL_HEADER", "value": "x" * 90, "origin": "a file of some name " * 9, "feeds": ""},
    {"setting": "redis_config.redis_password", "value": None, "origin": "default", "feeds": "CACHES"},
]
COLUMNS = ["setting", "value", "origin", "feeds"]


@pytest.mark.parametrize("columns", [70, 80, 100, 300])
def test_names_stay_whole_and_lines_fit_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = shown(ROWS, COLUMNS).splitlines()
    assert max(map(len, lines)) <= columns
    assert [line.split()[0] for line in lines if line[0] != " "] == ["SETTING", *(row["setting"] for row in ROWS)]


def test_narrow_terminal_breaks_even_names(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, shown(ROWS, ["setting", "value"]).splitlines())) <= 40


def test_pipe_gets_each_value_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = shown(ROWS, COLUMNS, io.StringIO).splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert ROWS[0]["origin"].strip() in lines[1]


def test_chinese_is_aligned_by_the_columns_that_it_takes(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    rows = [{"setting": "消息", "value": "你好世界" * 9}, {"setting": "message", "value": "hello"}]
    lines = shown(rows, ["setting", "value"]).splitlines()
    assert max(map(wcwidth.width, lines)) <= 40
    begins = {wcwidth.width(line[: line.index(word)]) for line, word in zip(lines, ("VALUE", "你好"), strict=False)}
    assert begins == {wcwidth.width(lines[-1][: lines[-1].index("hello")])}


def test_states_are_coloured_and_take_no_room_for_it():
    style, rows = make_style("dark"), [{"pid": n, "state": state} for n, state in enumerate(("current", "rejected"))]
    text = shown(rows, ["state", "pid"], style=style)
    assert style.SUCCESS("current ") in text
    assert style.ERROR("rejected") in text
    assert wcwidth.strip_sequences(text) == shown(rows, ["state", "pid"])


def test_what_a_terminal_cannot_show_is_escaped():
    assert "\x1b" not in shown([{"value": "\x1b[31mred"}], ["value"])

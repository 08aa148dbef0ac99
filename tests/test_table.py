"""The terminal table of the management commands."""

import pytest

from demo_site.management.table import table

ROWS = [
    {"setting": "DJANGO_SECURE_PROXY_SSL_HEADER", "value": "x" * 90, "origin": "a file of some name " * 9, "feeds": ""},
    {"setting": "redis_config.redis_password", "value": None, "origin": "default", "feeds": "CACHES"},
]


@pytest.mark.parametrize("columns", [70, 80, 100, 300])
def test_names_stay_whole_and_lines_fit_the_terminal(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = table(ROWS, ["setting", "value", "origin", "feeds"]).splitlines()
    assert max(map(len, lines)) <= min(columns, 100)
    assert [line.split()[0] for line in lines if line[0] != " "] == ["SETTING", *(row["setting"] for row in ROWS)]


def test_narrow_terminal_breaks_even_names(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, table(ROWS, ["setting", "value"]).splitlines())) <= 40


def test_what_a_terminal_cannot_show_is_escaped():
    assert "\x1b" not in table([{"value": "\x1b[31mred"}], ["value"])

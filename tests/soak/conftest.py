"""`make soak`: the long tests. Each test records its figures; they are printed together at the end."""

import pytest

FIGURES = pytest.StashKey()


def pytest_configure(config):
    config.stash[FIGURES] = []


@pytest.fixture
def figure(request):
    """Record a figure: what was measured, and its value as text."""

    def note(what, value):
        request.config.stash[FIGURES].append((what, value))

    return note


@pytest.fixture
def report(figure):
    """Record a row of docs/reliability.md: the test, the figure, the bound. Printed at once as well."""

    def note(what, found, bound=""):
        figure(what, f"{found} | {bound}")
        print(f"\n| {what} | {found} | {bound} |", flush=True)

    return note


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.section("figures")
    for what, value in config.stash[FIGURES]:
        terminalreporter.write_line(f"| {what} | {value} |")

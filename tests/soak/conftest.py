"""`make soak`: the promises in full length. Each test notes its figures; they are printed together at the end."""

import pytest

FIGURES = pytest.StashKey()


def pytest_configure(config):
    config.stash[FIGURES] = []


@pytest.fixture
def figure(request):
    """Note a figure: what was measured, and its value for people."""

    def note(what, value):
        request.config.stash[FIGURES].append((what, value))

    return note


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.section("figures")
    for what, value in config.stash[FIGURES]:
        terminalreporter.write_line(f"| {what} | {value} |")

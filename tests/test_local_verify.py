"""`make test` installs every part or fails: it never passes with one of them missing."""

import json
import os
import sys
import tomllib

import pytest
import verify

from tests.support.binaries import PROJECT
from tests.support.secrets import LEAKED

import catalogs
import debian
import environment
from servers import ServerNotFound


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with an empty PATH; returns that directory."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CONSUL_BIN", "REDIS_SERVER_BIN"):
        monkeypatch.setenv(variable, sys.executable)
    monkeypatch.setattr(debian, "POSTGRESQL", tmp_path)
    monkeypatch.setattr(verify, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(environment, "provide", lambda root, requirements, say: "python")
    monkeypatch.setattr(verify, "find_axe", lambda cache, say: None, raising=False)
    monkeypatch.setattr(os, "chdir", lambda path: None)
    return tmp_path


@pytest.fixture
def became(monkeypatch):
    """The commands that this process would have become, each with its variables."""
    commands = []
    monkeypatch.setattr(os, "execve", lambda path, command, variables: commands.append((command, variables)))
    return commands


def install_all(bare, packages):
    for package in packages:
        program = bare / verify.PROGRAMS[package][0]
        program.touch()
        program.chmod(0o755)


def test_pytest_gets_its_arguments_and_the_servers(bare, became):
    install_all(bare, verify.PROGRAMS)
    verify.main(["test", "-k", "redis"])
    ((command, variables),) = became
    assert command == ["python", "-m", "pytest", *verify.IN_PARALLEL, "-k", "redis"]
    assert variables["CONSUL_BIN"] == variables["REDIS_SERVER_BIN"] == sys.executable


@pytest.fixture
def ended(bare, monkeypatch):
    """A run of all tests ends with this status, after these have failed."""
    install_all(bare, verify.PROGRAMS)
    monkeypatch.setattr(verify, "LAST_FAILED", bare / "lastfailed")

    def ended(status, failed):
        verify.LAST_FAILED.write_text(json.dumps(dict.fromkeys(failed, True)))
        monkeypatch.setattr(verify, "_status", lambda command, variables: status)

    return ended


@pytest.mark.parametrize("task", ["test", "quick"])
def test_few_that_failed_are_named_and_tried_once_more_alone(ended, became, capsys, task):
    ended(1, ["tests/test_a.py::test_b"])
    verify.main([task])
    ((command, _variables),) = became
    assert command == ["python", "-m", "pytest", "-p", "no:randomly", "--last-failed", "-v"]
    assert "tests/test_a.py::test_b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "failed"),
    [(0, 0), (1, verify.MOST_TRIED_AGAIN + 1), (1, 0), (2, 1), (LEAKED, 1)],
    ids=["all passed", "too many", "none named", "interrupted", "a secret leaked"],
)
def test_any_other_run_ends_as_pytest_did(ended, became, status, failed):
    ended(status, [f"tests/test_a.py::test_{number}" for number in range(failed)])
    with pytest.raises(SystemExit) as caught:
        verify.main(["test"])
    assert (caught.value.code, became) == (status, [])


def test_tool_that_is_run_to_its_end_gives_its_status(bare):
    program = "import os; os._exit(int(os.environ['STATUS']))"
    assert verify._status([sys.executable, "-c", program], {"STATUS": "7"}) == 7


def test_quick_leaves_out_the_slow_tests_and_needs_no_browser(bare, became):
    install_all(bare, verify.QUICK_PROGRAMS)
    verify.main(["quick", "-x"])
    ((command, variables),) = became
    assert command == ["python", "-m", "pytest", *verify.IN_PARALLEL, "-m", "not slow", "-x"]
    assert variables["CONSUL_BIN"] == variables["REDIS_SERVER_BIN"] == sys.executable


def test_missing_programs_are_installed(bare, became, monkeypatch):
    asked = []
    monkeypatch.setattr(debian, "install", lambda packages, say: asked.extend(packages))
    verify.main(["test", "-x"])
    assert asked == list(verify.PROGRAMS)
    assert len(became) == 1


@pytest.mark.parametrize("missing", list(verify.PROGRAMS))
def test_a_program_that_cannot_be_had_fails_the_run(bare, became, capsys, missing):
    install_all(bare, set(verify.PROGRAMS) - {missing})
    assert verify.main(["test"]) == 1
    assert f"what Debian calls {missing}" in capsys.readouterr().err
    assert became == []


def test_a_server_that_cannot_be_had_fails_the_run(bare, became, monkeypatch, capsys):
    def find(cache, say):
        raise ServerNotFound("Redis was not found.")

    monkeypatch.setattr(verify, "find_redis", find)
    assert verify.main(["test"]) == 1
    assert "FAILED: Redis was not found." in capsys.readouterr().err
    assert became == []


@pytest.mark.parametrize("faulty", ["ruff check", "ruff format --check", "bandit"])
def test_a_fault_that_a_tool_finds_fails_the_check(bare, became, monkeypatch, capsys, faulty):
    monkeypatch.setattr(verify.subprocess, "call", lambda command: " ".join(command[2:]).startswith(faulty))
    assert verify.main(["check"]) == 1
    assert f"`{faulty}" in capsys.readouterr().err
    assert became == []


def test_messages_says_how_many_are_left_to_translate(bare, monkeypatch, capsys):
    install_all(bare, ["gettext"])
    monkeypatch.setattr(catalogs, "update", lambda root, python: 3)
    assert verify.main(["messages"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "==> Messages that are not translated yet: 3"


def test_messages_without_gettext_fails(bare, capsys):
    assert verify.main(["messages"]) == 1
    assert "what Debian calls gettext" in capsys.readouterr().err


def test_no_rule_about_security_is_off_for_the_product_or_its_tools():
    linting = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    off = {
        place: [rule for rule in rules if rule.startswith("S") and not rule.startswith("SIM")]
        for place, rules in {"everywhere": linting["ignore"], **linting["per-file-ignores"]}.items()
    }
    assert {place: rules for place, rules in off.items() if rules} == {"tests/**": ["S101", "S105", "S106"]}
    assert "S" in linting["select"]

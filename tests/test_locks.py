"""What is installed is a lock: every package at one version, each file with its hash; and it is that of its list."""

import json
import re
import zipfile

import pytest
import verify

from tests.support.binaries import PROJECT

import environment
import locks
from processes import Failed, Result

SIX = "six==1.17.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via -r requirements.txt\n"


@pytest.fixture
def project(tmp_path):
    """A list of one package, and its lock."""
    (tmp_path / "requirements.txt").write_text("six==1.17.0  # a reason\n")
    (tmp_path / "requirements.lock").write_text(SIX)
    return tmp_path


def test_every_list_of_the_project_has_its_lock():
    lists = {path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("[!.]*/**/requirements.txt")}
    assert lists | {"requirements.txt", "tests/py-consul.txt"} == set(locks.LISTS)
    assert [fault for each in locks.LISTS for fault in locks.faults_of(PROJECT, each)] == []


@pytest.mark.parametrize("requirements", locks.LISTS)
def test_every_package_of_a_lock_has_an_exact_version_and_hashes(requirements):
    lock = (PROJECT / locks.lock_of(requirements)).read_text()
    entries = re.findall(r"^[A-Za-z0-9](?:.*\\\n)*.*", lock, re.MULTILINE)
    assert len(entries) == len(re.findall(r"^[^\s#]", lock, re.MULTILINE)) > 0
    for entry in entries:
        first, *rest = [line.removesuffix("\\").strip() for line in entry.splitlines()]
        assert re.fullmatch(r"[\w.-]+==[^\s;]+( ; .+)?", first), entry
        assert rest, entry
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", line) for line in rest), entry


@pytest.mark.parametrize("requirements", locks.LISTS)
def test_a_lock_names_no_place_to_download_from(requirements):
    lines = (PROJECT / locks.lock_of(requirements)).read_text().splitlines()
    assert [line for line in lines if "://" in line or re.match(r"\s*-(?!-hash=)", line)] == []


def test_locks_that_are_installed_together_agree():
    run, tests = (locks.pins((PROJECT / name).read_text()) for name in ("requirements.lock", "tests/requirements.lock"))
    assert {name: run[name] for name in run.keys() & tests.keys()} == {n: tests[n] for n in run.keys() & tests.keys()}


@pytest.mark.parametrize(
    ("listed", "fault"),
    [
        ("six==1.18.0", "requirements.txt has six==1.18.0, requirements.lock has 1.17.0"),
        ("six==1.17.0\nDjango_Axes[ipware]==8.0", "requirements.txt has django-axes==8.0, requirements.lock has none"),
        ("six>=1.17.0", "requirements.txt: `six>=1.17.0` must be NAME==VERSION"),
        ("# nothing", "requirements.lock has six, requirements.txt does not"),
    ],
)
def test_a_list_that_its_lock_does_not_match_is_told_with_the_remedy(project, listed, fault):
    (project / "requirements.txt").write_text(listed + "\n")
    with pytest.raises(Failed, match=re.escape(fault)) as raised:
        locks.current(project, ["requirements.txt"])
    assert "make lock" in str(raised.value)


def test_a_list_without_a_lock_is_told(project):
    (project / "requirements.lock").unlink()
    with pytest.raises(Failed, match=re.escape("requirements.txt: there is no requirements.lock")):
        locks.current(project, ["requirements.txt"])


def test_another_reason_or_order_in_the_list_needs_no_new_lock(project):
    (project / "requirements.txt").write_text("# a heading\n\nSIX==1.17.0  # a better reason\n")
    assert locks.current(project, ["requirements.txt"]) == ["requirements.lock"]


@pytest.mark.parametrize("task", ["test", "quick", "soak", "bench", "check", "messages"])
def test_no_task_starts_on_an_old_lock(project, monkeypatch, capsys, task):
    monkeypatch.setattr(verify, "ROOT", project)
    monkeypatch.setattr(verify.os, "chdir", lambda path: None)
    (project / "requirements.txt").write_text("six==1.18.0\n")
    assert verify.main([task]) == 1
    assert "Run `make lock`" in capsys.readouterr().err


def installed(monkeypatch, tmp_path, line):
    """What pip says when it is to install a package from this machine's own disk by this line of a lock."""
    package = tmp_path / "own_package-1.0-py3-none-any.whl"
    make_wheel(package)
    (tmp_path / "requirements.lock").write_text(f"own-package==1.0{line}\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return environment.provide(tmp_path, ["requirements.lock"], print)


def make_wheel(path):
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("own_package.py", "")
        wheel.writestr("own_package-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
        wheel.writestr(
            "own_package-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("own_package-1.0.dist-info/RECORD", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "said"),
    [("", "Hashes are required"), (" --hash=sha256:" + "0" * 64, "DO NOT MATCH THE HASHES")],
    ids=["no hash", "another hash"],
)
def test_a_file_that_is_not_the_locked_one_is_not_installed(monkeypatch, tmp_path, line, said):
    with pytest.raises(Failed, match=said):
        installed(monkeypatch, tmp_path, line)
    assert list(tmp_path.glob(".venv/lib/*/site-packages/own_package.py")) == []


# make audit


def audited(monkeypatch, tmp_path, capsys, report, output=""):
    """The status of `make audit` and what it printed, where pip-audit writes `report`."""

    def pip_audit(command, *, directory):
        if report is not None:
            command[-1].write_text(json.dumps(report))
        return Result(1, output)

    monkeypatch.setattr(environment, "provide", lambda root, files, say, name: "python")
    monkeypatch.setattr(verify.os, "chdir", lambda path: None)
    monkeypatch.setattr(locks, "run", pip_audit)
    status = verify.main(["audit"])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


GOOD = {"name": "six", "version": "1.17.0", "vulns": []}
BAD = {"name": "six", "version": "1.17.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.18.0"]}]}


def test_audit_of_packages_without_known_vulnerabilities_passes(monkeypatch, tmp_path, capsys):
    status, printed = audited(monkeypatch, tmp_path, capsys, {"dependencies": [GOOD]})
    assert status == 0
    assert "No known vulnerabilities" in printed


def test_audit_names_a_vulnerable_package_and_what_mends_it(monkeypatch, tmp_path, capsys):
    status, printed = audited(monkeypatch, tmp_path, capsys, {"dependencies": [GOOD, BAD]})
    assert status == 1
    assert "requirements.lock: six 1.17.0 has PYSEC-2026-1; mended in 1.18.0" in printed


def test_audit_is_not_content_with_packages_that_the_service_skipped(monkeypatch, tmp_path, capsys):
    skipped = {"name": "six", "skip_reason": "Dependency not found"}
    status, printed = audited(monkeypatch, tmp_path, capsys, {"dependencies": [GOOD, skipped]})
    assert status == 69
    assert "requirements.lock was NOT audited" in printed
    assert "1 of 2 packages are unknown there; Dependency not found" in printed


def test_audit_without_an_answer_is_told_in_one_line(monkeypatch, tmp_path, capsys):
    output = "Traceback (most recent call last):\n  ...\nConnectionError: the name does not resolve"
    status, printed = audited(monkeypatch, tmp_path, capsys, None, output)
    assert status == 69
    assert "ConnectionError: the name does not resolve" in printed
    assert "Traceback" not in printed

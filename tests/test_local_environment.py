"""`.venv` is created when missing, reused while up to date, and recreated when a requirements file changed."""

import importlib.util
import json
import shutil
import subprocess

import pytest

import debian
import environment
from processes import Failed


def new_project(directory):
    """A project without requirements, so that no package index is contacted."""
    (directory / "requirements.txt").write_text("# nothing\n")
    (directory / "more.txt").write_text("# nothing more\n")
    return directory


@pytest.fixture
def project(tmp_path):
    return new_project(tmp_path)


@pytest.fixture
def steps():
    return []


@pytest.mark.slow
def test_it_is_made_once_and_then_kept(project, steps):
    python = environment.provide(project, ["requirements.txt"], steps.append)
    said = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)  # noqa: S603 (our own command)
    assert said.stdout.strip() == str(project / ".venv")
    assert steps == ["Creating .venv", "Installing requirements.txt into .venv"]
    assert environment.provide(project, ["requirements.txt"], steps.append) == python
    assert len(steps) == 2


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An environment to copy, because creating one takes seconds."""
    root = new_project(tmp_path_factory.mktemp("template"))
    environment.provide(root, ["requirements.txt"], print)
    return root / ".venv"


@pytest.fixture
def made(project, template):
    """An environment that is up to date, with a file in it that a new one would not have."""
    shutil.copytree(template, project / ".venv", symlinks=True)
    mark = project / ".venv" / "mark"
    mark.touch()
    return mark


@pytest.mark.slow
def test_a_changed_file_makes_it_anew(project, made, steps):
    (project / "requirements.txt").write_text("# still nothing\n")
    environment.provide(project, ["requirements.txt"], steps.append)
    assert not made.exists()
    environment.provide(project, ["requirements.txt"], steps.append)
    assert steps == ["Creating .venv", "Installing requirements.txt into .venv"]


def test_another_python_version_has_one_of_its_own_beside_it(project, made, monkeypatch, steps):
    monkeypatch.setattr(environment, "VERSION", "3.99")
    monkeypatch.setattr(environment, "_make", lambda directory, say: shutil.copytree(made.parent, directory))
    python = environment.provide(project, ["requirements.txt"], steps.append)
    assert python == project / ".venv-3.99" / "bin" / "python"
    assert environment.provide(project, ["requirements.txt"], steps.append) == python
    assert steps == ["Installing requirements.txt into .venv-3.99"]
    assert made.exists()


def test_a_further_file_is_added_to_it(project, made, steps):
    environment.provide(project, ["requirements.txt", "more.txt"], steps.append)
    assert steps == ["Installing more.txt into .venv"]
    environment.provide(project, ["requirements.txt"], steps.append)
    assert made.exists()
    assert len(steps) == 1


@pytest.mark.parametrize("stamp", [None, "", "[]", '{"requirements.txt": '], ids=["none", "empty", "list", "cut"])
def test_one_whose_making_was_interrupted_is_made_anew(project, made, monkeypatch, stamp):
    path = project / ".venv" / "locks.json"
    path.unlink() if stamp is None else path.write_text(stamp)
    made_anew = []
    monkeypatch.setattr(environment, "_make", lambda directory, say: made_anew.append(directory))
    environment.provide(project, ["requirements.txt"], print)
    assert made_anew == [project / ".venv"]
    assert set(json.loads(path.read_text())) == {"requirements.txt"}


def test_a_requirement_that_cannot_be_installed_is_told_with_pips_words(project, made):
    (project / "more.txt").write_text("./no-such-directory\n")
    with pytest.raises(Failed, match="no-such-directory"):
        environment.provide(project, ["requirements.txt", "more.txt"], print)
    assert set(json.loads((project / ".venv" / "locks.json").read_text())) == {"requirements.txt"}


def test_a_python_without_venv_is_told_with_the_package_to_install(project, monkeypatch):
    def refuse(packages, say):
        raise debian.Unavailable("not root")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(debian, "install", refuse)
    with pytest.raises(Failed, match=r"sudo apt-get install python3\.\d+-venv"):
        environment.provide(project, ["requirements.txt"], print)

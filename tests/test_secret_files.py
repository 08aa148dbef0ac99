"""The secret key and the database's URL from files, as container orchestrators and systemd give secrets."""

import json

import pytest

from demo_site.environment import IN_FILES, Environment
from demo_site.startup import StartupError
from tests.support.files import ENDLESS
from tests.support.secrets import GUARD

KEY, URL = IN_FILES


def reason(environ):
    """Why a start with these variables ends, without any secret."""
    with pytest.raises(StartupError) as caught:
        Environment(environ)
    assert caught.value.status == 78
    return GUARD.check(str(caught.value), "the error of an environment")


@pytest.fixture
def secret_file(tmp_path):
    """Make a file with this content."""

    def make(content):
        path = tmp_path / "secret"
        path.write_bytes(content)
        return str(path)

    return make


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["none", "newline", "CRLF"])
def test_a_value_is_read_from_its_file_without_the_last_newline(secret_file, end):
    secret = GUARD.new("key in a file", separator=" \\$'")
    environment = Environment({"DJANGO_SECRET_KEY_FILE": secret_file(secret.encode() + end)})
    assert environment[KEY] == environment.text[KEY] == secret
    assert environment.files == {KEY: environment["DJANGO_SECRET_KEY_FILE"]}
    GUARD.check(repr(environment), "the environment's representation")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"half\nand half\n", "must be UTF-8 text without control characters"),
        (b"\xff\xfe", "must be UTF-8 text without control characters"),
        (b"x" * 8193, "cannot be read: File too large"),
    ],
    ids=["empty", "blank", "two lines", "not UTF-8", "too long"],
)
@pytest.mark.parametrize("name", IN_FILES)
def test_an_unusable_file_is_told_by_variable_and_path(secret_file, name, content, said):
    path = secret_file(content)
    assert f"\n  {IN_FILES[name]} {path}: {said}\n" in reason({IN_FILES[name]: path})


@pytest.mark.parametrize("name", IN_FILES)
def test_a_file_that_is_not_there_is_told(tmp_path, name):
    path = tmp_path / "nothing"
    assert f"{IN_FILES[name]} {path}: cannot be read: No such file" in reason({IN_FILES[name]: str(path)})


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_file_that_never_ends_is_refused(tmp_path, kind):
    path = tmp_path / "secret"
    ENDLESS[kind](path)
    assert f"DATABASE_URL_FILE {path}: cannot be read: " in reason({"DATABASE_URL_FILE": str(path)})


@pytest.mark.parametrize("name", IN_FILES)
def test_a_value_and_its_file_cannot_stand_together(secret_file, name):
    secret = f"sqlite:///{GUARD.new('a value beside its file')}"
    said = reason({name: secret, IN_FILES[name]: secret_file(secret.encode())})
    assert f"cannot stand beside {name}; unset one of them" in said


@pytest.mark.parametrize("name", IN_FILES)
def test_a_secret_in_place_of_the_path_is_not_repeated(name):
    said = reason({IN_FILES[name]: f"postgres://user:{GUARD.new('a secret as a path')}@host/name"})
    assert f"{IN_FILES[name]}: must be the absolute path of a file" in said


def test_a_wrong_url_in_a_file_is_told_without_it(secret_file):
    path = secret_file(f"mysql://user:{GUARD.new('password of a wrong URL')}@host/name\n".encode())
    assert f"DATABASE_URL_FILE {path}: must be sqlite:///PATH or postgres://" in reason({"DATABASE_URL_FILE": path})


def test_the_site_uses_them_and_shows_only_masks(environment, new_site, tmp_path):
    """The database's password too is known to the masks, wherever else it stands."""
    key, password = GUARD.new("key in a file"), GUARD.new("database password in a file", separator="-")
    files = {KEY: key, URL: f"sqlite://demo:{password}@db.example:5432/demo"}
    variables = {KEY: "", URL: "", "SERVICE_TAGS": f"a,{password}"}
    for name, secret in files.items():
        (tmp_path / name).write_text(f"{secret}\n")
        variables[IN_FILES[name]] = str(tmp_path / name)
    site = new_site({**environment, **variables})
    done = site.command("effective_config", "--format", "json")
    assert done.status == 0, done.stderr
    rows = {row["setting"]: row for row in json.loads(done.stdout)}
    assert {rows[name]["origin"] for name in files} == {f"file {tmp_path / name}" for name in files}
    assert rows[KEY]["secret"]
    assert "fingerprint" in rows[KEY]["value"]
    assert rows[URL]["value"].startswith("sqlite://demo:\u2022")
    assert rows[URL]["value"].endswith("@db.example:5432/demo")
    assert rows["SERVICE_TAGS"]["value"].startswith("a,\u2022")
    shown = site.command("diffsettings", "--all")
    assert "SECRET_KEY" in shown.stdout

"""A stored secret is sent only where it was sent before: elsewhere it must be typed anew. And a GET sends none."""

import contextlib
import json
import socket
import threading

import pytest

from tests.support.admin import PATH, AdminSite, FormFields
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.test_admin_edit import history, stored

pytestmark = pytest.mark.slow
ASKED = "belongs to another destination"


class Stranger:
    """Somebody's server: keeps what it is sent, and answers everything with "+OK"."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.received, self.connections = self._listener.getsockname()[1], b"", 0
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_error):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError):
            while data := client.recv(4096):
                self.received += data
                client.sendall(b"+OK\r\n" * max(data.count(b"*"), 1))


@pytest.fixture
def stranger():
    with Stranger() as server:
        yield server


@pytest.fixture
def editor(admin):
    return Editor(admin, "keeper")


def rollback_url(admin, consul):
    return f"{admin.url}{PATH}history/{history(consul, admin)[0].rpartition('/')[2]}/rollback/"


def forge(admin, consul, editor, **replaced):
    """Have the only entry of the history say that these settings of Redis were there before; the URL to go back."""
    editor.post(editor.form() | {"show_message": "changed", "comment": "an entry to forge"})
    [name] = history(consul, admin)
    entry = json.loads(consul.get(name))
    for member, shown in replaced.items():
        entry["replaced"][f"redis_config.{member}"] = shown
    consul.put(name, entry)
    return rollback_url(admin, consul)


@pytest.mark.parametrize("step", ["preview", "save"])
@pytest.mark.parametrize("setting", ["redis_host", "redis_port"])
def test_another_destination_in_the_form_asks_for_the_password(admin, consul, redis, editor, stranger, setting, step):
    changed = {"redis_host": "localhost.", "redis_port": str(stranger.port)}[setting]
    fields = {f"redis_config__{setting}": changed, "comment": "elsewhere"}
    page = editor.post(editor.form() | fields, step=step)
    assert f"{ASKED} (Redis host, Redis port)" in page
    assert stranger.connections == 0
    assert stored(consul, admin) == document(redis)


def test_another_database_of_the_same_server_keeps_the_password(admin, consul, redis, editor):
    assert "Saved as" in editor.post(editor.form() | {"redis_config__redis_db": "1", "comment": "another database"})
    assert stored(consul, admin) == document(redis, redis_config=redis.document(redis_db=1))


def test_a_password_that_is_typed_or_removed_goes_with_the_new_destination(admin, consul, editor):
    with RedisServer(GUARD.new("password of the other Redis")) as other, RedisServer() as open_one:
        typed = {"redis_config__redis_port": str(other.port), "redis_config__redis_password": other.password}
        assert "Saved as" in editor.post(editor.form() | typed | {"comment": "moved"})
        assert stored(consul, admin) == document(other)
        removed = {"redis_config__redis_port": str(open_one.port), "redis_config__redis_password__remove": "on"}
        assert "Saved as" in editor.post(editor.form() | removed | {"comment": "moved again"})
        moved = {name: value for name, value in open_one.document().items() if value is not None}
        assert stored(consul, admin) == document(open_one, redis_config=moved)


def test_a_stored_document_whose_password_is_unusable_does_not_borrow_that_in_force(
    admin, consul, redis, editor, stranger
):
    """Its author names the host; the form would fill the password in that is in force."""
    theirs = redis.document(redis_port=stranger.port) | {"redis_password": 5}
    consul.put(admin.key, document(redis, redis_config=theirs))
    page = editor.post(editor.form() | {"show_message": "repaired", "comment": "repaired"}, step="preview")
    assert ASKED in page
    assert stranger.connections == 0


def test_a_password_typed_for_a_destination_that_somebody_else_changes_is_forgotten(
    admin, consul, redis, editor, stranger
):
    secret = GUARD.new("password typed before the conflict")
    typed = {"redis_config__redis_password": secret, "redis_config__redis_password__kept": "", "comment": "rotated"}
    form = editor.form() | typed
    consul.put(admin.key, document(redis, redis_config=redis.document(redis_port=stranger.port)))
    page = editor.post(form, step="preview")
    assert 'id="conflict"' in page
    assert "somebody else changed where it goes" in page
    assert FormFields(page).found.get("redis_config__redis_password__kept", "") == ""
    editor.post(FormFields(page).found | {"comment": "rotated"}, step="preview")
    assert secret.encode() not in stranger.received


def test_a_get_of_a_rollback_connects_to_nobody(admin, consul, editor, stranger):
    url = forge(admin, consul, editor, redis_port={"value": stranger.port, "withheld": False})
    page = editor.session.get(url, timeout=30)
    assert page.status_code == 200
    assert 'data-difference="redis_config.redis_port"' in page.text
    assert stranger.connections == 0


@pytest.mark.parametrize(
    "password",
    [
        {"value": "•••••••• (fingerprint 00000000)", "withheld": True},
        {"value": "of the forger", "withheld": False},
        {"value": None, "withheld": False},
    ],
    ids=["masked", "plain", "none"],
)
def test_a_forged_version_of_the_history_does_not_send_the_password_in_force(
    admin, consul, redis, editor, stranger, password
):
    port = {"value": stranger.port, "withheld": False}
    url = forge(admin, consul, editor, redis_port=port, redis_password=password)
    form = FormFields(editor.session.get(url, timeout=30).text).found | {"comment": "go back"}
    page = editor.session.post(url, form, timeout=30, headers={"Referer": url}).text
    assert redis.password.encode()[:16] not in stranger.received
    if password["value"] is None:
        return  # it goes back to a Redis without a password, which is the forger's own
    assert stranger.connections == 0
    assert 'id="asked"' in page
    assert "of the forger" not in page
    typed = GUARD.new("password typed into the rollback")
    again = FormFields(page).found | {"comment": "go back", "redis_config__redis_password": typed}
    page = editor.session.post(url, again, timeout=30, headers={"Referer": url}).text
    assert typed.encode() in stranger.received
    assert GUARD.check(page, "the page of a rollback")


def test_a_rollback_to_the_destination_in_force_takes_its_password_along(admin, consul, redis, editor):
    editor.post(editor.form() | {"show_message": "changed", "comment": "an entry"})
    elsewhere = redis.document(redis_port=1, redis_password=GUARD.new("password of elsewhere"), redis_db=-1)
    consul.put(admin.key, document(redis, redis_config=elsewhere))
    url = rollback_url(admin, consul)
    form = FormFields(editor.session.get(url, timeout=30).text).found | {"comment": "go back"}
    assert "redis_config__redis_password" not in form
    assert "Rolled back" in editor.session.post(url, form, timeout=30, headers={"Referer": url}).text
    assert stored(consul, admin) == document(redis)


def test_every_probe_is_logged_with_who_where_and_outcome(admin, redis, editor):
    place = f"127.0.0.1:{redis.port}, database 0"
    editor.preview(show_message="looked at")
    admin.wait_logged(f"keeper at 127.0.0.1 had {place} probed (edit): no fault")
    secret = GUARD.new("password for the stranger")
    typed = {"redis_config__redis_password": secret, "redis_config__redis_password__kept": ""}
    elsewhere = {"redis_config__redis_port": "1", "comment": "nobody listens there"}
    editor.post(editor.form() | typed | elsewhere, step="preview")
    admin.wait_logged("keeper at 127.0.0.1 had 127.0.0.1:1, database 0 probed (edit): redis_config.redis_host: ")


def test_nobody_may_ask_in_a_loop_whether_a_text_is_a_secret(admin):
    with AdminSite(admin.environment) as site:
        site.password = admin.password
        site.gunicorn()
        editor, other = (Editor(site, user) for user in ("keeper", "editor"))
        form, url = editor.form() | {"comment": "is it this one?", "step": "edit"}, editor.url

        def ask(_number):
            return editor.session.post(url, form, timeout=60, headers={"Referer": url})

        answers = map(ask, range(1000))
        assert "Wait a minute" in next(answer.text for answer in answers if answer.status_code == 429)
        assert "Check the change" in other.post(other.form() | {"comment": "somebody else"}, step="edit")

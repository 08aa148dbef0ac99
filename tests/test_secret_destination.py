"""A stored secret is sent only where it was sent before: elsewhere it must be typed anew. And a GET sends none."""

import contextlib
import json
import socket
import threading

import pytest

from tests.support.admin import PATH, AdminSite, FormFields
from tests.support.certificates import make_certificates
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.test_admin_edit import history, stored

pytestmark = pytest.mark.slow
ASKED = "belongs to another destination"
NAMED = "only a document put into Consul changes a password in a file"


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
    assert f"{ASKED} (Redis host, Redis port, Redis socket, " in page
    assert stranger.connections == 0
    assert stored(consul, admin) == document(redis)


@pytest.mark.parametrize(
    "fields",
    [
        {"redis_host": "", "redis_port": "", "redis_socket": "/run/other.sock"},
        {"redis_host": "", "redis_port": "", "redis_service": "other"},
        {"redis_host": "", "redis_port": "", "redis_sentinels": "127.0.0.1:1", "redis_master": "other"},
        {"redis_tls": "on"},
        {"redis_tls": "on", "redis_ca_file": "/etc/other.pem", "redis_tls_name": "other.example"},
    ],
    ids=["socket", "service", "sentinels", "tls", "authority"],
)
def test_every_other_place_and_tls_identity_asks_for_the_password(admin, consul, redis, editor, fields):
    named = {f"redis_config__{name}": value for name, value in fields.items()}
    assert ASKED in editor.post(editor.form() | named | {"comment": "elsewhere"})
    assert stored(consul, admin) == document(redis)


def test_the_tls_identity_in_force_is_part_of_the_destination(admin, consul, editor, tmp_path):
    certificates = make_certificates(tmp_path)
    with RedisServer(GUARD.new("password of the Redis with TLS"), certificates=certificates) as server:
        there = document(server, redis_config=server.document(redis_tls_name="localhost"))
        consul.put(admin.key, there)
        ticked = {"redis_config__redis_tls": "on"}  # `form` leaves out boxes
        for changed in (
            {"redis_tls": "", "redis_ca_file": "", "redis_tls_name": ""},
            {"redis_ca_file": str(certificates.client_certificate)},
            {"redis_ca_file": ""},
            {"redis_tls_name": "127.0.0.1"},
            {"redis_tls_name": ""},
        ):
            named = {f"redis_config__{name}": value for name, value in changed.items()}
            assert ASKED in editor.post(editor.form() | ticked | named | {"comment": "another identity"}), changed
        assert stored(consul, admin) == there


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


def test_a_password_typed_for_a_destination_that_is_given_up_for_theirs_is_forgotten(
    admin, consul, redis, editor, stranger
):
    """Both changed the port; the password was typed for mine, and would go to theirs."""
    secret = GUARD.new("password typed for my own Redis")
    typed = {"redis_config__redis_password": secret, "redis_config__redis_port": "1", "comment": "moved"}
    form = editor.form() | typed
    consul.put(admin.key, document(redis, redis_config=redis.document(redis_port=stranger.port)))
    conflict = FormFields(editor.post(form, step="preview")).found
    assert conflict["redis_config__redis_port__choice"] == "mine"
    for again in ({}, {"redis_config__redis_password": secret}):
        theirs = {"redis_config__redis_port__choice": "theirs"} | again
        page = editor.post(conflict | theirs, step="preview")
        assert "somebody else changed where it goes" in page
        found = FormFields(page).found
        assert found["redis_config__redis_port"] == str(stranger.port)
        assert found.get("redis_config__redis_password__kept", "") == ""
    editor.post(found | {"show_message": "on"}, step="preview")
    assert secret.encode() not in stranger.received


def test_their_password_is_not_sent_to_my_destination(admin, consul, redis, editor, stranger):
    mine = {"redis_config__redis_port": str(stranger.port)}
    typed = mine | {"redis_config__redis_password": GUARD.new("password for the stranger"), "comment": "moved"}
    form = editor.form() | typed
    theirs = GUARD.new("password that somebody else has rotated")
    consul.put(admin.key, document(redis, redis_config=redis.document(redis_password=theirs)))
    page = editor.post(form, step="preview")
    page = editor.post(FormFields(page).found | {"redis_config__redis_password__choice": "theirs"}, step="preview")
    assert ASKED in page
    assert stranger.connections == 0


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


# A password in a file.


@pytest.fixture
def filed(admin, consul, redis, tmp_path):
    """The site again, with a directory of password files; its document names one of them."""
    for name in ("password", "other"):
        (tmp_path / name).write_text(f"{redis.password}\n")
    config = redis.document(redis_password_file=str(tmp_path / "password"))
    del config["redis_password"]
    consul.put(admin.key, document(redis, redis_config=config))
    with AdminSite(admin.environment | {"REDIS_PASSWORD_DIR": str(tmp_path)}) as site:
        site.password = admin.password
        yield site.gunicorn()


@pytest.mark.parametrize("step", ["preview", "save"])
def test_a_password_in_a_file_goes_nowhere_else_from_the_form(filed, consul, redis, stranger, step):
    editor, before = Editor(filed, "keeper"), stored(consul, filed)
    for fields in (
        {"redis_host": "localhost."},
        {"redis_port": str(stranger.port)},
        {"redis_host": "", "redis_port": "", "redis_socket": "/run/other.sock"},
        {"redis_host": "", "redis_port": "", "redis_service": "other"},
        {"redis_host": "", "redis_port": "", "redis_sentinels": f"127.0.0.1:{stranger.port}", "redis_master": "other"},
        {"redis_tls": "on"},
    ):
        named = {f"redis_config__{name}": value for name, value in fields.items()}
        assert NAMED in editor.post(editor.form() | named | {"comment": "elsewhere"}, step=step), fields
    assert stored(consul, filed) == before
    assert stranger.connections == 0
    another = {"show_message": "another message", "redis_config__redis_db": "1", "comment": "the same destination"}
    assert "error" not in editor.post(editor.form() | another, step="preview")


def test_the_form_names_no_other_file_of_a_password(admin, filed, consul, redis, tmp_path):
    editor, before = Editor(filed, "keeper"), stored(consul, filed)
    for file in (tmp_path / "other", "/proc/self/environ"):
        named = {"redis_config__redis_password_file": str(file), "comment": "another file"}
        assert NAMED in editor.post(editor.form() | named)
    assert stored(consul, filed) == before
    consul.put(admin.key, document(redis))
    named = {"redis_config__redis_password_file": str(tmp_path / "password"), "comment": "a file"}
    assert NAMED in editor.post(editor.form() | named | {"redis_config__redis_password__remove": "on"})
    assert stored(consul, admin) == document(redis)


def test_a_typed_password_takes_the_place_of_the_file(filed, consul):
    with RedisServer(GUARD.new("password of another Redis")) as other:
        typed = {"redis_config__redis_port": str(other.port), "redis_config__redis_password": other.password}
        editor = Editor(filed, "keeper")
        page = editor.post(editor.form() | typed | {"redis_config__redis_password_file": "", "comment": "moved"})
        assert "Saved as" in page
        assert stored(consul, filed) == document(other)


@pytest.mark.parametrize("member", ["redis_port", "redis_password_file"])
def test_a_rollback_sends_no_password_in_a_file_elsewhere(filed, consul, stranger, tmp_path, member):
    forged = {"redis_port": stranger.port, "redis_password_file": str(tmp_path / "other")}[member]
    editor = Editor(filed, "keeper")
    url = forge(filed, consul, editor, **{member: {"value": forged, "withheld": False}})
    before = stored(consul, filed)
    form = FormFields(editor.session.get(url, timeout=30).text).found | {"comment": "go back"}
    assert NAMED in editor.session.post(url, form, timeout=30, headers={"Referer": url}).text
    assert stored(consul, filed) == before
    assert stranger.connections == 0


def test_a_rollback_from_a_file_to_a_typed_password_asks_for_it(filed, consul, redis):
    editor, in_a_file = Editor(filed, "keeper"), stored(consul, filed)
    consul.put(filed.key, document(redis))
    assert "Saved as" in editor.post(editor.form() | {"show_message": "later", "comment": "a password was typed"})
    consul.put(filed.key, in_a_file)
    url = rollback_url(filed, consul)
    page = editor.session.get(url, timeout=30).text
    assert 'name="redis_config__redis_password"' in page
    form = FormFields(page).found | {"comment": "back", "redis_config__redis_password": redis.password}
    assert "Rolled back" in editor.session.post(url, form, timeout=30, headers={"Referer": url}).text
    assert stored(consul, filed) == document(redis)


def test_a_rollback_to_an_entry_of_an_older_release_leaves_the_service(admin, consul, redis, editor):
    """It knows nothing of what was declared since."""
    assert "Saved as" in editor.post(editor.form() | {"show_message": "later", "comment": "an entry"})
    [name] = history(consul, admin)
    entry = json.loads(consul.get(name))
    known = ("redis_host", "redis_port", "redis_db", "redis_password")
    for path in list(entry["replaced"]):
        if path.startswith("redis_config.") and path.partition(".")[2] not in known:
            del entry["replaced"][path]
    consul.put(name, entry)
    config = {"redis_service": "redis-main", "redis_db": 0, "redis_password": redis.password}
    consul.put(admin.key, document(redis, redis_config=config))
    url = rollback_url(admin, consul)
    form = FormFields(editor.session.get(url, timeout=30).text).found | {"comment": "back"}
    form["redis_config__redis_password"] = redis.password
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
        assert "Review and save" in other.post(other.form() | {"comment": "somebody else"}, step="edit")

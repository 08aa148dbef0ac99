"""Changing the configuration in the admin, in real browsers: validated, saved by compare-and-set, no input lost."""

import contextlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from demo_site.admin import secret_shares
from demo_site.bounded import LONGEST_BODY
from tests.support.admin import PATH, AdminSite, FormFields
from tests.support.browser import Browser
from tests.support.consul import ConsulServer
from tests.support.documents import MESSAGE, document
from tests.support.editors import Editor, edit_at_once
from tests.support.ports import free_port
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

SESSIONS = """
from django.contrib.sessions.models import Session
from django.contrib.admin.models import LogEntry
import json
print(json.dumps({session.pk: session.get_decoded() for session in Session.objects.all()}))
print(json.dumps([entry.change_message for entry in LogEntry.objects.all()]))
"""


@pytest.fixture
def pages(admin, browser):
    """The pages, for somebody who may do everything."""
    return admin.log_in(browser, "keeper")


@pytest.fixture(scope="module")
def other_browser():
    with contextlib.closing(Browser()) as browser:
        yield browser


def stored(consul, admin):
    return json.loads(consul.get(admin.key))


def history(consul, admin):
    answer = consul.api("GET", f"/v1/kv/{admin.key}.history/?keys")
    return answer.json() if answer.ok else []


def logged(admin, comment):
    """What Django's log holds of the change with this comment."""
    with contextlib.closing(sqlite3.connect(admin.directory / "db.sqlite3")) as database:
        found = database.execute("SELECT change_message FROM django_admin_log ORDER BY id").fetchall()
    return [message for (message,) in found if comment in message]


@contextlib.contextmanager
def locked_database(admin):
    """Hold SQLite's only write lock, as a second writer does."""
    path = admin.directory / "db.sqlite3"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


# A change.


def test_a_change_is_previewed_saved_logged_and_shown(pages, admin, consul, redis):
    pages.edit("for the fair", show_message="welcome to the <fair>", redis_config__redis_db="2")
    assert pages.differences() == {
        "redis_config.redis_db": ("0", "2"),
        "show_message": (MESSAGE, "welcome to the <fair>"),
    }
    assert f"127.0.0.1:{redis.port}, database 2" in pages.text("#probe")
    assert stored(consul, admin)["show_message"] == MESSAGE
    pages.save()
    assert stored(consul, admin) == document(
        message="welcome to the <fair>", redis_config=redis.document(redis_db=2), redis=redis
    )
    assert f"Saved as version {consul.index(admin.key)}" in pages.text("body")
    assert "for the fair" in pages.text(".configuration-timeline li")
    wait_until(lambda: "welcome to the <fair>! I have" in admin.get().text, message="the page to follow")


def test_the_log_of_django_has_comment_and_differences_and_no_secret_is_kept_anywhere(pages, admin, consul, redis):
    password = GUARD.new("second Redis password", separator="/%é")
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{password}")
        try:
            pages.edit(f"the yearly rotation, was {redis.password}", redis_config__redis_password=password)
            before, after = pages.differences()["redis_config.redis_password"]
            assert before.startswith("••••••••")
            assert after.startswith("••••••••") and after != before
            session = pages.driver.get_cookie("sessionid")["value"]
            told = admin.command("shell", "-c", SESSIONS)  # its output is looked through for secrets
            assert "configuration_halves" in json.loads(told.stdout.splitlines()[-2])[session]
            pages.save()
            assert stored(consul, admin)["redis_config"]["redis_password"] == password
            wait_until(lambda: admin.runs(consul.index(admin.key)), message="both workers to follow")
        finally:
            client.execute_command("ACL", "SETUSER", "default", f"<{password}")
    told = admin.command("shell", "-c", SESSIONS).stdout.splitlines()
    assert "configuration_halves" not in json.loads(told[-2])[session]
    [message] = [text for text in json.loads(told[-1]) if "the yearly rotation" in text]
    assert "redis_config.redis_password: ••••" in message
    for name in history(consul, admin):
        GUARD.check(consul.get(name).decode(), "the history in Consul")


def test_an_empty_secret_keeps_the_stored_one_and_unknown_members_stay(pages, admin, consul, redis):
    value = document(redis, colour={"deep": [1, 2.5, None]})
    value["redis_config"]["misspelt"] = "x"
    consul.put(admin.key, value)
    pages.edit(show_message="two\nlines").save()
    assert stored(consul, admin) == {**value, "show_message": "two\nlines"}
    assert list(stored(consul, admin)) == list(value)


def test_nothing_changed_is_not_saved(pages, admin, consul):
    pages.edit("no reason")
    assert "Nothing is changed yet" in pages.text()
    assert history(consul, admin) == []


def test_a_comment_is_required(pages):
    pages.edit("   ", show_message="something")
    assert pages.has(".field-comment.errors")


def test_the_keyboard_alone_is_enough(pages, admin, consul):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    pages.open("edit/")
    pages.browser.one("[name=redis_config__redis_db]").click()
    ActionChains(pages.driver).send_keys(Keys.END, Keys.BACKSPACE, "3").perform()
    passed = []
    while "comment" not in passed and len(passed) < 40:
        ActionChains(pages.driver).send_keys(Keys.TAB).perform()
        passed.append(pages.driver.switch_to.active_element.get_attribute("name"))
    ActionChains(pages.driver).send_keys("by keyboard", Keys.TAB, Keys.ENTER).perform()
    pages.browser.one("#preview")
    assert pages.differences() == {"redis_config.redis_db": ("0", "3")}


# What is wrong is named at its field, and what was typed stays.


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("redis_config__redis_port", "70000", "must be at most 65535"),
        ("redis_config__redis_port", "6379.5", "must be a whole number"),
        ("redis_config__redis_db", "-1", "must be at least 0"),
        ("redis_config__redis_host", "", "is missing; in its place may be"),
        ("redis_config__redis_host", "http://somewhere", "must be a host name or an IP address"),
    ],
)
def test_an_invalid_value_is_named_at_its_field(pages, admin, consul, name, text, problem):
    pages.edit(show_message="typed meanwhile", **{name: text})
    assert problem in pages.text(f".field-{name}.errors .errorlist")
    assert (pages.value(name), pages.value("show_message")) == (text, "typed meanwhile")
    assert stored(consul, admin)["show_message"] == MESSAGE


def test_an_unreachable_redis_is_named_at_the_field_that_was_changed_and_the_browser_begins_there(
    pages, admin, consul, redis
):
    port = free_port()
    pages.edit(redis_config__redis_port=str(port), redis_config__redis_password=redis.password)
    assert f"127.0.0.1:{port} refused the connection" in pages.text(".field-redis_config__redis_port .errorlist")
    assert pages.driver.switch_to.active_element.get_attribute("name") == "redis_config__redis_port"
    field = pages.text(".field-redis_config__redis_password")
    assert "A new value was typed and is kept" in field
    assert "stored one" not in field
    assert stored(consul, admin)["redis_config"]["redis_port"] != port


def test_a_wrong_password_is_named_in_the_form_and_is_kept_typed(pages, admin, consul):
    pages.edit(redis_config__redis_password=GUARD.new("wrong password"))
    assert "refuses the password" in pages.text(".field-redis_config__redis_password .errorlist")
    assert pages.value("redis_config__redis_password") == ""
    assert pages.has("[name=redis_config__redis_password__discard]")


def test_a_typed_secret_survives_an_error_and_the_way_back_from_the_preview(pages, admin, consul, redis):
    password = GUARD.new("third Redis password")
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{password}")
        try:
            pages.edit("x", redis_config__redis_password=password, redis_config__redis_db="-1")
            pages.fill("redis_config__redis_db", "1")
            pages.preview().press("[name=step][value=edit]")
            pages.fill("show_message", "after a while")
            pages.preview().save()
            assert stored(consul, admin)["redis_config"]["redis_password"] == password
        finally:
            client.execute_command("ACL", "SETUSER", "default", f"<{password}")


@pytest.mark.parametrize("secret", ["x", "four bytes of é", "ends in \0\0", "y" * 255, "z" * 1000])
def test_a_half_of_a_secret_does_not_tell_its_length(secret):
    session = {}
    half, of_another = secret_shares.cut(session, secret), secret_shares.cut(session, "another, of 24 letters..")
    kept, kept_of_another = session["configuration_halves"].values()
    assert (len(half) == len(of_another)) == (len(kept) == len(kept_of_another)) == (len(secret.encode()) < 256)
    assert secret_shares.join(session, half) == secret


def test_a_typed_secret_can_be_discarded(pages, admin, consul, redis):
    pages.edit("x", redis_config__redis_password=GUARD.new("wrong password"), show_message="still")
    pages.browser.one("[name=redis_config__redis_password__discard]").click()
    pages.preview().save()
    assert stored(consul, admin) == document(redis, "still")


# Two at once.


def test_a_conflict_shows_both_changes_and_loses_none(pages, admin, consul, other_browser, redis):
    pages.open("edit/")
    pages.fill("show_message", "mine")
    pages.fill("comment", "my reason")
    theirs = admin.log_in(other_browser, "editor")
    theirs.edit("their reason", show_message="theirs", redis_config__redis_db="5").save()
    pages.preview()
    assert "Somebody else changed" in pages.text("#conflict")
    assert pages.text("[data-conflict=show_message].both .theirs") == "theirs"
    assert pages.text("[data-conflict=show_message].both .mine") == "mine"
    assert pages.text('[data-conflict="redis_config.redis_db"] .mine') == "unchanged"
    values = [pages.value(name) for name in ("show_message", "redis_config__redis_db", "comment")]
    assert values == ["mine", "5", "my reason"]
    assert stored(consul, admin)["show_message"] == "theirs"
    pages.preview()
    assert pages.differences() == {"show_message": ("theirs", "mine")}
    pages.save()
    assert stored(consul, admin) == document(redis, "mine", redis_config=redis.document(redis_db=5))


def test_a_conflict_names_who_changed_it_when_and_why(pages, admin, consul, redis):
    pages.open("edit/")
    pages.fill("show_message", "mine")
    editor = Editor(admin, "editor")
    assert "Saved as version" in editor.post(editor.form() | {"show_message": "theirs", "comment": "why\n<they>"})
    saved = consul.index(admin.key)
    consul.put(admin.key, document(redis, "outside"))
    pages.preview()
    outside, edit = (line.text for line in pages.browser.all("#conflict li"))
    assert outside == f"Changed outside of this page (version {consul.index(admin.key)})"
    saved_at = json.loads(consul.get(history(consul, admin)[0]))["saved_at"]
    when = pages.browser.one("#conflict time")
    assert when.get_attribute("title") == f"{saved_at[:10]} {saved_at[11:19]} UTC"
    assert edit == f"editor edited, {when.text}: why <they> (version {saved})"
    pages.press(f"#conflict [data-change='{saved}'] a")
    assert pages.browser.one(f"#version-{saved}").is_displayed()


def test_theirs_or_mine_is_chosen_for_each_setting_that_both_changed(pages, admin, consul, redis):
    pages.open("edit/")
    pages.fill("show_message", "mine")
    pages.fill("redis_config__redis_db", "3")
    pages.fill("comment", "my reason")
    consul.put(admin.key, document(redis, "theirs", redis_config=redis.document(redis_db=5)))
    pages.preview()
    assert len(pages.browser.all("[data-conflict] [type=radio]:checked[value=mine]")) == 2
    pages.browser.one("[data-conflict=show_message] [value=theirs]").click()
    admin.proxy.refuse()
    pages.preview()
    assert pages.browser.one("[name=show_message__choice]").is_selected()
    admin.proxy.pass_through()
    pages.preview()
    assert pages.differences() == {"redis_config.redis_db": ("5", "3")}
    pages.save()
    assert stored(consul, admin) == document(redis, "theirs", redis_config=redis.document(redis_db=3))


def test_a_choice_holds_when_somebody_changes_it_once_more(admin, consul, redis):
    editor = Editor(admin, "editor")
    form = editor.form() | {"show_message": "mine", "redis_config__redis_db": "3", "comment": "my reason"}
    consul.put(admin.key, document(redis, "theirs"))
    conflict = FormFields(editor.post(form)).found | {"show_message__choice": "theirs"}
    consul.put(admin.key, document(redis, "theirs again"))
    again = FormFields(editor.post(conflict)).found
    assert "show_message__choice" not in again
    assert "Saved as version" in editor.post(again)
    assert stored(consul, admin) == document(redis, "theirs again", redis_config=redis.document(redis_db=3))


def test_their_secret_is_taken_and_neither_is_shown(admin, consul, redis):
    editor, mine, theirs = Editor(admin, "editor"), GUARD.new("my password"), GUARD.new("their password")
    form = editor.form() | {"redis_config__redis_password": mine, "show_message": "mine", "comment": "my reason"}
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{theirs}")
        try:
            config = redis.document(redis_password=theirs)
            consul.put(admin.key, document(redis, redis_config=config))
            conflict = FormFields(editor.post(form)).found
            assert "Saved as version" in editor.post(conflict | {"redis_config__redis_password__choice": "theirs"})
            assert stored(consul, admin) == document(redis, "mine", redis_config=config)
        finally:
            client.execute_command("ACL", "SETUSER", "default", f"<{theirs}")


def test_a_change_between_preview_and_save_is_a_conflict_too(pages, admin, consul, redis):
    pages.edit(redis_config__redis_db="1")
    consul.put(admin.key, document(redis, "by another program"))
    pages.save()
    assert pages.has("[data-conflict=show_message]:not(.both)")
    pages.preview().save()
    assert stored(consul, admin) == document(redis, "by another program", redis_config=redis.document(redis_db=1))


def test_both_typed_the_same_is_no_conflict(pages, admin, consul, redis):
    pages.edit(show_message="the same")
    consul.put(admin.key, document(redis, "the same"))
    pages.save()
    assert "nothing is left to save" in pages.text("body")


def test_two_editors_at_once_never_lose_an_update(admin, consul):
    saved, _ = edit_at_once(admin, rounds=20)
    assert saved == stored(consul, admin)["show_message"].removeprefix(MESSAGE).split()
    assert len(history(consul, admin)) == len(saved)


# Rights.


def test_strangers_log_in_and_staff_without_the_permission_are_refused(admin):
    for path in ("", "edit/", "history/", "status/"):
        assert admin.get(PATH + path).status_code == 302
        assert admin.session("staff").get(admin.url + PATH + path, timeout=30).status_code == 403


def test_one_who_may_only_view_finds_no_way_to_the_form(admin, browser):
    pages = admin.log_in(browser, "viewer").open()
    assert not pages.has("a[href$='/edit/']")
    session = admin.session("viewer")
    assert session.get(f"{admin.url}{PATH}edit/", timeout=30).status_code == 403
    token = {"csrfmiddlewaretoken": session.cookies["csrftoken"], "step": "save"}
    assert session.post(f"{admin.url}{PATH}edit/", token, timeout=30).status_code == 403


def test_one_who_may_change_and_not_view_gets_a_page_after_each_step(admin, browser, consul):
    pages = admin.log_in(browser, "other")
    pages.browser.open(f"{admin.url}/admin/")
    pages.press("#configuration-module a[href$='/edit/']")
    assert not pages.has("a[href$='/history/'], a[href$='/effective-configuration/']")
    pages.press("a.closelink")
    pages.edit(show_message="by one who may not view").save()
    assert f"Saved as version {consul.index(admin.key)}" in pages.text("body")
    assert [link.get_attribute("href") for link in pages.browser.all("#configuration-module a")] == [
        f"{admin.url}{PATH}edit/"
    ]


def test_the_three_permissions_do_not_need_each_other(admin, consul):
    session = admin.session("other")
    assert session.get(f"{admin.url}{PATH}history/", timeout=30).status_code == 403
    assert session.get(f"{admin.url}{PATH}", timeout=30).status_code == 403
    editor = Editor(admin, "other")
    assert "Saved as version" in editor.post(editor.form() | {"show_message": "changed", "comment": "x"})
    save_id = history(consul, admin)[0].rpartition("/")[2]
    assert session.get(f"{admin.url}{PATH}history/{save_id}/rollback/", timeout=30).status_code == 403


READ_ONLY = 'key_prefix "" { policy = "read" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }'
DOCUMENT_ONLY = READ_ONLY + ' key "admin-config" { policy = "write" }'


@pytest.fixture(scope="module")
def guarded_consul():
    with ConsulServer(acl=True) as server:
        yield server


@pytest.mark.parametrize(
    ("rules", "named"), [(READ_ONLY, "key:write: admin-config, "), (DOCUMENT_ONLY, "key:write: admin-config.history/")]
)
def test_a_token_without_key_write_turns_the_form_off_and_says_why(admin, browser, guarded_consul, redis, rules, named):
    guarded_consul.put(admin.key, document(redis))
    token = guarded_consul.token(rules)
    variables = {"CONSUL_HTTP_ADDR": guarded_consul.address, "CONSUL_HTTP_TOKEN": token}
    with AdminSite({**admin.environment, **variables}) as site:
        site.password = admin.password
        pages = site.gunicorn().log_in(browser, "keeper").open("edit/")
        assert named in pages.text("#refusal")
        assert pages.has("#refusal code")
        assert pages.browser.one("[name=show_message]").get_property("disabled")
        assert not pages.has("[name=step]")
        editor = Editor(site, "keeper")
        answer = editor.post(editor.form() | {"show_message": "forced", "comment": "x"})
        assert "key:write" in answer
        assert json.loads(guarded_consul.get(admin.key)) == document(redis)


def test_rights_that_are_taken_away_while_editing_are_told_and_nothing_typed_is_lost(admin, guarded_consul, redis):
    guarded_consul.put(admin.key, document(redis))
    token = guarded_consul.token('key_prefix "admin-config" { policy = "write" }')
    variables = {"CONSUL_HTTP_ADDR": guarded_consul.address, "CONSUL_HTTP_TOKEN": token}
    with AdminSite({**admin.environment, **variables}) as site:
        site.password = admin.password
        site.gunicorn()
        editor = Editor(site, "keeper")
        form = editor.form() | {"show_message": "typed", "comment": "x"}
        for each in guarded_consul.api("GET", "/v1/acl/tokens").json():
            if any(not policy["Name"].startswith("global") for policy in each.get("Policies") or []):
                guarded_consul.api("DELETE", f"/v1/acl/token/{each['AccessorID']}")
        answer = editor.post(form)
        assert ">\ntyped</textarea>" in answer
        assert "ACL not found" in answer or "denied" in answer.lower()


# Consul goes while somebody edits.


def test_consul_down_while_editing_loses_nothing(pages, admin, consul, redis):
    pages.open("edit/")
    pages.fill("show_message", "typed before Consul went")
    pages.fill("redis_config__redis_db", "4")
    pages.fill("redis_config__redis_password", redis.password)
    pages.fill("comment", "an outage")
    admin.proxy.refuse()
    pages.preview()
    assert "refused the connection" in pages.text()
    assert "What you typed is kept" in pages.text("#kept")
    values = [pages.value(name) for name in ("show_message", "redis_config__redis_db", "comment")]
    assert values == ["typed before Consul went", "4", "an outage"]
    admin.proxy.pass_through()
    pages.preview()
    admin.proxy.refuse()
    pages.save()
    assert pages.value("show_message") == "typed before Consul went"
    admin.proxy.pass_through()
    pages.preview().save()
    expected = document(redis, "typed before Consul went", redis_config=redis.document(redis_db=4))
    assert stored(consul, admin) == expected


def test_the_form_needs_consul_to_begin_with_and_says_so(pages, admin):
    admin.proxy.refuse()
    pages.open("edit/")
    assert "refused the connection" in pages.text("#off")
    admin.proxy.pass_through()
    pages.press("#off a")
    assert pages.value("show_message") == MESSAGE


def test_a_lost_reply_is_looked_up_and_nothing_is_saved_twice(pages, admin, consul):
    pages.edit(show_message="saved though unheard")
    admin.proxy.lose_replies(to=f'"Index": {consul.index(admin.key)}}}'.encode())
    pages.save()
    assert admin.proxy.lost_replies > 0
    assert f"Saved as version {consul.index(admin.key)}" in pages.text("body")
    assert stored(consul, admin)["show_message"] == "saved though unheard"
    assert len(history(consul, admin)) == 1


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "at once"])
def test_a_confirmation_that_is_sent_twice_saves_and_logs_once(admin, consul, redis, at_once):
    password, comment = GUARD.new("password of a double click"), f"pressed twice, {at_once=}"
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{password}")
        try:
            editor = Editor(admin, "keeper")
            preview = editor.preview(comment, redis_config__redis_password=password)
            admin.proxy.delay(0.3)  # both have looked at what is stored before one of them saves
            with ThreadPoolExecutor(2 if at_once else 1) as pool:
                for answer in pool.map(editor.post, [preview | {"step": "save"}] * 2):
                    assert comment in answer
                    assert 'id="conflict"' not in answer
            assert stored(consul, admin)["redis_config"]["redis_password"] == password
            assert len(history(consul, admin)) == 1
            [message] = logged(admin, comment)
            assert message.startswith("edit: ")
            wait_until(lambda: admin.runs(consul.index(admin.key)), message="both workers to follow")
        finally:
            client.execute_command("ACL", "SETUSER", "default", f"<{password}")


# The admin's database.


def test_a_save_that_cannot_be_logged_is_not_made_and_the_form_is_kept(admin, consul):
    editor = Editor(admin, "keeper")
    form = editor.form() | {"show_message": "typed while the database was locked", "comment": "locked"}
    with locked_database(admin):
        answer = editor.post(form)
    assert "does not take the log entry" in answer
    assert ">\ntyped while the database was locked</textarea>" in answer
    assert history(consul, admin) == logged(admin, "locked") == []
    assert "Saved as version" in editor.post(form)
    assert len(logged(admin, "locked")) == 1


def test_a_typed_secret_that_cannot_be_kept_does_not_cost_the_form(admin, consul, redis):
    editor = Editor(admin, "keeper")
    typed = {"show_message": "still there", "redis_config__redis_password": redis.password, "comment": "locked"}
    form = editor.form() | typed
    with locked_database(admin):
        preview = FormFields(editor.post(form, step="preview")).found
    assert preview["show_message"] == "still there"
    answer = editor.post(preview, step="save")
    assert "Type it again" in answer
    assert ">\nstill there</textarea>" in answer


@contextlib.contextmanager
def slow_save(admin, comment):
    """A save under way: its log entry is there, and Consul is not asked yet. Yields the future of the answer."""
    editor = Editor(admin, "keeper")
    form = editor.form() | {"show_message": "saved", "comment": comment}
    admin.proxy.delay(1)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(editor.post, form)
        wait_until(lambda: logged(admin, comment), message="the log entry")
        yield answer


def test_the_database_is_free_while_consul_is_asked_and_a_save_that_it_did_not_hear_of_is_told(admin, consul):
    """The log entry is there first. If the database goes while Consul saves, it is not complete, and the save stays."""
    with slow_save(admin, "slow Consul") as answer, locked_database(admin):
        assert "Saved as version" in answer.result()
    [message] = logged(admin, "slow Consul")
    assert message.startswith("(Consul did not confirm this) edit: slow Consul")
    assert stored(consul, admin)["show_message"] == "saved"


def test_a_save_that_was_not_made_is_not_logged(admin, consul, redis):
    with slow_save(admin, "too late") as answer:
        consul.put(admin.key, document(redis, "faster"))
        assert 'id="conflict"' in answer.result()
    assert logged(admin, "too late") == []


# A document that is no good.


def test_a_document_that_is_not_valid_can_be_repaired(pages, admin, consul, redis):
    broken = document(redis, "a good message", extra=1)
    broken["redis_config"]["redis_port"] = "6379"
    consul.put(admin.key, broken)
    pages.open("edit/")
    assert "redis_config.redis_port: must be a whole number" in pages.text("#faults")
    assert pages.value("redis_config__redis_port") == str(redis.port)
    pages.fill("comment", "repaired")
    pages.preview().save()
    assert stored(consul, admin) == document(redis, "a good message", extra=1)


@pytest.mark.parametrize("value", [b"not JSON", b"[1, 2]", None], ids=["no JSON", "no object", "deleted"])
def test_a_document_that_is_gone_or_unreadable_starts_from_the_value_in_force(pages, admin, consul, redis, value):
    consul.delete(admin.key) if value is None else consul.put(admin.key, value)
    pages.edit("brought back")
    pages.save()
    assert stored(consul, admin) == document(redis)


def test_a_form_that_starts_from_a_rejected_document_says_so(pages, admin, consul, redis):
    index, gone = consul.index(admin.key), redis.document(redis_port=free_port())
    del gone["redis_password"]
    consul.put(admin.key, document(redis, redis_config=gone))
    wait_until(lambda: "rejected" in pages.open("edit/").text(), message="the rejection to show")
    notice = pages.text("#faults")
    assert f"starts from version {consul.index(admin.key)}, which was rejected" in notice
    assert "refused the connection" in notice
    assert f"Restore the version in force ({index})" in notice
    assert "the version in force has one" in pages.text(".field-redis_config__redis_password")


def test_a_site_that_runs_on_a_file_says_that_it_cannot_be_edited_here(admin, browser, redis, tmp_path):
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document(redis)))
    with AdminSite({**admin.environment, "DEMO_CONFIG_FILE": str(path)}) as site:
        site.password = admin.password
        pages = site.gunicorn().log_in(browser, "keeper").open("edit/")
        assert "from a file" in pages.text("#off")


def test_a_document_too_large_for_a_transaction_is_refused_with_its_reason(admin, consul):
    editor = Editor(admin, "keeper")
    answer = editor.post(editor.form() | {"show_message": "x" * 300_000, "comment": "large"})
    assert "do not fit into one transaction" in answer
    assert stored(consul, admin)["show_message"] == MESSAGE


def test_the_longest_message_of_escapes_that_fits_is_saved(admin, consul):
    editor, message = Editor(admin, "keeper"), "页" * 64_000
    assert 0.8 < len(quote(message)) / LONGEST_BODY < 1
    page = editor.post(editor.form() | {"show_message": message, "comment": "long"}, step="preview")
    assert "Saved as" in editor.post(FormFields(page).found)
    assert stored(consul, admin)["show_message"] == message

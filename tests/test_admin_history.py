"""The history of the document and going back in it, in a real browser."""

import json
import re

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.support import shown
from tests.support.admin import PATH, AdminSite, FormFields, Pages
from tests.support.consul import ConsulServer
from tests.support.documents import MESSAGE, document
from tests.support.editors import Editor
from tests.support.ports import free_port
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until
from tests.test_admin_edit import READ_ONLY, history, stored


@pytest.fixture
def pages(admin, browser):
    return admin.log_in(browser, "keeper")


@pytest.fixture
def editor(admin):
    """Changes the configuration without a browser."""
    return Editor(admin, "editor")


def save(editor, comment, **fields):
    assert "Saved as version" in editor.post(editor.form() | fields | {"comment": comment})


def events(pages):
    """The kind and the text of each change on the page, newest first, what is folded away included."""
    found = pages.browser.all(".configuration-timeline > li")
    return [(event.get_attribute("class"), " ".join(event.get_property("textContent").split())) for event in found]


def test_without_a_save_it_says_so_and_shows_what_is_there(pages, admin, consul, redis):
    consul.put(admin.key, document(redis, "by the CLI"))
    index = consul.index(admin.key)
    wait_until(lambda: admin.runs(index), message="both workers to follow")
    pages.open("history/")
    assert "Nothing was changed here yet" in pages.text()
    [(kind, text)] = events(pages)
    assert kind == "oldest"
    assert "First known version" in text
    assert f"version {index}" in text
    assert "in force here since" in text


def test_a_deleted_document_is_told_as_such(pages, admin, editor, consul):
    consul.delete(admin.key)
    pages.open("history/")
    assert [kind for kind, _ in events(pages)] == ["outside"]
    assert "The document was deleted" in pages.text()
    save(editor, "brought back", show_message="here again")
    consul.delete(admin.key)
    pages.open("history/")
    assert [kind for kind, _ in events(pages)] == ["outside", "edit"]
    assert "The document was deleted" in events(pages)[0][1]
    assert "version" not in events(pages)[0][1]


def copies(consul, admin, count, **members):
    """Put so many more entries beside the one that is there."""
    [name] = history(consul, admin)
    entry = json.loads(consul.get(name)) | members
    for number in range(count):
        consul.put(f"{admin.key}.history/20260101T000000.{number:06}Z-00000000", entry)


def all_pages(pages):
    """The events of every page of the history, as `events`, with the number of each page."""
    pages.open("history/")
    found, number = [], 1
    while True:
        found += [(number, *event) for event in events(pages)]
        if not pages.has("[rel=next]"):
            return found
        pages.press("[rel=next]")
        number += 1


def test_every_version_that_is_kept_can_be_reached_page_by_page(pages, admin, editor, consul):
    save(editor, "why", show_message="changed")
    copies(consul, admin, 60)  # they have changes from outside between them
    found = all_pages(pages)
    assert [number for number, kind, _text in found if kind == "edit"] == [1] * 20 + [2] * 20 + [3] * 20 + [4]
    indexes = {int(re.search(r"version (\d+)", text)[1]) for _number, kind, text in found if kind == "edit"}
    assert len(indexes) == 61
    assert [kind for _number, kind, _text in found[-2:]] == ["edit", "oldest"]
    pages.press("[rel=prev]")
    assert pages.text("[aria-current=page]:not(a)") == "Page 3 of 4"


def chain(consul, admin, editor, count, outside=(), swapped=()):
    """So many entries of which each replaces what the next older one made, but for those `outside`.

    The two `swapped` have each other's time in their names, as two machines' clocks may have it.
    """
    save(editor, "why", show_message="changed")
    [name] = history(consul, admin)
    entry = json.loads(consul.get(name))
    consul.delete(name)
    index = 0
    for number in range(count):
        named = swapped[1 - swapped.index(number)] if number in swapped else number
        name = f"{admin.key}.history/20260101T000000.{named:06}Z-00000000"
        consul.put(name, entry | {"replaced_index": index - (number in outside)})
        index = consul.index(name)


def kinds(editor, pages):
    return [[event.kind for event in shown.events(editor.history(page))] for page in range(1, pages + 1)]


# The document itself has another index than the newest of the entries.
NEWEST = ["outside"] + ["edit"] * 20


def test_changes_from_outside_are_found_within_a_page_and_where_two_pages_meet(admin, editor, consul):
    chain(consul, admin, editor, 45, outside=(10, 25))
    second = ["outside"] + ["edit"] * 15 + ["outside"] + ["edit"] * 5
    assert kinds(editor, 3) == [NEWEST, second, ["edit"] * 5]


def test_no_change_from_outside_is_claimed_because_clocks_differ(admin, editor, consul):
    chain(consul, admin, editor, 45, swapped=(24, 25))
    assert kinds(editor, 3) == [NEWEST, ["edit"] * 20, ["edit"] * 5]


@pytest.mark.parametrize("page", ["0", "-1", "99999999", "x", "9" * 3000, "1e9", "\0"])
def test_page_that_does_not_exist_is_the_first_or_the_last(admin, editor, page):
    assert [event.kind for event in shown.events(editor.history(page))] == ["oldest"]


def test_each_save_stands_there_with_who_why_and_what(pages, editor):
    save(editor, "first reason", show_message="first")
    save(editor, "second reason", redis_config__redis_db="1")
    pages.open("history/")
    newest, older, oldest = events(pages)
    assert newest[0] == older[0] == "edit"
    assert "editor edited" in newest[1]
    assert "second reason" in newest[1]
    assert "redis_config.redis_db" in newest[1]
    assert "first reason" in older[1]
    assert MESSAGE in older[1]
    assert oldest[0] == "oldest"


def test_a_change_from_outside_shows_as_such_wherever_it_came(pages, admin, editor, consul, redis):
    save(editor, "inside", show_message="inside")
    consul.put(admin.key, document(redis, "by the CLI"))
    save(editor, "inside again", show_message="inside again")
    consul.put(admin.key, document(redis, "by the CLI again", redis_config=redis.document(redis_db=3)))
    pages.open("history/")
    assert [kind for kind, _ in events(pages)] == ["outside", "edit", "outside", "edit", "oldest"]
    newest, _, between, *_ = [text for _, text in events(pages)]
    assert "inside again" in newest
    assert "by the CLI again" in newest
    assert "redis_config.redis_db" in newest
    assert "by the CLI" in between
    assert f"version {consul.index(admin.key)}" in newest


def test_an_entry_holds_no_secret_and_is_written_with_the_save(admin, editor, consul):
    save(editor, "why", show_message="new")
    [name] = history(consul, admin)
    entry = json.loads(GUARD.check(consul.get(name).decode(), "the history in Consul"))
    assert (entry["user"], entry["comment"], entry["kind"]) == ("editor", "why", "edit")
    assert entry["replaced"]["show_message"] == {"value": MESSAGE, "withheld": False}
    assert entry["replaced"]["redis_config.redis_password"]["withheld"] is True
    assert consul.index(name) == consul.index(admin.key)


def test_a_rollback_brings_the_settings_back_and_keeps_secrets_and_unknown_members(pages, admin, editor, consul, redis):
    save(editor, "to db 1", redis_config__redis_db="1", show_message="changed")
    password = GUARD.new("password after the rotation")
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{password}")
        try:
            now = redis.document(redis_db=1, redis_password=password)
            consul.put(admin.key, document(redis, "rotated", redis_config=now, extra="kept"))
            pages.open("history/").press(".oldest a.rollback")
            assert pages.differences() == {"redis_config.redis_db": ("1", "0"), "show_message": ("rotated", MESSAGE)}
            assert "Secrets stay as they are now" in pages.text()
            pages.fill("comment", "back again")
            pages.press("#configuration-rollback [type=submit]")
            back = redis.document(redis_db=0, redis_password=password)
            assert stored(consul, admin) == document(redis, redis_config=back, extra="kept")
        finally:
            client.execute_command("ACL", "SETUSER", "default", f"<{password}")
    kind, text = events(pages)[0]
    assert kind == "rollback"
    assert "keeper rolled back" in text
    assert "back again" in text


def test_a_rollback_needs_a_comment(pages, editor, admin, consul):
    save(editor, "why", show_message="changed")
    pages.open("history/").press("a.rollback")
    assert pages.value("comment") == f"Undo version {consul.index(admin.key)}"
    pages.fill("comment", "")
    pages.press("#configuration-rollback [type=submit]")
    assert pages.has(".field-comment.errors")
    assert pages.driver.switch_to.active_element.get_attribute("name") == "comment"
    assert stored(consul, admin)["show_message"] == "changed"


def test_a_rollback_to_a_redis_that_is_gone_is_refused_with_the_reason(pages, editor, admin, consul, redis):
    gone = free_port()
    consul.put(admin.key, document(redis, redis_config=redis.document(redis_port=gone)))
    save(editor, "away from the broken one", redis_config__redis_port=str(redis.port))
    pages.open("history/").press("a.rollback")
    pages.fill("comment", "go back")
    pages.fill("redis_config__redis_password", redis.password)  # no document at hand has that address
    pages.press("#configuration-rollback [type=submit]")
    assert f"127.0.0.1:{gone} refused the connection" in pages.text("[data-problem]")
    assert stored(consul, admin)["redis_config"]["redis_port"] == redis.port


def test_a_rollback_overwrites_nobody(pages, editor, admin, consul, redis):
    save(editor, "why", show_message="changed")
    pages.open("history/").press("a.rollback")
    pages.fill("comment", "go back")
    consul.put(admin.key, document(redis, "meanwhile"))
    pages.press("#configuration-rollback [type=submit]")
    assert "Somebody else changed" in pages.text("#moved")
    assert f"Changed outside of this page (version {consul.index(admin.key)})" in pages.text("#moved li")
    assert pages.differences() == {"show_message": ("meanwhile", MESSAGE)}
    assert stored(consul, admin)["show_message"] == "meanwhile"
    assert pages.value("comment") == "go back"
    pages.press("#configuration-rollback [type=submit]")
    assert stored(consul, admin)["show_message"] == MESSAGE


def test_a_rollback_keeps_its_comment_while_consul_is_down_and_goes_on_when_it_is_back(
    pages, editor, admin, consul, redis
):
    save(editor, "why", show_message="changed")
    pages.open("history/").press("a.rollback")
    pages.fill("comment", f"two lines,\nand {redis.password}")
    admin.proxy.refuse()
    for _ in range(2):
        pages.press("#configuration-rollback [type=submit]")  # what the page holds is looked through for secrets
        assert "refused the connection" in pages.text(".errorlist")
        assert "What you typed is kept" in pages.text("#kept")
        assert pages.value("comment").startswith("two lines,\nand •••")
    admin.proxy.pass_through()
    pages.press("#configuration-rollback [type=submit]")
    assert stored(consul, admin)["show_message"] == MESSAGE
    assert "two lines" in events(pages)[0][1]


def test_a_rollback_keeps_its_comment_while_redis_is_down(admin, editor, consul, redis):
    save(editor, "to another database", redis_config__redis_db="1")
    gone = free_port()
    consul.put(admin.key, document(redis, redis_config=redis.document(redis_port=gone, redis_db=1)))
    entry = json.loads(consul.get(history(consul, admin)[0]))
    entry["replaced"]["redis_config.redis_port"]["value"] = gone
    consul.put(history(consul, admin)[0], entry)
    path = f"{admin.url}{PATH}history/{history(consul, admin)[0].rpartition('/')[2]}/rollback/"
    keeper = admin.session("keeper")
    form = FormFields(keeper.get(path, timeout=30).text).found | {"comment": "typed meanwhile"}
    page = keeper.post(path, form, headers={"Referer": path}, timeout=30).text
    assert "refused the connection" in page
    assert FormFields(page).found["comment"] == "typed meanwhile"


def test_a_rollback_with_a_token_that_may_only_read_says_so_and_keeps_the_comment(
    admin, browser, editor, consul, redis
):
    save(editor, "why", show_message="changed")
    [name] = history(consul, admin)
    with ConsulServer(acl=True) as guarded:
        guarded.put(admin.key, document(redis, "changed"))
        guarded.put(name, consul.get(name))
        variables = {"CONSUL_HTTP_ADDR": guarded.address, "CONSUL_HTTP_TOKEN": guarded.token(READ_ONLY)}
        with AdminSite({**admin.environment, **variables}) as site:
            site.password = admin.password
            pages = site.gunicorn().log_in(browser, "keeper").open("history/").press(".oldest a.rollback")
            assert "key:write" in pages.text("#refusal")
            assert pages.browser.one("#configuration-rollback [type=submit]").get_property("disabled")
            pages.fill("comment", "typed")
            pages.driver.execute_script("document.querySelector('#configuration-rollback [type=submit]').disabled = 0")
            pages.press("#configuration-rollback [type=submit]")
            assert "key:write" in pages.text("#refusal")
            assert pages.value("comment") == "typed"
            assert json.loads(guarded.get(admin.key))["show_message"] == "changed"


def test_a_rollback_from_a_broken_document_takes_the_secrets_in_force(pages, editor, admin, consul, redis):
    save(editor, "why", show_message="changed")
    consul.put(admin.key, b"no JSON at all")
    pages.open("history/").press(".oldest a.rollback")
    pages.fill("comment", "repair")
    pages.press("#configuration-rollback [type=submit]")
    assert stored(consul, admin) == document(redis)


def test_a_bad_document_from_outside_is_undone_in_two_clicks_from_the_login(browser, admin, consul, redis):
    good = document(redis, "a good one", redis_config=redis.document(redis_db=2), colour=["kept"])
    consul.put(admin.key, good)
    good_raw, good_index = consul.get(admin.key), consul.index(admin.key)
    wait_until(lambda: admin.runs(good_index), message="both workers to follow")
    bad = redis.document(redis_host="redis:6379", redis_password=GUARD.new("password of a bad document"))
    consul.put(admin.key, document(redis, "a bad one", redis_config=bad))
    rejected = consul.index(admin.key)
    wait_until(lambda: f"({good_index})" in index_page(admin), message="the rejection to show")
    browser.log_in(admin, "keeper", admin.password)
    pages = Pages(admin, browser).press("#configuration-module a.rollback")
    assert pages.differences()["redis_config.redis_host"] == ("not valid", "127.0.0.1")
    assert pages.differences()["show_message"] == ("a bad one", "a good one")
    assert "redis_config.redis_password" in pages.differences()
    assert "Secrets stay" not in pages.text()
    assert f"version {rejected} was rejected" in pages.value("comment")
    pages.press("#configuration-rollback [type=submit]")
    assert consul.get(admin.key) == good_raw
    assert [kind for kind, _ in events(pages.open("history/"))] == ["rollback", "oldest"]
    assert not pages.has("a.rollback")  # there is no valid version to go back to


def index_page(admin, user="keeper"):
    return admin.session(user).get(f"{admin.url}/admin/", timeout=30).text


def test_a_saved_mistake_is_undone_in_two_clicks_from_the_login(browser, admin, editor, consul, redis):
    before = consul.index(admin.key)
    save(editor, "a mistake", show_message="wrong")
    browser.log_in(admin, "keeper", admin.password)
    pages = Pages(admin, browser)
    assert "a mistake" in pages.text("#configuration-module")
    pages.press("#configuration-module a.rollback")
    assert f"Restores version {before}" in pages.text()
    pages.press("#configuration-rollback [type=submit]")
    assert stored(consul, admin) == document(redis)


def test_a_change_from_outside_is_undone_to_what_the_history_knows(pages, admin, editor, consul, redis):
    save(editor, "why", show_message="known")
    consul.put(admin.key, document(redis, "outside"))
    wait_until(lambda: admin.runs(consul.index(admin.key)), message="both workers to follow")
    pages.open("history/").press(".outside a.rollback")
    assert pages.differences() == {"show_message": ("outside", "known")}
    pages.press("#configuration-rollback [type=submit]")
    assert stored(consul, admin)["show_message"] == "known"


def test_each_version_is_offered_and_restored_as_it_was(pages, admin, editor, consul, redis):
    save(editor, "first", show_message="1")
    consul.put(admin.key, document(redis, "2"))
    save(editor, "third", show_message="3")
    save(editor, "fourth", show_message="4")
    pages.open("history/")
    links = [link.get_property("textContent").partition(" (")[0] for link in pages.browser.all("a.rollback")]
    assert links == ["Undo this change"] + ["Restore this version"] * 4
    for place, message in enumerate(("3", "2", "1", MESSAGE), start=2):
        pages.open("history/").press(f".configuration-timeline > li:nth-child({place}) a.rollback")
        assert pages.differences() == {"show_message": ("4", message)}


def test_nobody_goes_past_the_version_in_force_by_accident(pages, admin, editor, consul):
    """What the newest change replaced is in force, whatever the history has below."""
    save(editor, "good", show_message="in force")
    in_force = consul.index(admin.key)
    consul.put(admin.key, b"{}")
    wait_until(lambda: pages.open("history/").has(".outside a.rollback[href$='/restore/']"), message="the rejection")
    for place in (".outside", ".edit"):
        pages.open("history/").press(f"{place} a.rollback")
        assert f"({in_force})" in pages.text()
        assert pages.differences()["show_message"] == ("not valid", "in force")


def test_there_is_nothing_to_restore_while_what_is_stored_is_in_force(pages):
    assert "was not rejected" in pages.open("restore/").text("#off")


def test_the_version_in_force_comes_back_after_the_document_was_deleted(pages, admin, consul):
    raw = consul.get(admin.key)
    consul.delete(admin.key)
    pages.open("restore/").press("#configuration-rollback [type=submit]")
    assert consul.get(admin.key) == raw


def test_recent_actions_have_reason_and_version_and_lead_to_the_entry(pages, admin, consul):
    pages.edit("a reason to remember", show_message="new").save()
    pages.browser.open(f"{admin.url}/admin/")
    link = pages.browser.one("#recent-actions-module li a")
    assert link.text == f"{consul.index(admin.key)}: a reason to remember"
    save_id = history(consul, admin)[0].rpartition("/")[2]
    copies(consul, admin, 25)
    assert link.get_attribute("href").endswith(f"history/?save={save_id}#save-{save_id}")
    pages.press("#recent-actions-module li a")
    assert "a reason to remember" in pages.text(f"[id='save-{save_id}']")


def opened(pages):
    """The indexes of the changes that are open."""
    return [int(event.get_attribute("data-event")) for event in pages.browser.all("li:has(> details[open])")]


def test_each_change_is_one_line_that_opens_by_keyboard_and_by_its_address(pages, admin, editor, consul):
    reason = f"a long reason, {'which goes on, ' * 10}\nand on"
    save(editor, reason, show_message="first", redis_config__redis_db="1")
    first = consul.index(admin.key)
    save(editor, "second", show_message="second")
    pages.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        pages.open("history/")
        assert opened(pages) == [consul.index(admin.key)]
        line = pages.browser.one(f"[data-event='{first}'] summary")
        for part in ("editor edited", "a long reason", "…", "show_message", "redis_config.redis_db"):
            assert part in line.text
        assert pages.browser.one(f"#version-{first}").text == ""
        line.send_keys(Keys.ENTER)
        assert opened(pages) == [consul.index(admin.key), first]
        assert reason.replace(" \n", "\n") in pages.text(f"#version-{first} .reason")
        for address in (
            f"?version={first}",
            f"#version-{first}",
            f"?save={history(consul, admin)[0].rpartition('/')[2]}",
        ):
            pages.browser.open("about:blank")
            pages.open(f"history/{address}")
            assert first in opened(pages), address
        pages.open()
        pages.browser.one(f"[data-event='{first}'] a.version").click()
        assert pages.browser.one(f"#version-{first}").is_displayed()
    finally:
        pages.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_address_of_a_version_finds_its_page_and_says_when_it_is_not_kept(admin, editor, consul):
    chain(consul, admin, editor, 45, outside=(10,))
    indexes = {page: [event.index for event in shown.events(editor.history(page))] for page in (1, 2, 3)}
    for page, found in indexes.items():
        for index in found[:: len(found) - 1]:
            assert [event.index for event in shown.events(editor.history(version=index))] == indexes[page]
    missing = editor.history(version=1)  # older than all: what is known begins with the last page
    assert "is not among these changes" in missing
    assert [event.index for event in shown.events(missing)] == indexes[3]


@pytest.fixture
def five_changes(admin, editor, consul, redis):
    """By two people and by somebody outside of the page, oldest first: of the message, of the database, of both."""
    keeper = Editor(admin, "keeper")
    save(editor, "one", show_message="1")
    save(keeper, "two", redis_config__redis_db="2")
    consul.put(admin.key, document(redis, "3", redis_config=redis.document(redis_db=2)))
    save(editor, "four", redis_config__redis_db="4", show_message="4")
    save(keeper, "five", show_message="5")


@pytest.mark.parametrize(
    ("chosen", "comments"),
    [
        ({"user": "editor"}, ["four", "one"]),
        ({"user": " keeper "}, ["five", "two"]),
        ({"kind": "outside"}, [None]),
        ({"setting": "redis_config.redis_db"}, ["four", "two"]),
        ({"setting": "show_message"}, ["five", "four", None, "one"]),
        ({"user": "keeper", "setting": "show_message"}, ["five"]),
        ({"user": "keeper", "kind": "rollback"}, []),
        ({"user": "nobody"}, []),
        ({"user": "", "kind": "", "setting": ""}, ["five", "four", None, "two", "one", None]),
    ],
)
def test_changes_are_chosen_by_user_kind_and_setting(editor, five_changes, chosen, comments):
    page = editor.history(**chosen)
    found = shown.events(page)
    assert len(found) == len(comments)
    for event, comment in zip(found, comments, strict=True):
        assert comment is None if event.kind in ("outside", "oldest") else comment in event.text
    assert ('id="matches"' in page) == any(chosen.values())


def test_the_filter_works_without_a_script_and_offers_users_and_settings(pages, five_changes):
    pages.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        pages.open("history/")
        offered = [option.get_attribute("value") for option in pages.browser.all("#history-users option")]
        assert offered == ["editor", "keeper"]
        pages.browser.one("[name=user]").send_keys("editor")
        Select(pages.browser.one("[name=setting]")).select_by_value("redis_config.redis_db")
        pages.browser.one(".configuration-filter button").click()
        assert pages.text("#matches") == "1 change matches."
        [(_kind, text)] = events(pages)
        assert "four" in text
        assert pages.value("user") == "editor"
        pages.browser.one(".configuration-filter a").click()
        assert len(events(pages)) == 6
    finally:
        pages.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_pages_of_chosen_changes_keep_the_choice(admin, editor, consul, pages):
    chain(consul, admin, editor, 45, outside=(10,))
    pages.open("history/?user=editor&kind=edit")
    for number, count in enumerate((20, 20, 5), start=1):
        assert pages.text("[aria-current=page]:not(a)") == f"Page {number} of 3"
        assert [kind for kind, _ in events(pages)] == ["edit"] * count
        if number < 3:
            pages.press("[rel=next]")
    index = pages.browser.one("[data-event]").get_attribute("data-event")
    found = shown.events(editor.history(user="editor", kind="edit", version=index))
    assert str(found[0].index) == index


@pytest.mark.parametrize("name", ["user", "kind", "setting", "version", "save"])
@pytest.mark.parametrize("value", ["x" * 3000, "<script>", "\0", "\u202e", "-1", "9" * 30, "²", "'\"&%(x)s{{ x }}"])
def test_whatever_the_address_holds_is_an_answer(admin, editor, name, value):
    page = editor.history(**{name: value})
    assert "<script>" not in page
    assert "{{ x }}" not in page or name == "user"


def test_only_who_may_roll_back_finds_the_way_and_gets_there(admin, browser, editor, consul):
    save(editor, "why", show_message="changed")
    pages = admin.log_in(browser, "editor").open("history/")
    assert not pages.has("a.rollback")
    save_id = history(consul, admin)[0].rpartition("/")[2]
    path = f"{admin.url}{PATH}history/{save_id}/rollback/"
    assert editor.session.get(path, timeout=30).status_code == 403
    token = {"csrfmiddlewaretoken": editor.session.cookies["csrftoken"], "comment": "forced"}
    assert editor.session.post(path, token, timeout=30).status_code == 403
    assert editor.session.get(path.replace("rollback", "restore"), timeout=30).status_code == 403
    assert editor.session.get(f"{admin.url}{PATH}restore/", timeout=30).status_code == 403
    assert admin.session("keeper").get(path.replace(save_id, "nothing"), timeout=30).status_code == 404


def test_the_newest_are_kept_as_many_as_configured(admin, consul):
    with AdminSite({**admin.environment, "DEMO_CONFIG_HISTORY": "3"}) as site:
        site.password = admin.password
        editor = Editor(site.gunicorn(), "editor")
        for number in range(5):
            save(editor, f"number {number}", show_message=f"message {number}")
    comments = [json.loads(consul.get(name))["comment"] for name in sorted(history(consul, admin))]
    assert comments == ["number 2", "number 3", "number 4"]


def test_it_says_when_consul_is_down(pages, admin):
    admin.proxy.refuse()
    pages.open("history/")
    assert "refused the connection" in pages.text("#off")


def test_what_others_put_beside_the_entries_is_counted(pages, admin, editor, consul):
    save(editor, "why", show_message="changed")
    others = {"": b"prefix", "zzz": b"\xff", "zz1": b"", "00": b"[]", "zz/deep": b'{"replaced": 1, "changes": 2}'}
    for name, value in others.items():
        consul.put(f"{admin.key}.history/{name}", value)
    pages.open("history/")
    assert [kind for kind, _ in events(pages)] == ["edit", "oldest"]
    assert pages.text("#others").endswith(f": {len(others)}")
    pages.open()
    assert [kind for kind, _ in events(pages)] == ["edit", "oldest"]

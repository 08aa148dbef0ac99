"""The settings on the overview: in groups, with a filter and copy buttons; and the pages on paper."""

import json
from datetime import datetime

import psutil
import pytest
from selenium.webdriver.common.keys import Keys

from tests.support.documents import MESSAGE, document
from tests.support.waiting import wait_until

STYLE = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"


@pytest.fixture
def pages(admin, browser):
    clipboard = {"origin": admin.url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.driver.execute_cdp_cmd("Browser.grantPermissions", clipboard)
    yield admin.log_in(browser, "viewer").open()
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def settings_in(pages, group):
    return [row.get_attribute("data-setting") for row in pages.browser.all(f"[data-group={group}] [data-setting]")]


def visible(pages, selector):
    """The elements that are seen, folded ones excluded; Selenium does not know what the style of paper unfolds."""
    script = "return [...document.querySelectorAll(arguments[0])].filter((part) => part.checkVisibility())"
    return pages.driver.execute_script(script, selector)


def shown(pages):
    return {row.get_attribute("data-setting") for row in visible(pages, "[data-setting]")}


def find(pages, words):
    field = pages.browser.one("#settings input")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(words or Keys.DELETE)


def copied(pages):
    """What the clipboard holds: what comes out of it into the field."""
    find(pages, "")
    pages.browser.one("#settings input").send_keys(Keys.CONTROL, "v")
    return pages.browser.one("#settings input").get_property("value")


def press_by_keyboard(pages, selector):
    """Return what a screen reader is told then."""
    button = pages.browser.one(selector)
    pages.driver.execute_script("arguments[0].focus()", button)
    button.send_keys(Keys.ENTER)
    return wait_until(lambda: pages.browser.one("#settings-copied").get_property("textContent"), message="a word of it")


# The groups.


def test_the_document_stands_first_then_what_is_set_and_the_rest_is_folded(pages):
    members, environment, unset = (settings_in(pages, group) for group in ("document", "environment", "unset"))
    assert members[0] == "document"
    assert {"redis_config.redis_host", "redis_config.redis_password", "redis_config.redis_tls"} <= set(members)
    assert {"CONSUL_HTTP_ADDR", "DEMO_CONFIG_KEY", "DJANGO_SECRET_KEY", "SERVICE_PORT"} <= set(environment)
    assert {"redis_config.redis_username", "CONSUL_HTTP_TOKEN", "DEMO_CONFIG_HISTORY"} <= set(unset)
    assert len({*members, *environment, *unset}) == len(pages.browser.all("[data-setting]"))
    assert pages.text("#settings-unset summary") == f"Not set ({len(unset)})"
    assert shown(pages) == {*members, *environment}


def test_a_group_says_origin_and_time_once_and_a_row_only_what_differs(pages, admin, consul):
    caption = pages.text("[data-group=document] caption")
    assert f"Origin: Consul key {admin.key}, ModifyIndex {consul.index(admin.key)}. Loaded: " in caption
    assert "Origin: environment. Loaded: " in pages.text("[data-group=environment] caption")
    rows = "[data-setting='redis_config.redis_{}'] .value small"
    assert pages.text(rows.format("tls")) == "default"
    assert not pages.has(rows.format("host"))
    assert pages.text("[data-setting=SERVICE_PORT] .value small").startswith("gunicorn bind 127.0.0.1:")
    assert not pages.has("[data-group=unset] small")


def test_it_says_which_process_of_which_instance_answered_and_since_when_it_runs(pages, admin):
    said = pages.text("[data-answerer]")
    (pid,) = (pid for pid in admin.worker_pids() if f"process {pid}," in said)
    assert f"instance {pages.browser.one('[data-instance]').get_attribute('data-instance')}," in said
    started = pages.browser.one("[data-answerer] time").get_attribute("datetime")
    assert abs(datetime.fromisoformat(started).timestamp() - psutil.Process(pid).create_time()) < 10


def test_what_is_wrong_with_a_variable_is_not_folded_and_the_instance_is_nameless(environment, new_site):
    script = (
        "import json\n"
        "from django.conf import settings\n"
        "from demo_site.admin import settings_groups\n"
        "known = settings_groups.shown(settings.CONFIGURATION)\n"
        "groups = {group.name: [row.setting for row in group.rows] for group in known['groups']}\n"
        "print(json.dumps([groups, known['answerer'].instance]))"
    )
    done = new_site({**environment, "SERVICE_ID": "/"}).command("shell", "-v0", "-c", script)
    groups, instance = json.loads(done.stdout)
    assert "SERVICE_NAME" in groups["environment"]  # whose row lists the faults
    assert instance is None


# The filter.


def test_the_filter_narrows_the_rows_as_one_types_and_looks_into_what_is_folded(pages):
    every = len(pages.browser.all("[data-setting]"))
    find(pages, "REDIS_ password")
    assert shown(pages) == {"redis_config.redis_password", "redis_config.redis_password_file", "REDIS_PASSWORD_DIR"}
    assert pages.text("#settings output") == f"3 of {every} settings match"
    assert not pages.browser.one("[data-group=environment]").is_displayed()
    find(pages, MESSAGE)
    assert shown(pages) == {"show_message"}
    find(pages, "no such setting")
    assert (shown(pages), pages.text("#settings output")) == (set(), f"0 of {every} settings match")
    find(pages, "")
    assert shown(pages) == {*settings_in(pages, "document"), *settings_in(pages, "environment")}
    assert pages.text("#settings output") == ""


def test_without_javascript_there_is_neither_filter_nor_button(pages):
    pages.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    pages.open()
    assert not pages.browser.one("#settings-filter").is_displayed()
    assert not pages.has("#settings button")
    pages.browser.one("#settings-unset summary").click()
    assert "DEMO_CONFIG_HISTORY" in shown(pages)


# Copying.


def test_keys_and_values_are_copied_by_keyboard_and_a_screen_reader_hears_of_it(pages):
    assert press_by_keyboard(pages, "[data-setting=show_message] td button") == "Copied: show_message"
    assert copied(pages) == MESSAGE
    find(pages, "")
    key = "[data-setting='redis_config.redis_host'] th button"
    assert pages.browser.one(key).accessible_name == "Copy redis_config.redis_host"
    assert press_by_keyboard(pages, key) == "Copied: redis_config.redis_host"
    assert copied(pages) == "redis_config.redis_host"


def test_a_page_over_plain_http_copies_too(pages):
    pages.driver.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    button = "[data-setting=DEMO_CONFIG_KEY] td button"
    assert press_by_keyboard(pages, button) == "Copied: DEMO_CONFIG_KEY"
    assert pages.driver.switch_to.active_element == pages.browser.one(button)
    assert copied(pages) == pages.site.key


def test_what_a_browser_refuses_to_copy_is_not_called_copied(pages):
    pages.driver.execute_script("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    said = press_by_keyboard(pages, "[data-setting=show_message] td button")
    assert said == "The browser refused to copy show_message"
    assert not pages.has("#settings .done")


def test_no_mask_and_no_word_in_place_of_a_value_can_be_copied(pages, admin, consul, redis):
    consul.put(admin.key, document(redis, f"ask with {redis.password}"))
    wait_until(lambda: admin.runs(consul.index(admin.key)), message="both workers to follow")
    assert "ask with •" in pages.open().text("[data-setting=show_message] td")
    assert not pages.has("[data-setting=show_message] td button")
    assert pages.has("[data-secret] th button")
    assert not pages.has("[data-secret] td button")
    assert not pages.has("[data-setting=document] td button")
    assert not pages.has("[data-setting=CONSUL_HTTP_TOKEN] td button")


# On paper.


def test_paper_is_light_has_nothing_to_press_and_all_rows(pages):
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    find(pages, "redis_host")
    pages.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": features})
    assert pages.driver.execute_script(STYLE, "body", "backgroundColor") == "rgb(18, 18, 18)"
    pages.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
    for theme in ("auto", "dark"):
        pages.driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
        assert pages.driver.execute_script(STYLE, "body", "backgroundColor") == "rgb(255, 255, 255)"
        assert pages.driver.execute_script(STYLE, "#settings td", "color") == "rgb(51, 51, 51)"
        assert pages.driver.execute_script(STYLE, "#configuration-live .mark", "color") == "rgb(43, 122, 75)"
    assert visible(pages, "nav *, button, input, select, #header, #settings-filter") == []
    for kept in ("[data-setting]", "[data-fleet] details li"):
        assert visible(pages, kept) == pages.browser.all(kept) != []

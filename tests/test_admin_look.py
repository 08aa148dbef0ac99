"""The pages' accessibility and looks: axe-core, a strict CSP, narrow and dark, with and without live updates."""

import contextlib
import json
import os
import re
import signal
import time
from datetime import datetime, timedelta, timezone

import pytest

from tests.support import layout
from tests.support.admin import PATH, start_admin
from tests.support.axe import violations
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.waiting import wait_until

SAID = {"started_at": "2026-01-01T00:00:00Z", "seen_at": "2026-01-01T00:00:00Z", "workers": 8, "index": 7}
UTC = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC"
POLICY = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'")


@pytest.fixture
def pages(admin, browser):
    yield admin.log_in(browser, "keeper")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def everything(pages, consul, redis):
    """Show each page in each of its states, one after the other; yields its name."""
    site = pages.site
    yield pages.browser.open(site.url) and "page"
    pages.browser.open(f"{site.url}/admin/")
    yield "index"
    yield pages.open("history/") and "empty history"
    yield pages.open("edit/") and "form"
    yield pages.edit(redis_config__redis_port="1") and "error"
    yield pages.edit("a reason", show_message="first", redis_config__redis_db="1") and "preview"
    yield pages.save() and "rollout"
    saved = pages.driver.current_url
    yield pages.open("history/") and "history"
    consul.put(site.key, document(redis, "outside"))
    yield pages.open("history/") and "outside"
    pages.browser.open(saved)
    yield "a version that was replaced"
    pages.open("history/?user=keeper&setting=nowhere&version=1")
    pages.driver.execute_script("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    yield "chosen changes, opened"
    pages.open("history/")
    yield pages.press("a.rollback") and "rollback"
    pages.open("edit/").fill("show_message", "mine")
    consul.put(site.key, document(redis, "theirs"))
    yield pages.preview() and "conflict"
    pages.browser.one("[name=show_message__choice][value=theirs]").click()
    site.proxy.refuse()
    yield pages.preview() and "a choice while Consul is down"
    site.proxy.pass_through()
    wait_until(lambda: pages.open().has("#pulse-drawing svg"), message="the first figures of the pulse")
    yield "overview"
    pages.driver.execute_script("document.getElementById('pulse-numbers')?.setAttribute('open', '')")
    yield "pulse in numbers"
    pages.browser.one("#settings-unset summary").click()
    yield "all settings"
    pages.browser.one("#settings input").send_keys("redis file")
    yield "filtered settings"
    consul.put(f"{site.key}.workers/elsewhere/1", SAID | {"state": "current", "index": consul.index(site.key)})
    yield pages.open() and "a missing worker"
    consul.delete(f"{site.key}.workers/elsewhere?recurse")
    pages.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    wait_until(lambda: pages.has("#configuration-live.lost"), message="the loss to show")
    yield "lost"
    pages.browser.open(f"{site.url}/admin/login/")
    yield "login"
    yield site.log_in(pages.browser, "staff").open() and "403"
    pages.browser.open(f"{site.url}/admin/nowhere/")
    yield "404"
    with lost_database(site):
        yield pages.open() and "503"
    site.log_in(pages.browser, "keeper").open()
    consul.put(site.key, b'{"redis_config": {}}')
    wait_until(lambda: pages.open().has(".bad[data-status=document]"), message="the rejection to show")
    yield "rejected"
    pages.browser.open(f"{site.url}/admin/")
    yield "index of a rejection"
    yield pages.open("edit/") and "repair"
    yield pages.open("restore/") and "restore"
    site.proxy.refuse()
    yield pages.open() and "Consul down"
    yield pages.open("edit/") and "form off"
    site.proxy.pass_through()


@contextlib.contextmanager
def lost_database(site):
    """While this lasts the database cannot be opened."""
    path, aside = site.directory / "db.sqlite3", site.directory / "aside"
    path.rename(aside)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        aside.rename(path)


def wear(pages, scheme, media="screen"):
    """Have the pages light or dark, and still."""
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    pages.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def speak(pages, language):
    pages.driver.execute_cdp_cmd("Network.enable", {})
    pages.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})


# Themes have no part in the layout, and languages none in what axe-core finds: two passes see all.
@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "zh-CN")])
def test_axe_finds_no_violation_the_browser_nothing_to_complain_of_and_the_layout_is_sound(
    pages, consul, redis, scheme, language
):
    wear(pages, scheme)
    speak(pages, language)
    found = {}
    for name in everything(pages, consul, redis):
        complaints = [line for line in pages.browser.console() if not is_expected(line)]
        found[name] = complaints + violations(pages.driver) + layout.faults(pages.driver)
        wear(pages, scheme, "print")
        found[name] += [f"on paper, {fault}" for fault in layout.faults(pages.driver)]
        wear(pages, scheme)
        pages.browser.console()  # axe-core itself tries an inline style
    assert {name: each for name, each in found.items() if each} == {}


def is_expected(line):
    """What Chromium says of each page that is refused, and of a form that is no login."""
    return "favicon" in line or "[DOM]" in line or "the server responded with a status of" in line


def contrast(*colours):
    """That of two colours as a browser computes them: WCAG wants 3 for what is no text."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted(map(luminance, colours))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_current_tab_is_seen_and_buttons_and_links_have_one_typeface(pages, scheme):
    """What axe-core does not look at."""
    wear(pages, scheme)
    pages.edit("a reason", show_message="another")
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    colours = [
        pages.driver.execute_script(style, *asked)
        for asked in ((".configuration-tabs [aria-current]", "borderBottomColor"), ("body", "backgroundColor"))
    ]
    assert contrast(*colours) >= 3
    faces = {pages.driver.execute_script(style, f".submit-row {kind}", "fontFamily") for kind in ("button", "a")}
    assert len(faces) == 1


@pytest.fixture(scope="module")
def limited(session_redis):
    """A site whose token may only read: no worker publishes itself, and nobody can save."""
    rules = "".join(f'{kind}_prefix "" {{ policy = "read" }}' for kind in ("key", "service", "node", "agent"))
    with (
        ConsulServer(acl=True) as consul,
        start_admin(
            consul, session_redis, "limited", CONSUL_HTTP_TOKEN=consul.token(rules), CONSUL_REGISTER="1"
        ) as site,
    ):
        yield site.gunicorn()


def test_a_token_that_may_only_read_is_told_what_it_lacks(limited, browser):
    pages = limited.log_in(browser, "keeper")
    wait_until(
        lambda: pages.open().has("[data-unpublished]") and "session:write" in pages.text("[data-unpublished]"),
        message="the reason to show",
    )
    assert "key:write" in pages.text("[data-unpublished]")
    wait_until(lambda: pages.open().has(".bad[data-status=registration]"), message="the registration's trouble")
    assert "Permission denied" in pages.text("[data-status=registration]")
    assert "CONSUL_REGISTER" not in pages.text("[data-status=registration]")
    for scheme in ("light", "dark"):
        wear(pages, scheme)
        assert {path: violations(pages.open(path).driver) for path in ("", "edit/")} == {"": [], "edit/": []}
        assert pages.has("#refusal")
    wear(pages, "light")


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/admin/effective-configuration/", "/admin/nowhere/"])
def test_every_page_of_the_admin_has_a_strict_policy(admin, path):
    policy = admin.session("keeper").get(admin.url + path, timeout=30).headers["Content-Security-Policy"]
    assert set(POLICY) <= set(policy.split("; "))
    assert "unsafe" not in policy


def test_the_visitors_page_has_a_strict_policy(admin):
    policy = admin.get("/", headers={"Accept": "text/html"}).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_djangos_own_pages_work_under_the_policy(admin, browser):
    made = admin.command(
        "shell",
        "-c",
        "from django.contrib.auth.models import User; User.objects.filter(username='keeper').update(is_superuser=True)",
    )
    assert made.status == 0
    try:
        admin.log_in(browser, "keeper")
        for path in ("auth/user/", "auth/user/add/", "auth/group/add/", "auth/user/1/change/", "password_change/"):
            browser.open(f"{admin.url}/admin/{path}")
            browser.one("#content h1")
        assert browser.one("#id_old_password")
        assert [line for line in browser.console() if "Policy" in line] == []
    finally:
        admin.command(
            "shell", "-c", "from django.contrib.auth.models import User; User.objects.update(is_superuser=False)"
        )


def test_status_refreshes_without_a_reload_and_a_screen_reader_hears_of_changes(pages, admin):
    pages.open()
    pages.driver.execute_script("window.notReloaded = true")
    assert pages.text("#configuration-announcement") == ""
    admin.proxy.refuse()
    wait_until(lambda: pages.has(".bad[data-status=consul]"), message="the outage to show")
    assert "Consul Problem" in pages.browser.one("#configuration-announcement").get_property("textContent")
    admin.proxy.pass_through()
    wait_until(lambda: pages.has(".good[data-status=consul]"), message="the recovery to show")
    assert pages.driver.execute_script("return window.notReloaded")


def test_it_says_when_the_site_itself_no_longer_answers(pages, admin):
    pages.open()
    pages.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    pages.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    try:
        wait_until(lambda: pages.has("#configuration-live.lost"), message="the loss to show")
        assert "does not answer" in pages.text("#configuration-announcement")
    finally:
        pages.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    wait_until(lambda: not pages.has("#configuration-live.lost"), message="the return to show")


def test_a_site_that_hangs_is_told_from_one_that_answers(pages, admin, new_proxy):
    proxy = new_proxy(admin.port)
    pages.browser.open(f"http://{proxy.address}{PATH}")
    proxy.silence()
    wait_until(lambda: pages.has("#configuration-live.lost"), 60, "the loss to show")
    assert "does not answer" in pages.text("#configuration-announcement")
    proxy.pass_through()
    proxy.cut()
    wait_until(lambda: not pages.has("#configuration-live.lost"), 60, "the return to show")


def test_who_was_logged_out_is_told_so(pages):
    pages.open()
    pages.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    wait_until(lambda: pages.has("#configuration-live.lost"), message="the loss to show")
    assert "logged out" in pages.text("#configuration-announcement")
    assert "does not answer" not in pages.text("#configuration-announcement")


def test_what_did_not_change_stays_for_a_selection_and_a_screen_reader(pages):
    pages.open()
    pages.driver.execute_script(
        "const text = Response.prototype.text;"
        "Response.prototype.text = async function () {"
        "  const html = await text.call(this); setTimeout(() => window.refreshed = true); return html }"
    )

    def stays():
        """Whether the same element is there after a refresh, which a tab that comes into sight asks for at once."""
        pages.driver.execute_script(
            "document.querySelector('[data-status]').marked = true; window.refreshed = false;"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        wait_until(lambda: pages.driver.execute_script("return window.refreshed"), 60, "a refresh")
        return pages.driver.execute_script("return document.querySelector('[data-status]').marked === true")

    wait_until(stays, 60, "a refresh that changes nothing")


def test_pulse_is_drawn_anew_while_the_rest_and_an_open_table_stay(pages):
    wait_until(lambda: pages.open().has("#pulse-numbers"), message="the first rows of the pulse")

    def stays():
        pages.driver.execute_script(
            "for (const name of ['[data-status]', '#pulse-numbers']) document.querySelector(name).marked = true;"
            "document.getElementById('pulse-numbers').open = true;"
            "window.drawn = document.querySelector('#pulse-drawing svg')"
        )
        # Without visitors, five minutes after the start, only the minutes below it change.
        wait_until(lambda: pages.driver.execute_script("return !window.drawn.isConnected"), 90, "another picture")
        assert pages.browser.one("#pulse-rows tr").is_displayed()
        return pages.driver.execute_script(
            "return ['[data-status]', '#pulse-numbers'].every((name) => document.querySelector(name).marked)"
        )

    wait_until(stays, 180, "a picture with nothing else to tell")  # at first a worker may still be missing


def test_what_is_not_refreshed_is_said_to_be_out_of_date_after_a_change(pages, admin, consul, redis):
    pages.open()
    assert not pages.browser.one("#configuration-outdated").is_displayed()
    consul.put(admin.key, document(redis, "changed meanwhile"))
    wait_until(lambda: pages.browser.one("#configuration-outdated").is_displayed(), message="the hint")
    assert "changed meanwhile" not in pages.text("[data-setting=show_message]")
    wait_until(lambda: admin.runs(consul.index(admin.key)), message="both workers to follow")
    pages.press("#configuration-outdated a")
    assert "changed meanwhile" in pages.text("[data-setting=show_message]")
    assert not pages.browser.one("#configuration-outdated").is_displayed()


def test_a_hidden_tab_asks_for_nothing(pages):
    pages.open()
    pages.driver.execute_script(
        "const fetched = window.fetch; window.asked = 0;"
        "window.fetch = (...all) => { window.asked++; return fetched(...all) }"
    )
    wait_until(lambda: pages.driver.execute_script("return window.asked") > 0, message="the first refresh")
    pages.driver.execute_script(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true});"
        "document.dispatchEvent(new Event('visibilitychange')); window.asked = 0"
    )
    pages.driver.set_script_timeout(30)
    pages.driver.execute_async_script("setTimeout(arguments[0], 7000)")
    assert pages.driver.execute_script("return window.asked") == 0
    pages.driver.execute_script("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: pages.driver.execute_script("return window.asked") > 0, message="a refresh when seen again")


def test_every_flow_works_without_javascript(pages, admin, consul):
    pages.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    pages.open("edit/")
    pages.browser.one("[name=redis_config__redis_db]").clear()
    pages.browser.one("[name=redis_config__redis_db]").send_keys("7")
    pages.browser.one("[name=comment]").send_keys("no script")
    pages.browser.one("[name=step][value=preview]").click()
    pages.browser.one("#preview")
    pages.browser.one("[name=step][value=save]").click()
    pages.browser.one(".configuration-timeline")
    assert json.loads(consul.get(admin.key))["redis_config"]["redis_db"] == 7
    assert re.fullmatch(UTC, pages.text(".configuration-timeline time"))
    pages.open()
    assert pages.has(".good[data-status=consul]")
    assert pages.has("[data-fleet] tbody")


@pytest.mark.parametrize(
    ("zone", "language", "clock", "distance"),
    [
        ("Asia/Shanghai", "en", 8, r"(now|\d+ seconds? ago|\d+ minutes? ago)"),
        ("America/Bogota", "zh-CN", -5, r"(现在|\d+秒钟前|\d+分钟前)"),
    ],
)
def test_moments_are_local_and_relative_and_keep_utc_as_their_tooltip(pages, consul, zone, language, clock, distance):
    pages.edit("a reason", show_message="another").save()
    pages.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": zone})
    speak(pages, language)
    try:
        for path in ("", "history/"):
            time_ = pages.open(path).browser.one(".configuration-timeline time")
            at = datetime.fromisoformat(time_.get_attribute("datetime"))
            assert f"{at:%Y-%m-%d %H:%M:%S} UTC" == time_.get_attribute("title")
            local = at.astimezone(timezone(timedelta(hours=clock)))
            assert re.fullmatch(rf".*{local:%H:%M}(:\d\d)? \({distance}\)", time_.text), time_.text
        pages.open()
        pages.driver.execute_script("document.dispatchEvent(new Event('visibilitychange'))")
        consul.put(f"{pages.site.key}.workers/elsewhere/1", SAID | {"state": "current"})
        wait_until(lambda: pages.has("[data-instance=elsewhere]"), message="a refresh")
        assert re.search(distance, pages.text("[data-status=consul] time"))
    finally:
        consul.delete(f"{pages.site.key}.workers/elsewhere?recurse")
        pages.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_the_fleet_is_quiet_while_all_is_well_and_loud_when_a_worker_is_missing(admin, consul):
    session = admin.session("viewer")

    def shows(count):
        """Asked on a connection of its own: one that is kept may belong to the worker that hangs."""
        page = session.get(f"{admin.url}{PATH}status/", timeout=60, headers={"Connection": "close"}).text
        return count in re.findall(r'<tbody class="(\w+)" .* data-workers="(. of .)"', page)

    wait_until(lambda: shows(("quiet", "2 of 2")), message="both workers to be there")
    victim, stopped_at = admin.worker_pids()[0], time.monotonic()
    # The master too, which would replace the worker: a heartbeat may be 15 s old, and the key lives up to 20 s more.
    stopped = (admin.process.pid, victim)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: shows(("loud", "1 of 2")), 60, "the missing worker to show", interval=0.5)
        assert time.monotonic() - stopped_at < 30
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: shows(("quiet", "2 of 2")), 60, "both workers to be there again", interval=0.5)


def test_a_worker_that_runs_what_it_should_not_is_told_with_its_reason(pages, admin, consul):
    said = {"started_at": "2026-01-01T00:00:00Z", "seen_at": "2026-01-01T00:00:00Z", "workers": 3, "index": 7}
    reasons = {"stale": "Consul went away", "rejected": "redis_config.redis_port: is <wrong>"}
    for pid, (state, reason) in enumerate(reasons.items(), start=71):
        consul.put(f"{admin.key}.workers/elsewhere/{pid}", said | {"state": state, "reason": reason})
    try:
        pages.open()
        assert pages.has(".loud[data-instance=elsewhere][data-workers='2 of 3']")
        for state, reason in reasons.items():
            shown = pages.text(f"[data-instance=elsewhere] [data-state={state}]")
            assert state in shown
            assert reason in shown
    finally:
        consul.delete(f"{admin.key}.workers/elsewhere?recurse")


def test_a_worker_whose_watch_hears_nothing_is_loud(pages, admin, consul, redis):
    """It still publishes "current", because only the connection of its watch hangs."""
    quiet = ".quiet[data-workers='2 of 2']"
    wait_until(lambda: pages.open().has(quiet), message="both workers to be there")
    before = consul.index(admin.key)
    time.sleep(3)  # a watch that got over an error of the test before asks once without waiting, and pauses a second
    admin.proxy.silence_waiting(b"index=")
    try:
        consul.put(admin.key, document(redis, "not heard of"))
        wait_until(lambda: pages.has(".loud [data-state=behind]"), message="the workers to show")
        said = pages.text("[data-state=behind]")
        assert f"runs version {before}" in said
        assert f"Consul has version {consul.index(admin.key)}" in said
        assert all(str(pid) in said for pid in admin.worker_pids())
        assert "behind" in admin.command("effective_config", "--fleet").stdout
    finally:
        admin.proxy.cut()
    wait_until(lambda: pages.open().has(quiet), message="both to follow again")
    assert not pages.has("[data-state=behind]")


def test_why_the_fleet_cannot_be_read_is_said(pages, admin):
    admin.proxy.lose_replies(to=b".workers/?")
    pages.open()
    assert pages.has(".good[data-status=consul]")
    assert "closed the connection without an answer" in pages.text("[data-fleet-trouble]")

"""How the pages look and sound: no barrier that axe-core finds, a strict policy, narrow and dark, live and without."""

import contextlib
import json
import os
import re
import signal
import statistics
import time

import pytest

from tests.support.admin import PATH
from tests.support.axe import violations
from tests.support.documents import document
from tests.support.waiting import wait_until

POLICY = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'")


@pytest.fixture
def pages(admin, browser):
    yield admin.log_in(browser, "keeper")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def everything(pages, consul, redis):
    """Show each page in each of its states, one after the other; yields its name."""
    yield pages.browser.open(pages.site.url) and "page"
    pages.browser.open(f"{pages.site.url}/admin/")
    yield "index"
    yield pages.open("history/") and "empty history"
    yield pages.open("edit/") and "form"
    yield pages.edit(redis_config__redis_port="1") and "error"
    yield pages.edit("a reason", show_message="first", redis_config__redis_db="1") and "preview"
    yield pages.save() and "history"
    consul.put(pages.site.key, document(redis, "outside"))
    yield pages.open("history/") and "outside"
    yield pages.press("a.rollback") and "rollback"
    pages.open("edit/").fill("show_message", "mine")
    consul.put(pages.site.key, document(redis, "theirs"))
    yield pages.preview() and "conflict"
    yield pages.open() and "overview"
    consul.put(pages.site.key, b'{"redis_config": {}}')
    wait_until(lambda: pages.open().has(".bad[data-status=document]"), message="the rejection to show")
    yield "rejected"
    yield pages.open("edit/") and "repair"
    pages.site.proxy.refuse()
    yield pages.open() and "Consul down"
    yield pages.open("edit/") and "form off"
    pages.site.proxy.pass_through()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_and_the_browser_nothing_to_complain_of(pages, consul, redis, scheme):
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    pages.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    found = {}
    for name in everything(pages, consul, redis):
        complaints = [line for line in pages.browser.console() if "favicon" not in line and "[DOM]" not in line]
        found[name] = complaints + violations(pages.driver)
        pages.browser.console()  # axe-core itself tries an inline style
    assert {name: each for name, each in found.items() if each} == {}


def test_nothing_is_cut_off_on_a_narrow_screen(pages, consul, redis):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    pages.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    script = (
        "const parts = document.querySelectorAll('main :is(input:not([type=hidden]), textarea, button, table, li, p)');"
        "return Math.max(document.documentElement.scrollWidth,"
        " ...[...parts].map(part => part.getBoundingClientRect().right))"
    )
    widths = {name: pages.driver.execute_script(script) for name in everything(pages, consul, redis)}
    assert {name: width for name, width in widths.items() if width > 360} == {}


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
    pages.open()
    assert pages.has(".good[data-status=consul]")
    assert pages.has("[data-fleet] tbody")


def test_the_fleet_is_quiet_while_all_is_well_and_loud_when_a_worker_is_missing(admin, consul):
    session = admin.session("viewer")

    def shows(count):
        """Asked on a connection of its own: one that is kept may belong to the worker that hangs."""
        page = session.get(f"{admin.url}{PATH}status/", timeout=60, headers={"Connection": "close"}).text
        return count in re.findall(r'<tbody class="(\w+)" .* data-workers="(. of .)"', page)

    wait_until(lambda: shows(("quiet", "2 of 2")), message="both workers to be there")
    victim, stopped_at = admin.worker_pids()[0], time.monotonic()
    os.kill(victim, signal.SIGSTOP)
    try:
        wait_until(lambda: shows(("loud", "1 of 2")), 60, "the missing worker to show", interval=0.5)
        assert time.monotonic() - stopped_at < 30
    finally:
        with contextlib.suppress(ProcessLookupError):  # gunicorn replaces a worker that hangs
            os.kill(victim, signal.SIGCONT)
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


def test_the_page_of_500_workers_takes_less_than_three_times_that_of_5(admin, consul):
    session = admin.session("viewer")
    said = {"started_at": "2026-01-01T00:00:00Z", "seen_at": "2026-01-01T00:00:00Z", "workers": 8, "index": 7}

    def median_seconds():
        asked = [session.get(admin.url + PATH, timeout=60).elapsed.total_seconds() for _ in range(15)]
        return statistics.median(asked)

    try:
        for pid in range(3):  # beside the two of the site itself
            consul.put(f"{admin.key}.workers/few/{pid}", said | {"state": "current"})
        few = median_seconds()
        for pid in range(495):
            consul.put(f"{admin.key}.workers/many-{pid // 8}/{pid}", said | {"state": "current"})
        assert median_seconds() < 3 * few
    finally:
        for name in ("few", "many"):
            consul.delete(f"{admin.key}.workers/{name}?recurse")

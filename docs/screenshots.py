"""Makes docs/images/: the visitor's page and the admin's, light and dark, of a site that really runs.

After `make test`, which brings all parts: `.venv/bin/python docs/screenshots.py`. The Chinese ones need a Chinese font.
It takes three minutes, because changes of people lie apart, and a worker that hangs shows after half a minute.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "deploy/local"))

from demo_site.identity import NAME
from tests.support.admin import AdminSite, Pages, start_admin
from tests.support.browser import Browser
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

IMAGES = Path(__file__).parent / "images"
VIEWS_BEFORE = 41  # of other visitors: one view looks like a constant
KEY = "demo-config"
WORKERS = 3
WIDTH, PAGE_WIDTH, PAGE_HEIGHT = 1200, 760, 336
MARGIN = 16  # below the last element of a picture
APART_SECONDS = 12
FADE_SECONDS = 0.5  # the admin's links fade from one theme's colour to the other's
ENGLISH, BOTH = ("en",), ("en", "zh-CN")
HANGING_SECONDS = 300  # gunicorn leaves a stopped worker alone for so long


def main() -> int:
    """The exit status: 1 when a secret was seen on a page, and then the images must not be kept."""
    with (
        ConsulServer() as consul,
        RedisServer(GUARD.new("Redis password")) as redis,
        _running_site(consul, redis) as site,
        closing(_browser()) as browser,
    ):
        for _ in range(VIEWS_BEFORE):
            site.get()
        _take_visitors_page(site, browser)
        pages = site.log_in(browser, "keeper")
        _change(site, pages, consul, redis)
        _take(pages, "effective-configuration", pages.open, ".configuration-more", BOTH)
        _take(pages, "history", lambda: pages.open("history/"), ".configuration-timeline", BOTH)
        _take(pages, "edit", lambda: _preview(pages), ".submit-row", BOTH)
        _take(pages, "edit-error", lambda: _unreachable_redis(pages), ".submit-row")
        _take(pages, "rollback", lambda: pages.open("history/").press("a.rollback"), ".submit-row")
        _take(pages, "conflict", lambda: _conflict(site, pages), "#configuration-form fieldset")
        with _incident(site, consul, redis) as pages:
            _take(pages, "incident", pages.open, "[data-fleet]", BOTH)
    return 1 if GUARD.leaks else 0


@contextmanager
def _running_site(consul: ConsulServer, redis: RedisServer) -> Iterator[AdminSite]:
    variables = {"SERVICE_ID": f"{NAME}-1", "CONSUL_REGISTER": "1"}
    with closing(start_admin(consul, redis, KEY, **variables)) as site:
        site.gunicorn("--timeout", str(HANGING_SECONDS), workers=WORKERS)
        consul.wait_registered(NAME, passing=True)
        yield site


# What is seen.


def _change(site: AdminSite, pages: Pages, consul: ConsulServer, redis: RedisServer) -> None:
    """Five changes: a message, a number, a secret, one from outside, and a rollback."""
    editor, new_password = Editor(site, "editor"), GUARD.new("Redis password after the rotation")
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "default", f">{new_password}")
    _save(editor, "The summer sale begins", show_message="Everything must go")
    _save(editor, "The sale has a counter of its own", redis_config__redis_db="1")
    _save(editor, "Yearly rotation, ticket 4711", redis_config__redis_password=new_password)
    outside = redis.document(redis_db=1, redis_password=new_password)
    consul.put(KEY, document(redis, "Open until ten tonight", redis_config=outside))
    time.sleep(APART_SECONDS)
    pages.open("history/").press(".oldest a.rollback")
    pages.fill("comment", "The sale is over: back to the counter of all visitors")
    pages.press("#configuration-rollback [type=submit]")
    wait_until(lambda: site.runs(consul.index(KEY), WORKERS), message="all workers to follow")
    time.sleep(APART_SECONDS)  # until they have published it, and the message of the save is no news any more
    pages.open()


def _save(editor: Editor, comment: str, **fields: str) -> None:
    page = editor.post(editor.form() | fields | {"comment": comment})
    if "Saved as version" not in page:
        raise RuntimeError(f"This was not saved: {comment}")
    time.sleep(APART_SECONDS)


def _preview(pages: Pages) -> Pages:
    return pages.edit(
        "The shop is closed on Sundays", show_message="Open from nine to five", redis_config__redis_db="2"
    )


def _unreachable_redis(pages: Pages) -> Pages:
    return pages.edit("To the new server", redis_config__redis_port=str(free_port()))


def _conflict(site: AdminSite, pages: Pages) -> Pages:
    pages.open("edit/")
    pages.fill("show_message", "Open from nine to five")
    pages.fill("comment", "The shop is closed on Sundays")
    editor = Editor(site, "editor")
    editor.post(
        editor.form() | {"show_message": "Back on Monday", "redis_config__redis_db": "2", "comment": "Inventory"}
    )
    return pages.preview()


@contextmanager
def _incident(site: AdminSite, consul: ConsulServer, redis: RedisServer) -> Iterator[Pages]:
    """One worker hangs, and somebody has put a document with faults: the pages as a browser sees them that comes now.

    One that was here before may have a connection to the worker that hangs.
    """
    stopped = site.worker_pids()[-1]
    os.kill(stopped, signal.SIGSTOP)
    try:
        faulty = redis.document(redis_host="redis.internal:6379", redis_db="1")
        consul.put(KEY, document(redis, "Back on Monday", redis_config=faulty))
        published = f"/v1/kv/{KEY}.workers/?keys"
        wait_until(lambda: len(consul.api("GET", published).json()) < WORKERS, 60, "the stopped worker's key to go")
        with closing(_browser()) as browser:
            yield site.log_in(browser, "keeper")
    finally:
        os.kill(stopped, signal.SIGCONT)


# Taking pictures.


def _browser() -> Browser:
    browser = Browser()
    browser.driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    return browser


def _take_visitors_page(site: AdminSite, browser: Browser) -> None:
    """One view, light and dark: another one would have another number."""
    _size(browser, PAGE_WIDTH, PAGE_HEIGHT)
    browser.open(site.url)
    for scheme in ("light", "dark"):
        _prefer(browser, scheme)
        time.sleep(FADE_SECONDS)
        browser.screenshot(IMAGES / f"page-{scheme}.png")


def _take(pages: Pages, name: str, show: Callable[[], Pages], last: str, languages: tuple[str, ...] = ENGLISH) -> None:
    """The page down to the element `last`, light and dark, in each language."""
    browser = pages.browser
    for language in languages:
        _speak(browser, language)
        _size(browser, WIDTH, 900)
        show()
        for scheme in ("light", "dark"):
            _prefer(browser, scheme)
            bottom = pages.driver.execute_script(
                "document.activeElement.blur(); window.scrollTo(0, 0);"
                "return document.querySelector(arguments[0]).getBoundingClientRect().bottom",
                last,
            )
            _size(browser, WIDTH, int(bottom) + MARGIN)
            time.sleep(FADE_SECONDS)
            suffix = "" if language == "en" else "-zh"
            browser.screenshot(IMAGES / f"{name}{suffix}-{scheme}.png")
    _speak(browser, "en")


def _speak(browser: Browser, language: str) -> None:
    """Ask for this language from now on."""
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})


def _prefer(browser: Browser, scheme: str) -> None:
    """Ask for the light or the dark theme, as the visitor's system does."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _size(browser: Browser, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


if __name__ == "__main__":
    sys.exit(main())

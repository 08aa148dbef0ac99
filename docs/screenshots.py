"""Makes docs/images/: the visitor's page and the admin's, light and dark, of a site that really runs.

After `make test`, which brings all parts: `.venv/bin/python docs/screenshots.py`. The Chinese one needs a Chinese font.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "deploy/local"))

from tests.support.admin import AdminSite, Pages, start_admin
from tests.support.browser import Browser
from tests.support.consul import ConsulServer
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD

IMAGES = Path(__file__).parent / "images"
VIEWS_BEFORE = 41  # of other visitors: one view looks like a constant
KEY = "demo-config"
WORKERS = 2


def main() -> int:
    """The exit status: 1 when a secret was seen on a page, and then the images must not be kept."""
    with _running_site() as site, closing(Browser()) as browser:
        for _ in range(VIEWS_BEFORE):
            site.get()
        for scheme in ("light", "dark"):
            _prefer(browser, scheme)
            _take(browser.open(site.url), f"page-{scheme}", 760, 300)
        pages = site.log_in(browser, "keeper")
        pages.edit("The sale starts at noon", show_message="Everything must go", redis_config__redis_db="1").save()
        shots: dict[str, tuple[Callable[[], Pages], int]] = {
            "effective-configuration": (pages.open, 1000),
            "edit": (lambda: pages.edit("The sale is over", show_message="Open from nine to five"), 560),
            "history": (lambda: pages.open("history/"), 560),
        }
        for name, (show, height) in shots.items():
            show()
            for scheme in ("light", "dark"):
                _prefer(browser, scheme)
                _take(browser, f"{name}-{scheme}", 1200, height)
        _speak(browser, "zh-CN")
        pages.open()
        for scheme in ("light", "dark"):
            _prefer(browser, scheme)
            _take(browser, f"effective-configuration-zh-{scheme}", 1200, 1000)
    return 1 if GUARD.leaks else 0


@contextmanager
def _running_site() -> Iterator[AdminSite]:
    with ConsulServer() as consul, RedisServer(GUARD.new("Redis password")) as redis:
        variables = {"SERVICE_ID": "mydemo-1", "CONSUL_REGISTER": "1"}
        with closing(start_admin(consul, redis, KEY, **variables)) as site:
            site.gunicorn(workers=WORKERS)
            consul.wait_registered("mydemo", passing=True)
            yield site


def _speak(browser: Browser, language: str) -> None:
    """Ask for this language from now on."""
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": language}})


def _prefer(browser: Browser, scheme: str) -> None:
    """Ask for the light or the dark theme, as the visitor's system does."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _take(browser: Browser, name: str, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(0.3)  # the admin's links fade from one theme's colour to the other's
    browser.screenshot(IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())

"""Makes docs/images/: the visitor's page and the admin's, light and dark, of a site that really runs.

After `make test`, which brings all parts: `.venv/bin/python docs/screenshots.py`
"""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("", "deploy/local"))

from tests.support.browser import Browser
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.site import Site

IMAGES = Path(__file__).parent / "images"
ADMIN = "admin"
PASSWORD = GUARD.new("admin's password")
VIEWS_BEFORE = 41  # of other visitors: one view looks like a constant


def main() -> int:
    """The exit status: 1 when a secret was seen on a page, and then the images must not be kept."""
    with _running_site() as site, closing(Browser()) as browser:
        for _ in range(VIEWS_BEFORE):
            site.get()
        for scheme in ("light", "dark"):
            _prefer(browser, scheme)
            _take(browser.open(site.url), f"page-{scheme}", 760, 300)
        browser.log_in(site, ADMIN, PASSWORD)
        for scheme in ("light", "dark"):
            _prefer(browser, scheme)
            browser.open(f"{site.url}/admin/effective-configuration/")
            _take(browser, f"effective-configuration-{scheme}", 1280, 650)
    return 1 if GUARD.leaks else 0


@contextmanager
def _running_site() -> Iterator[Site]:
    with ConsulServer() as consul, RedisServer(GUARD.new("Redis password")) as redis:
        consul.put("demo-config", document(redis))
        with closing(Site({"CONSUL_HTTP_ADDR": consul.address, "SERVICE_ID": "mydemo-1"})) as site:
            site.command("migrate")
            user = {"DJANGO_SUPERUSER_USERNAME": ADMIN, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
            site.command("createsuperuser", "--noinput", "--email", "admin@example.com", **user)
            yield site.gunicorn()


def _prefer(browser: Browser, scheme: str) -> None:
    """Ask for the light or the dark theme, as the visitor's system does."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def _take(browser: Browser, name: str, width: int, height: int) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.screenshot(IMAGES / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())

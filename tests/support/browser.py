"""A real headless Chromium that connects to nothing but the site under test."""

import os
import tempfile

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.binaries import first_on_path
from tests.support.secrets import GUARD

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses its sandbox to root, which containers run tests as
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
    "--window-size=1280,900",
)


class Browser:
    """One Chromium with a fresh profile."""

    def __init__(self):
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        self.driver = webdriver.Chrome(self._options(), self._service())
        self.driver.set_page_load_timeout(60)

    def _options(self):
        options = webdriver.ChromeOptions()
        options.binary_location = os.environ.get("CHROMIUM_BIN") or first_on_path(
            "chromium", "chromium-browser", "google-chrome"
        )
        for flag in (*FLAGS, f"--user-data-dir={self._profile.name}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        return options

    def _service(self):
        # A path of our own keeps selenium from looking for a driver on the network.
        return webdriver.ChromeService(os.environ.get("CHROMEDRIVER_BIN") or first_on_path("chromedriver"))

    def open(self, url):
        """Load the page; its source is checked for secrets."""
        self.driver.get(url)
        GUARD.check(self.driver.page_source, f"the page {url} in the browser")
        return self

    def text(self, selector="body"):
        """The text that a visitor sees in the first element that matches."""
        return self.one(selector).text

    def one(self, selector):
        """The first element that matches, waited for."""
        return WebDriverWait(self.driver, 30).until(lambda driver: driver.find_element(By.CSS_SELECTOR, selector))

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def console(self):
        """What the page wrote to the console since the last call, errors of loading included.

        But for the icon that Chromium asks for by itself, now and then.
        """
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [message for message in said if "/favicon.ico - " not in message]

    def log_in(self, site, username, password):
        """Log in at the admin, as a person does."""
        self.open(f"{site.url}/admin/login/?next=/admin/")
        self.one("#id_username").send_keys(username)
        self.one("#id_password").send_keys(password)
        self.one("[type=submit]").click()
        self.one("#user-tools")
        return self

    def screenshot(self, path):
        """Keep what the window shows as a PNG."""
        self.driver.save_screenshot(str(path))

    def fresh(self):
        """Forget cookies and alerts of the test before."""
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.console()
        return self

    def close(self):
        self.driver.quit()
        self._profile.cleanup()

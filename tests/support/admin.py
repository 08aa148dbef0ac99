"""The admin of a running site, with users of different rights, for tests in a browser."""

import json
from html.parser import HTMLParser

import requests
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.documents import document
from tests.support.secrets import GUARD
from tests.support.site import Site

PATH = "/admin/effective-configuration/"
RIGHTS = {
    "viewer": ["view_effective_configuration"],
    "editor": ["view_effective_configuration", "change_configuration"],
    "keeper": ["view_effective_configuration", "change_configuration", "roll_back_configuration"],
    "other": ["change_configuration"],
    "staff": [],
}
_MAKE_USERS = """
import json, os
from django.contrib.auth.models import Permission, User
for name, rights in json.loads(os.environ["TEST_RIGHTS"]).items():
    user = User.objects.create_user(name, password=os.environ["TEST_PASSWORD"], is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
"""


class AdminSite(Site):
    """A site with the users of `RIGHTS`; every one has the same password."""

    def __init__(self, environment, **options):
        super().__init__(environment, **options)
        self.key = environment["DEMO_CONFIG_KEY"]
        self.password = GUARD.new("admin users' password")
        self._cookies = {}

    def runs(self, index, workers=2):
        """Whether so many workers have answered that the document at this index is in force, and no other."""
        seen = {}
        for _ in range(20):
            said = requests.get(f"{self.url}/readyz", timeout=10, headers={"Connection": "close"}).json()
            seen[said["pid"]] = said["config"]["index"]
        return len(seen) >= workers and set(seen.values()) == {index}

    def prepare(self):
        """Make the database and the users. The shell needs no configuration in force but a readable one."""
        assert self.command("migrate").status == 0
        return self.make_users()

    def make_users(self):
        made = self.command("shell", "-c", _MAKE_USERS, TEST_RIGHTS=json.dumps(RIGHTS), TEST_PASSWORD=self.password)
        assert made.status == 0, made.stderr
        return self

    def session(self, user, *, verify=True):
        """A requests session that is logged in as the user."""
        session = requests.Session()
        session.verify = verify
        session.trust_env = False
        page = f"{self.url}/admin/login/"
        session.get(page, timeout=30)
        data = {"username": user, "password": self.password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        answer = session.post(page, data, timeout=30, allow_redirects=False, headers={"Referer": page})
        assert answer.status_code == 302, answer.text
        return session

    def log_in(self, browser, user):
        """Log the browser in, without typing."""
        if user not in self._cookies:
            self._cookies[user] = self.session(user).cookies["sessionid"]
        browser.driver.get(f"{self.url}/static/admin/img/search.svg")
        browser.driver.add_cookie({"name": "sessionid", "value": self._cookies[user], "path": "/"})
        return Pages(self, browser)


class FormFields(HTMLParser):
    """The fields of a page's form with what they hold."""

    def __init__(self, page):
        super().__init__()
        self.found, self._area = {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        is_sent = given.get("type") not in ("checkbox", "radio") or (given["type"] == "radio" and "checked" in given)
        if tag == "input" and is_sent and given.get("name"):
            self.found[given["name"]] = given.get("value") or ""
        self._area = given.get("name") if tag == "textarea" else None

    def handle_data(self, data):
        if self._area:
            self.found[self._area] = self.found.get(self._area, "") + data.lstrip("\r\n")

    def handle_endtag(self, tag):
        self._area = None


class Pages:
    """The configuration's pages in one browser, as a person uses them."""

    def __init__(self, site, browser):
        self.site, self.browser, self.driver = site, browser, browser.driver

    def open(self, path=""):
        self.browser.open(self.site.url + PATH + path)
        return self

    def check(self):
        """Check the browser's page for secrets; a field may hold the secret that was typed into it."""
        state = self.driver.execute_script(
            "return document.documentElement.outerHTML + JSON.stringify({...localStorage, ...sessionStorage})"
            " + document.cookie + location.href"
        )
        GUARD.check(state, f"the browser's page {self.driver.current_url}")
        return self

    def fill(self, name, text):
        """Put the text into the field, however long it is, as pasting does."""
        field = self.browser.one(f"[name={name}]")
        self.driver.execute_script("arguments[0].value = arguments[1]", field, text)

    def value(self, name):
        return self.browser.one(f"[name={name}]").get_property("value")

    def press(self, selector):
        """Press an element that leads to another page, and wait for that page."""
        old = self.browser.one("html")
        button = self.browser.one(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].click()", button)
        WebDriverWait(self.driver, 30).until(lambda driver: _is_gone(old))
        self.browser.one("#content-main")
        return self.check()

    def preview(self):
        return self.press("[name=step][value=preview]")

    def save(self):
        return self.press("[name=step][value=save]")

    def edit(self, comment="a test", **fields):
        """Open the form, change these fields and go to the preview."""
        self.open("edit/")
        for name, text in {**fields, "comment": comment}.items():
            self.fill(name, text)
        return self.preview()

    def differences(self):
        """What the page shows as changed: {setting: (before, after)}, first list of differences only."""
        found = {}
        for row in self.browser.all("[data-difference]"):
            cells = row.find_elements(By.CSS_SELECTOR, "td")
            found.setdefault(row.get_attribute("data-difference"), tuple(cell.text for cell in cells))
        return found

    def text(self, selector="#content-main"):
        return self.browser.text(selector)

    def has(self, selector):
        return bool(self.browser.all(selector))


def _is_gone(element):
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    return False


def start_admin(consul_server, redis_server, key, **variables):
    """A running site whose document at `key` names that Redis; the caller closes it."""
    consul_server.put(key, document(redis_server))
    environment = {"CONSUL_HTTP_ADDR": consul_server.address, "DEMO_CONFIG_KEY": key, **variables}
    return AdminSite(environment).prepare()

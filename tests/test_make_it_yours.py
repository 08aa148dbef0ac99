"""docs/make-it-yours.md: what it says is done to clean clones, and each then does what the page promises."""

import http.server
import json
import re
import sqlite3
import threading

import pytest
import requests

from tests.support.admin import PATH, AdminSite
from tests.support.checkout import Checkout
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.own_service import IS_THE_BASE, PAGE, Copy
from tests.support.ports import free_port
from tests.support.readme import section
from tests.support.secrets import GUARD
from tests.support.shown import events
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_THE_BASE, reason="the page starts from the base, and this is a service of its own"),
]

CATALOG = "demo_site/locale/zh_Hans/LC_MESSAGES/django.po"
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9"}
PARTS = ("The page of a version", "The fleet", "The history, and with it editing in the admin", "Group commit")
QUICK_TESTS = ("tests/test_import_rules.py", "tests/test_health.py", "tests/test_document.py")


@pytest.fixture
def copy(tmp_path):
    """A clean clone of the test's own."""
    return Copy(tmp_path / "clone")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A clone with the own name, settings and page. Only read."""
    made = Copy(tmp_path_factory.mktemp("own") / "clone")
    return made.follow("1. The name", whole=False).follow("2. Settings").follow("3. A page")


class Warehouse:
    """The service of the example: it takes one key, and says 7."""

    def __init__(self, key):
        warehouse = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answer = b"7\n" if self.headers["X-API-Key"] == warehouse.key else b"no\n"
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                """Nothing."""

        self.key = key
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def setting(self):
        return {"host": "127.0.0.1", "port": self._server.server_port}

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def warehouse():
    made = Warehouse(GUARD.new("API key"))
    yield made
    made.close()


def rows(site):
    """What `effective_config` prints, by setting."""
    done = site.command("effective_config", "--format", "json")
    assert done.status == 0, done.stderr
    return {row["setting"]: row for row in json.loads(done.stdout)}


def rejected(site):
    """The faults of the document that was rejected, as `/readyz` names them."""
    return (site.ready()["config"]["rejected"] or {"faults": []})["faults"]


# Own settings and an own page.


def test_the_page_follows_its_settings_and_bad_ones_are_rejected(own, new_site, environment, consul, redis, warehouse):
    site, key = new_site(environment, project=own.root).gunicorn(), environment["DEMO_CONFIG_KEY"]
    assert site.get("/stock").text == "Our stock\nOpen on: \n"
    members = {"page_title": "Bolts", "open_days": ["Monday", "Friday"], "api_key": warehouse.key}
    good = document(redis, warehouse=warehouse.setting, **members)
    consul.put(key, good)
    shown = "Bolts\nOpen on: Monday, Friday\nIn stock: 7\n"
    wait_until(lambda: site.get("/stock").text == shown, message="the page to follow")
    for bad, fault in (
        ({"page_title": 5}, "page_title: must be text"),
        ({"open_days": ["day"] * 8}, "open_days: must have at most 7 items"),
        ({"warehouse": {"port": 1}}, "warehouse.host: is missing"),
        ({"warehouse": {"host": "127.0.0.1", "port": 0}}, "warehouse.port: must be at least 1"),
        (
            {"warehouse": {"host": "127.0.0.1", "port": free_port()}},
            "warehouse.host: the warehouse does not answer (…)",
        ),
    ):
        consul.put(key, {**good, **bad})
        wait_until(lambda fault=fault: rejected(site) == [fault], message=fault)
        assert site.get("/stock").text == shown
    consul.put(key, {**good, "api_key": "no header\n"})
    wait_until(lambda: "In stock" not in site.get("/stock").text, message="the key that is no header")
    assert site.get("/stock").text.endswith("the warehouse does not answer (ValueError)\n")


def test_every_setting_has_its_row_with_the_default_while_nobody_gives_it(own, new_site, environment, consul, redis):
    site, key = new_site(environment, project=own.root), environment["DEMO_CONFIG_KEY"]
    found = rows(site)
    defaults = {"page_title": "Our stock", "api_key": None, "open_days": [], "warehouse.port": None}
    assert {path: (found[path]["value"], found[path]["origin"]) for path in defaults} == {
        path: (value, "default") for path, value in defaults.items()
    }
    consul.put(key, document(redis, page_title="Bolts"))
    assert (rows(site)["page_title"]["value"], rows(site)["page_title"]["origin"][:10]) == ("Bolts", "Consul key")


def test_make_run_shows_the_own_service(own):
    with Checkout(own.root) as checkout:
        checkout.start()
        page, (admin, user, password) = checkout.shown("Page"), re.split(" +user |, password ", checkout.shown("Admin"))
        assert re.search(r"I have been seen 1 times\.\n", requests.get(page, timeout=10).text)
        assert requests.get(f"{page}stock", timeout=10).text == "Our stock\nOpen on: \n"
        assert requests.get(f"{checkout.consul_url}/v1/catalog/service/shop", timeout=10).json()
        with requests.Session() as browser:
            browser.get(f"{admin}login/", timeout=10)
            form = {"username": user, "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            browser.post(f"{admin}login/", form, headers={"Referer": admin}, timeout=10)
            overview = browser.get(f"{admin}effective-configuration/", timeout=30).text
        assert re.search(r'data-setting="page_title".*?>Our stock<.*?>default<', overview, re.DOTALL)
        assert ">Shop<" in overview


# A secret, known by its type alone.


def everything_stored(consul, site):
    """What the site leaves in Consul beside the document, and in its database."""
    keys = consul.api("GET", f"/v1/kv/{site.key}.?keys").json()
    assert {re.search(r"\.(history|workers)/", key)[1] for key in keys} == {"history", "workers"}
    with sqlite3.connect(site.directory / "db.sqlite3") as database:
        dump = "\n".join(database.iterdump())
    return {key: consul.get(key).decode() for key in keys} | {"the database": dump}


def test_a_secret_setting_appears_nowhere(own, consul, redis, config_key):
    """Its value also stands in the service's tags, in the message and in comments."""
    old, key = GUARD.new("API key that was"), GUARD.new("API key")
    consul.put(config_key, document(redis, api_key=old))
    variables = {"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}
    variables |= {"SERVICE_TAGS": f"one,{key}", "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0"}
    with AdminSite(variables, project=own.root).prepare().gunicorn(workers=2) as site:
        (entry,) = consul.wait_registered("shop")
        assert key in entry["Service"]["Tags"]  # by the operator's own word
        editor = Editor(site, "keeper")

        def page(path="", **headers):
            answer = editor.session.get(f"{site.url}{PATH}{path}", headers=headers, timeout=30)
            return GUARD.check(answer.text, f"the page {path!r} with {headers}")

        # The form has a field for it. The comment names both keys, and there is an error on the way.
        assert re.search('<label for="id_api_key">API key.?</label>', page("edit/"))
        assert re.search('<label for="id_api_key">API 密钥.?</label>', page("edit/", **CHINESE))
        typed = {"api_key": key, "comment": f"{old} becomes {key}"}
        wrong = editor.post(editor.form() | typed | {"open_days": "day\n" * 8}, step="preview")
        assert "must have at most 7 items" in wrong
        preview = editor.post(editor.form() | typed, step="preview")
        assert re.search(r'data-difference="api_key".*?<del>•+ .*?<ins>•+ ', preview, re.DOTALL)
        assert "Saved as version" in editor.post(editor.form() | typed)
        assert json.loads(consul.get(config_key)) == document(redis, api_key=key)
        wait_until(lambda: site.runs(consul.index(config_key)), message="both workers to follow")
        before, after = events(editor.history())[0].differences["api_key"]
        assert before.startswith("••••") and after.startswith("••••") and before != after

        # From here on the value stands in the message as well.
        stored = document(redis, f"ask with {key}", api_key=key)
        consul.put(config_key, stored)
        wait_until(lambda: site.runs(consul.index(config_key)), message="both workers to follow")
        assert re.search(r'data-setting="api_key" data-secret.*?>•+ \(fingerprint', page(), re.DOTALL)
        assert re.search(r'data-setting="show_message".*?>ask with •+ \(fingerprint', page(), re.DOTALL)
        assert re.search(r'data-setting="SERVICE_TAGS".*?>one,•+ \(fingerprint', page(), re.DOTALL)

        # A rollback brings back everything but the secrets.
        fields = editor.preview(comment=f"with {key}", page_title="Bolts")
        assert "Saved as version" in editor.post(fields)
        assert json.loads(consul.get(config_key)) == stored | {"page_title": "Bolts"}
        link = events(editor.history())[0].rollback
        assert "Rolled back, saved as version" in editor.roll_back(link, f"still {key}")
        assert json.loads(consul.get(config_key)) == stored

        # What is rejected, with an error that quotes the value; what machines read; what is stored.
        consul.put(config_key, stored | {"redis_config": redis.document(redis_host=key)})
        wait_until(lambda: rejected(site), message="a rejected document")
        for path in ("", "edit/", "history/", "status/"):
            page(path)
            page(path, **CHINESE)
        site.get("/metrics")
        assert rows(site)["api_key"]["value"].startswith("••••")
        site.command("effective_config")
        wait_until(lambda: "rejected" in site.command("effective_config", "--fleet").stdout, message="a worker's state")
        for place, text in everything_stored(consul, site).items():
            assert key not in text and old not in text, place


# The other sections.


def test_the_package_can_have_another_name(copy, new_site, environment, redis):
    copy.follow("1. The name")
    assert copy.untranslated == 0
    copy.python("-m", "ruff", "check")
    copy.test("tests/test_import_rules.py", "tests/test_identity.py")
    site = new_site(environment, project=copy.root).runserver("--noreload")
    assert "I have been seen 1 times." in site.get("/").text
    assert redis.hits() == 1


@pytest.mark.parametrize(
    "parts",
    [PARTS[:1], PARTS[:2], PARTS[:3:2], PARTS[3:], PARTS],
    ids=["version", "fleet", "history", "commit", "all"],
)
def test_a_part_that_is_not_needed_can_go(copy, consul, redis, environment, parts):
    if parts == PARTS:
        copy.follow("1. The name", whole=False).follow("2. Settings").follow("3. A page")
    copy.follow("4. What you do not need", whole=False)
    for part in parts:
        copy.follow(part)
    copy.follow("Afterwards")
    copy.python("-m", "ruff", "check")
    copy.python("-c", IMPORT_ALL, DEMO_CONFIG_FILE="deploy/local/document.json")
    with AdminSite(environment, project=copy.root).prepare().gunicorn(workers=2) as site:
        assert "I have been seen 1 times." in site.get("/").text
        consul.put(site.key, document(redis, message="followed"))
        wait_until(lambda: site.runs(consul.index(site.key)), message="both workers to follow")
        assert site.get("/").text == "followed! I have been seen 2 times.\n"
        session = site.session("keeper")
        for path in ("/admin/", PATH, f"{PATH}status/"):
            assert session.get(site.url + path, timeout=30).status_code == 200
        assert rows(site)["show_message"]["value"] == "followed"
        assert "Traceback" not in site.log()
    copy.test(*QUICK_TESTS, *(["tests/test_counter.py"] if "Group commit" in parts else []))


def test_an_upgrade_conflicts_in_compiled_catalogs_only(copy, tmp_path):
    base, mine = copy, Copy(tmp_path / "mine", origin=copy.root)
    for heading, whole in (("1. The name", False), ("2. Settings", True), ("3. A page", True)):
        mine.follow(heading, whole=whole)
    page, catalog = base.root / "demo_site/templates/demo_site/admin_index.html", base.root / CATALOG
    page.write_text(page.read_text() + '{% translate "From the base" %}\n')
    base.make_messages()
    catalog.write_text(catalog.read_text().replace('"From the base"\nmsgstr ""', '"From the base"\nmsgstr "来自基础"'))
    base.make_messages()
    base.commit("A message more")
    *commands, merge = re.findall(r"^ {4}(git .+)$", section(PAGE, "5. Upgrades"), re.MULTILINE)
    for command in commands:
        mine.run(*command.split())
    with pytest.raises(AssertionError, match="Automatic merge failed"):
        mine.run(*merge.split())
    assert mine.run("git", "diff", "--name-only", "--diff-filter=U").split() == [CATALOG.replace(".po", ".mo")]
    mine.make_messages()
    mine.commit("Merge the base")
    assert {'msgstr "API 密钥"', 'msgstr "来自基础"'} <= set((mine.root / CATALOG).read_text().splitlines())
    mine.python("manage.py", "check", DEMO_CONFIG_FILE="deploy/local/document.json")


IMPORT_ALL = """
import os, pkgutil, importlib, django
os.environ["DJANGO_SETTINGS_MODULE"] = "demo_site.settings"
django.setup()
for package in ("demo_site", "counter"):
    for module in pkgutil.walk_packages([package], f"{package}."):
        importlib.import_module(module.name)
"""

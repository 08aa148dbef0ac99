"""The effective configuration in the admin, in a real browser, and the same rows in the terminal."""

import contextlib
import json
import re
import sqlite3
from datetime import datetime

import psutil
import pytest
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.by import By

from demo_site import identity
from tests.support.documents import MESSAGE, document
from tests.support.proxy import Proxy
from tests.support.secrets import GUARD
from tests.support.site import Site
from tests.support.waiting import wait_until

PATH = "/admin/effective-configuration/"
REDIS_ROWS = [f"redis_config.redis_{name}" for name in ("host", "port", "db", "password")]
VARIABLE_ROWS = [
    *("CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY"),
    *("CONSUL_CACERT", "CONSUL_CAPATH", "CONSUL_TLS_SERVER_NAME", "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY"),
    *("DEMO_CONFIG_KEY", "DEMO_CONFIG_FILE", "DEMO_CONFIG_SNAPSHOT"),
    *("SERVICE_NAME", "SERVICE_ID", "SERVICE_ADDRESS", "SERVICE_PORT", "SERVICE_TAGS"),
    *("DJANGO_SECRET_KEY", "DJANGO_DEBUG", "DJANGO_ALLOWED_HOSTS", "DJANGO_CSRF_TRUSTED_ORIGINS"),
    *("DJANGO_SECURE_PROXY_SSL_HEADER", "DATABASE_URL"),
]
MISSPELT = GUARD.new("misspelt password")
PASSWORDS = {name: GUARD.new(f"password of {name}") for name in ("admin", "viewer", "staff")}
MAKE_USERS = """
import os
from django.contrib.auth.models import Permission, User
User.objects.create_superuser("admin", password=os.environ["PASSWORD_ADMIN"])
viewer = User.objects.create_user("viewer", password=os.environ["PASSWORD_VIEWER"], is_staff=True)
viewer.user_permissions.add(Permission.objects.get(codename="view_effective_configuration"))
User.objects.create_user("staff", password=os.environ["PASSWORD_STAFF"], is_staff=True)
"""


@pytest.fixture(scope="module")
def proxies(session_consul, session_redis):
    """Consul's and Redis's, as the site of this module sees them."""
    with Proxy(session_consul.http_port) as consul, Proxy(session_redis.port) as redis:
        yield {"consul": consul, "redis": redis}


@pytest.fixture(scope="module")
def module_document(proxies, session_redis):
    value = document(session_redis, colour="blue")
    value["redis_config"] |= {"redis_port": proxies["redis"].port, "redis_pasword": MISSPELT}
    return value


@pytest.fixture(scope="module")
def module_site(proxies, session_consul, module_document):
    session_consul.put("admin-page", module_document)
    variables = {"CONSUL_HTTP_ADDR": proxies["consul"].address, "DEMO_CONFIG_KEY": "admin-page"}
    with Site({**variables, "SERVICE_TAGS": "blue,green"}) as site:
        site.command("migrate")
        passwords = {f"PASSWORD_{name.upper()}": password for name, password in PASSWORDS.items()}
        made = site.command("shell", "-c", MAKE_USERS, **passwords)
        assert made.status == 0, made.stderr
        yield site.gunicorn()


@pytest.fixture
def say(site, session_consul, module_document):
    """Put another message into the document and wait until the site shows it."""

    def put(message):
        session_consul.put("admin-page", {**module_document, "show_message": message})
        wait_until(lambda: site.get("/").text.startswith(message), message="the new message")

    yield put
    put(MESSAGE)


@pytest.fixture
def site(module_site, proxies):
    yield module_site
    for proxy in proxies.values():
        proxy.pass_through()
        proxy.cut()  # what was silent would stay so: the bytes of a connection are lost


@pytest.fixture
def admin(browser, site):
    """The browser of an administrator, who has logged in."""
    return browser.log_in(site, "admin", PASSWORDS["admin"])


def row(browser, setting):
    """What the page shows for a setting, all columns, and what its group has in common."""
    shown = browser.one(f'[data-setting="{setting}"]')
    caption = shown.find_element(By.XPATH, "ancestor::table/caption")
    return " ".join(part.get_property("textContent") for part in (shown, caption))


# Rows.


def test_index_leads_to_the_page(admin, site):
    [link] = [link for link in admin.all("#content a") if link.text == "Effective configuration"]
    link.click()
    admin.one("[data-setting]")
    assert admin.driver.current_url == site.url + PATH


def test_page_has_a_row_for_every_setting(admin, site):
    admin.open(site.url + PATH)
    shown = [element.get_attribute("data-setting") for element in admin.all("[data-setting]")]
    wanted = {*REDIS_ROWS, "show_message", *VARIABLE_ROWS, "colour", "redis_config.redis_pasword"}
    assert wanted <= set(shown)
    assert len(shown) == len(set(shown))


def test_row_says_value_origin_and_what_it_feeds(admin, site, session_consul):
    admin.open(site.url + PATH)
    host = row(admin, "redis_config.redis_host")
    assert "127.0.0.1" in host
    assert "admin-page" in host
    assert str(session_consul.index("admin-page")) in host
    assert "CACHES" in host
    assert MESSAGE in row(admin, "show_message")
    assert "environment" in row(admin, "SERVICE_TAGS")
    assert "blue,green" in row(admin, "SERVICE_TAGS")
    assert "default" in row(admin, "SERVICE_NAME")
    assert identity.NAME in row(admin, "SERVICE_NAME")


def test_secrets_are_masked(admin, site, session_redis):
    """The guard checks the page's source as well."""
    admin.open(site.url + PATH)
    for setting in ("redis_config.redis_password", "DJANGO_SECRET_KEY"):
        assert "fingerprint" in row(admin, setting).lower()
        assert "\u2022\u2022\u2022\u2022" in row(admin, setting)
    assert session_redis.password not in admin.driver.page_source


def test_unknown_member_is_shown_as_ignored_without_its_value(admin, site):
    """It may be a misspelt secret."""
    admin.open(site.url + PATH)
    assert "ignored" in row(admin, "colour").lower()
    assert "ignored" in row(admin, "redis_config.redis_pasword").lower()
    assert MISSPELT not in admin.driver.page_source


def test_browser_loads_the_pages_without_an_error(admin, site):
    for path in ("/", "/admin/", PATH):
        admin.open(site.url + path)
        assert [line for line in admin.console() if "favicon" not in line] == []


def test_the_environment_was_loaded_when_the_process_started(admin, site):
    admin.open(site.url + PATH)
    loaded = admin.one("[data-group=environment] time").get_attribute("datetime")
    started = psutil.Process(site.worker_pids()[0]).create_time()
    assert 0 <= datetime.fromisoformat(loaded).timestamp() - started + 1 < 10


# Who may see it.


def test_stranger_is_asked_to_log_in(browser, site):
    answer = site.get(PATH)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/admin/login/?next={PATH}")


def test_staff_with_the_permission_sees_it(browser, site):
    browser.log_in(site, "viewer", PASSWORDS["viewer"])
    assert "Effective configuration" in browser.text("#content")
    assert "127.0.0.1" in row(browser.open(site.url + PATH), "redis_config.redis_host")


def test_other_staff_is_refused_and_not_led_there(browser, site):
    browser.log_in(site, "staff", PASSWORDS["staff"])
    assert "Effective configuration" not in browser.text("#content")
    cookies = {cookie["name"]: cookie["value"] for cookie in browser.driver.get_cookies()}
    assert site.get(PATH, cookies=cookies).status_code == 403


@pytest.mark.parametrize(
    ("language", "denied", "gone", "back"),
    [
        ("en", "You may not see this page", "Page not found", "To the start page"),
        ("zh-hans", "您无权查看此页面", "页面没有找到", "前往管理起始页"),
    ],
)
def test_what_is_refused_or_not_there_looks_like_the_admin_and_leads_back(site, browser, language, denied, gone, back):
    cookies = {
        each["name"]: each["value"] for each in browser.log_in(site, "staff", PASSWORDS["staff"]).driver.get_cookies()
    }
    for path, status, title in ((PATH, 403, denied), ("/admin/nowhere/", 404, gone)):
        answer = site.get(path, cookies=cookies, headers={"Accept-Language": language})
        assert answer.status_code == status
        assert f"<h1>{title}</h1>" in answer.text
        assert re.search(f'<a href="/admin/">{back}', answer.text)
        assert f'lang="{language}"' in answer.text
    assert "admin" not in site.get("/nowhere/").text


def test_a_form_without_its_token_is_refused_in_the_look_of_the_admin(site):
    answer = site.request("POST", "/admin/login/", data={"username": "staff"})
    assert answer.status_code == 403
    assert "<h1>This form cannot be accepted</h1>" in answer.text


def test_the_sidebar_of_every_page_of_the_admin_leads_to_the_configuration(admin, site):
    for path in ("auth/user/", "auth/group/add/", "password_change/"):
        admin.open(f"{site.url}/admin/{path}")
        links = [link.get_attribute("href") for link in admin.all("#nav-sidebar .app-configuration a")]
        assert [f"{site.url}{PATH}{page}" for page in ("", "edit/", "history/")] == links[1:]


def test_one_who_may_view_is_not_told_of_a_lack_of_rights(browser, site):
    assert "permission" not in browser.log_in(site, "viewer", PASSWORDS["viewer"]).text("#content")


def test_migrations_make_a_group_for_each_role(module_site):
    with contextlib.closing(sqlite3.connect(module_site.directory / "db.sqlite3")) as database:
        found = database.execute(
            "SELECT g.name, p.codename FROM auth_group g JOIN auth_group_permissions gp ON gp.group_id = g.id"
            " JOIN auth_permission p ON p.id = gp.permission_id"
        ).fetchall()
    view, change, roll_back = "view_effective_configuration", "change_configuration", "roll_back_configuration"
    rights = {"viewers": {view}, "editors": {view, change}, "operators": {view, change, roll_back}}
    groups = {f"Configuration {role}": codenames for role, codenames in rights.items()}
    assert {name: {code for group, code in found if group == name} for name, _code in found} == groups


# While something is down.


@pytest.mark.parametrize("down", [["consul"], ["redis"], ["consul", "redis"]], ids="+".join)
@pytest.mark.parametrize("fault", ["refuse", "silence"])
def test_page_works_while_servers_are_down_and_says_so(admin, site, proxies, down, fault):
    for name in down:
        getattr(proxies[name], fault)()
    admin.open(site.url + PATH)
    for name, proxy in proxies.items():
        line = admin.text(f"[data-status={name}]")
        assert str(proxy.port) in line
        assert ({"consul": "reachable at", "redis": "counts at"}[name] in line) == (name not in down)
    assert "127.0.0.1" in row(admin, "redis_config.redis_host")


# The message is text.


@pytest.mark.parametrize(
    "message",
    [
        "<script>alert(1)</script>",
        "\U0001f600" * 10_000,
        "</h1></title><img src=x onerror=alert(1)>",
        "{{ settings.SECRET_KEY }} {% debug %}",
        "&lt;b&gt; \" ' \u202e \u0007",
    ],
    ids=["script", "10,000 emoji", "broken out", "template", "entities"],
)
def test_message_is_shown_as_text(admin, site, say, message):
    say(message)
    admin.open(site.url)
    assert re.fullmatch(re.escape(message) + r"! I have been seen \d+ times\.", shown(admin, "h1"))
    assert_nothing_ran(admin, scripts=0)
    admin.open(site.url + PATH)
    assert message[:50].strip() in shown(admin, "[data-setting=show_message]")
    assert_nothing_ran(admin)


def shown(browser, selector):
    return browser.driver.execute_script("return arguments[0].textContent", browser.one(selector))


def assert_nothing_ran(browser, scripts=None):
    with pytest.raises(NoAlertPresentException):
        _ = browser.driver.switch_to.alert.text
    assert browser.all("img[src=x]") == []
    assert scripts is None or len(browser.all("script")) == scripts
    assert browser.console() == []


# The same rows in the terminal.


def rows_of(site, **variables):
    ended = site.command("effective_config", "--format", "json", **variables)
    assert (ended.status, ended.stderr) == (0, "")
    rows = json.loads(ended.stdout)
    assert all(set(row) == {"setting", "value", "origin", "loaded_at", "feeds", "secret"} for row in rows)
    return {row["setting"]: row for row in rows}


def test_terminal_shows_the_rows_of_the_page(admin, site):
    admin.open(site.url + PATH)
    on_page = {element.get_attribute("data-setting") for element in admin.all("[data-setting]")}
    assert on_page == set(rows_of(site))


def test_row_of_the_document_and_of_a_variable(site, session_consul, proxies):
    rows = rows_of(site)
    port = rows["redis_config.redis_port"]
    assert (port["value"], port["secret"]) == (proxies["redis"].port, False)
    assert "admin-page" in port["origin"]
    assert str(session_consul.index("admin-page")) in port["origin"]
    assert port["loaded_at"].endswith("Z")
    assert (rows["SERVICE_NAME"]["value"], rows["SERVICE_NAME"]["origin"]) == (identity.NAME, "default")
    assert rows["DEMO_CONFIG_KEY"]["origin"] == "environment"
    assert rows["redis_config.redis_password"]["secret"] is True
    assert rows["CONSUL_HTTP_ADDR"]["value"] == f"http://{proxies['consul'].address}"


def test_fingerprints_are_equal_with_the_same_secret_key_only(site):
    setting = "redis_config.redis_password"
    same, other = site.environment["DJANGO_SECRET_KEY"], GUARD.new("another secret key")
    first, second, third = (rows_of(site, DJANGO_SECRET_KEY=key)[setting]["value"] for key in (same, same, other))
    assert first == second != third


def test_token_and_password_in_a_url_are_masked_wherever_they_turn_up(site):
    token, password = GUARD.new("token in the environment"), GUARD.new("database password", separator="-")
    database = f"sqlite://demo:{password}@db.example:5432/demo"
    rows = rows_of(site, CONSUL_HTTP_TOKEN=token, DATABASE_URL=database, SERVICE_TAGS=f"a,{token}")
    assert "fingerprint" in rows["CONSUL_HTTP_TOKEN"]["value"]
    assert "db.example:5432/demo" in rows["DATABASE_URL"]["value"]
    assert token not in rows["SERVICE_TAGS"]["value"]


def test_password_in_a_url_is_masked_wherever_the_url_may_carry_it(site):
    """An unquoted @, which the parser takes as part of the password, and the parameters of libpq."""
    first, second, key, other = (GUARD.new(f"part {number} of a database URL") for number in range(4))
    database = f"sqlite://demo:{first}@{second}@db.example:5432/demo?a=b&sslpassword={key}&password={other}"
    rows = rows_of(site, DATABASE_URL=database, SERVICE_TAGS=f"a,{first}@{second},{other}")
    shown = rows["DATABASE_URL"]["value"]
    assert shown.startswith("sqlite://demo:\u2022")
    assert "@db.example:5432/demo?a=b&sslpassword=\u2022" in shown
    assert not any(secret in json.dumps(rows) for secret in (first, second, key, other))


def test_page_follows_a_changed_document(admin, site, say, session_consul):
    say("changed meanwhile")
    assert "changed meanwhile" in row(admin.open(site.url + PATH), "show_message")
    assert str(session_consul.index("admin-page")) in row(admin, "show_message")

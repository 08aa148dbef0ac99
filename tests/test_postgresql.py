"""The admin on PostgreSQL: what people do there, once each, and what happens while it refuses or hangs."""

import itertools
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import requests

from demo_site import startup
from demo_site.management.commands import migrate
from demo_site.messages import Message
from demo_site.postgresql import base
from demo_site.serving import failures
from tests.support.admin import PATH, AdminSite
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.postgresql import PostgresServer
from tests.support.secrets import GUARD
from tests.support.waiting import BUSY_SECONDS, wait_until

pytestmark = pytest.mark.slow
KEY = "postgresql-config"
LOGIN = "/admin/login/"


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="module")
def module_site(postgres, session_consul, session_redis):
    """Migrated by two instances at once."""
    session_consul.put(KEY, document(session_redis))
    variables = {
        "CONSUL_HTTP_ADDR": session_consul.address,
        "DEMO_CONFIG_KEY": KEY,
        "DATABASE_URL": f"{postgres.url}?options=-c%20statement_timeout%3D1s",
    }
    with AdminSite(variables) as site:
        site.migrations = migrate_at_once(site, postgres, 2)
        yield site.make_users().gunicorn(workers=2)


@pytest.fixture
def site(module_site, consul, redis):
    """With a fresh document and no history."""
    consul.delete(f"{KEY}.history?recurse")
    consul.put(KEY, document(redis))
    wait_until(lambda: module_site.runs(consul.index(KEY)), message="both workers to follow")
    return module_site


def migrate_at_once(site, postgres, count):
    """The results of so many `migrate` that begin while another one holds the lock, and of `migrate --check` then."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%try_advisory%'"
    with postgres.connect() as other, ThreadPoolExecutor(count + 1) as pool:
        other.execute("SELECT pg_advisory_lock(%s)", [migrate._LOCK])
        started = [pool.submit(site.command, "migrate") for _ in range(count)]
        checked = pool.submit(site.command, "migrate", "--check").result()
        wait_until(lambda: postgres.value(waiting) == count, 60, "each to wait")
        other.close()
        return [each.result() for each in started], checked


# Starting.


def test_instances_that_migrate_at_once_take_turns(module_site):
    migrated, checked = module_site.migrations
    assert [each.status for each in migrated] == [0, 0], [each.stderr for each in migrated]
    assert all("Another `migrate` is at work" in each.stdout for each in migrated)
    assert sum("Applying auth.0001_initial" in each.stdout for each in migrated) == 1
    assert checked.status == 1, "it only reads, and waits for nobody"


def test_migrate_gives_up_in_the_end(postgres, monkeypatch):
    monkeypatch.setattr(migrate, "_MOST_SECONDS", 0)
    with postgres.connect() as first, postgres.connect() as second:
        first.execute("SELECT pg_advisory_lock(%s)", [migrate._LOCK])
        with pytest.raises(migrate.CommandError, match="at work") as caught:
            migrate.Command()._acquire(second.cursor())
    assert caught.value.returncode == 75


# What people do in the admin.


def test_every_page_of_the_admin_works(site, consul, postgres):
    editor, keeper = Editor(site, "editor"), Editor(site, "keeper")
    assert 'id="preview"' in editor.post(editor.form() | {"show_message": "one", "comment": "first"}, "preview")
    late = keeper.form()
    editor.post(editor.form() | {"show_message": "one", "comment": "first"})
    conflict = keeper.post(late | {"show_message": "two", "comment": "second"})
    assert 'id="conflict"' in conflict
    keeper.append("three")
    links = re.findall(r'href="([^"]+/rollback/)"', keeper.history())
    assert "Rolled back, saved as version" in keeper.roll_back(links[-1], "back")
    assert postgres.value("SELECT count(*) FROM django_admin_log WHERE change_message LIKE 'rollback: back%'") == 1
    assert postgres.value("SELECT count(*) FROM django_admin_log WHERE change_message LIKE '%not confirm%'") == 0
    assert "Effective configuration" in site.request("GET", PATH, session=keeper.session).text


def test_logins_are_throttled(site, postgres):
    session = requests.Session()
    session.trust_env = False
    site.request("GET", LOGIN, session=session)
    data = {"username": "staff", "csrfmiddlewaretoken": session.cookies["csrftoken"]}

    def log_in(password):
        headers = {"Referer": site.url + LOGIN}
        data["password"] = password
        return site.request("POST", LOGIN, session=session, data=data, headers=headers).status_code

    assert [log_in(GUARD.new("wrong password")) for _ in range(5)] == [200] * 4 + [429]
    assert log_in(site.password) == 429
    assert postgres.value("SELECT failures_since_start FROM axes_accessattempt WHERE username = 'staff'") == 5


# While it refuses.


def test_while_it_refuses_a_page_says_so_and_nothing_is_lost(site, consul, postgres):
    editor = Editor(site, "editor")
    typed = editor.form() | {"show_message": "typed once", "comment": "a test", "step": "save"}
    before, logged = consul.get(KEY), len(site.log())
    postgres.stop()
    try:
        languages = {"en": "The database of this site cannot be used now", "zh-hans": "本站点的数据库现在无法使用"}
        for language, said in languages.items():
            answer = site.request("GET", PATH, session=editor.session, headers={"Accept-Language": language})
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert said in answer.text
            assert "/static/admin/css/base.css" in answer.text
        sent = site.request("POST", f"{PATH}edit/", session=editor.session, data=typed, headers={"Referer": editor.url})
        assert sent.status_code == 503
        assert "Nothing that you typed is lost" in sent.text
        assert [site.get(path).status_code for path in ("/", "/livez", "/readyz")] == [200] * 3
        assert consul.get(KEY) == before
    finally:
        postgres.start()
    assert "Saved as version" in editor.post(typed), "the same again, as a reload sends it"
    log = site.log()[logged:]
    assert "Traceback" not in log
    assert 1 <= log.count("The database cannot be used") <= 2, "one line of each worker"
    assert "Connection refused" in log


def test_a_reason_is_told_once_while_another_one_is_told_too(caplog):
    lines = failures._Lines()
    for number in (1, 1, 2, 1, *range(20)):
        lines.tell(Message.of(f"reason {number}"))
    told = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert told == ["reason 1", "reason 2", "reason 0", "reason 3", "reason 4"]


# While it hangs.


def test_while_it_hangs_the_page_is_counted_and_no_tab_waits_long(site, postgres):
    editor, logged, ended = Editor(site, "viewer"), len(site.log()), threading.Event()
    headers = {"Cookie": "; ".join(f"{each.name}={each.value}" for each in editor.session.cookies)}

    def tab():
        answers = []
        while not ended.is_set():
            answers.append(site.get(f"{PATH}status/", session=requests.Session(), headers=headers))
        return [(answer.status_code, answer.elapsed.total_seconds()) for answer in answers]

    with ThreadPoolExecutor(3) as pool:
        postgres.pause()
        try:
            tabs = [pool.submit(tab) for _ in range(3)]
            began, seconds = time.monotonic(), []
            for path in itertools.cycle(("/", "/livez")):
                answer = site.get(path)
                assert answer.status_code == 200
                seconds.append(answer.elapsed.total_seconds())
                if time.monotonic() - began > 2 * base.CONNECT_SECONDS:
                    break
        finally:
            ended.set()
            answers = [answer for each in tabs for answer in each.result()]
            postgres.resume()
    assert max(seconds) < 1 + BUSY_SECONDS
    assert {status for status, _seconds in answers} == {503}
    assert max(seconds for _status, seconds in answers) < 2 * base.CONNECT_SECONDS
    assert "Traceback" not in site.log()[logged:]
    wait_until(lambda: site.get(f"{PATH}status/", headers=headers).status_code == 200, message="the admin to be back")


def test_statement_of_a_page_is_given_up_by_the_server(site, postgres):
    """Also one that waits for somebody's lock: it would go on waiting when nobody does for the page."""
    viewer, logged = Editor(site, "viewer"), len(site.log())
    with postgres.connect() as other, other.transaction():
        other.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        answer = site.request("GET", PATH, session=viewer.session)
        assert answer.status_code == 503
        assert answer.elapsed.total_seconds() < base.STATEMENT_SECONDS, "1 s, says its DATABASE_URL"
        assert postgres.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0
    log = site.log()[logged:]
    assert "Traceback" not in log


def params(monkeypatch, command="", **options):
    """What a process with this command connects with, where DATABASE_URL has these options."""
    monkeypatch.setattr(startup, "_command", command)
    monkeypatch.setattr(base.base.DatabaseWrapper, "get_connection_params", lambda self: options)
    return base.DatabaseWrapper.get_connection_params(object.__new__(base.DatabaseWrapper))


def test_commands_have_no_time_out_for_statements(monkeypatch):
    assert params(monkeypatch, "migrate") == {"connect_timeout": 2}
    assert params(monkeypatch, "runserver") == {"connect_timeout": 2, "options": "-c statement_timeout=5s"}


def test_url_takes_precedence(monkeypatch, postgres):
    given = params(monkeypatch, connect_timeout=9, options="-c statement_timeout=7s -c search_path=other")
    assert given["connect_timeout"] == 9
    with postgres.connect(options=given["options"]) as connection:
        for name, value in {"statement_timeout": "7s", "search_path": "other"}.items():
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)


@pytest.fixture
def hanging(postgres):
    """A connection of a page, to a server that hangs."""
    with base.Connection.connect(postgres.url, connect_timeout=2) as connection:
        postgres.pause()
        yield connection
        postgres.resume()
        connection.close()


def test_exchange_ends_at_its_deadline_while_the_server_hangs(hanging, monkeypatch):
    monkeypatch.setattr(base, "EXCHANGE_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="no answer within"):
        hanging.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="closed"):
        hanging.rollback()
    assert time.monotonic() - began < 4

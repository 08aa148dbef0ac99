"""Planted secrets, a site used in all ways, and a search in every byte that came out of it: found where they belong."""

import contextlib
import os
import shutil
import signal
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import requests

from tests.support.admin import PATH, FormFields
from tests.support.binaries import PROJECT
from tests.support.canary import DOCUMENT, GIVEN, WORKER, Canaries, CanarySite, Processes
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.peers import Peer
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until
from tests.test_admin_edit import SESSIONS
from tests.test_error_pages import FAILING, SETTINGS, fail

pytestmark = pytest.mark.slow
KEY = "canary-config"
SIGNS = "@:/%,#é"
RULES = """
key_prefix "" { policy = "write" }
session_prefix "" { policy = "write" }
service_prefix "" { policy = "write" }
node_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
"""
TOKEN, SECRET_KEY, FALLBACK = "Consul token", "SECRET_KEY", "fallback of SECRET_KEY"
FIRST, SECOND, BACK = "Redis password", "Redis password typed in the form", "Redis password typed in a rollback"
USERS, SUPERUSER = "password of the users", "password of the superuser"
DATABASE, DEAD_DATABASE = "database password", "password of a dead database"
WRONG, MISTAKEN, INVALID = "password of a wrong login", "password typed with an error", "password of a bad document"
SNAPSHOT, TOKEN_FILE, KEY_FILE = "the snapshot", "the token's file", "the key's file"
FAULTY_COMMANDS = (
    ("check",),
    ("effective_config",),
    ("effective_config", "--fleet"),
    ("effective_config", "--fleet", "--format", "json"),
    ("consul_services",),
    ("consul_register", "--id", "canary", "--port", "1"),
    ("consul_deregister", "--id", "canary"),
)
COMMANDS = (
    *FAULTY_COMMANDS,
    ("effective_config", "--format", "json"),
    ("migrate",),
    ("check", "--deploy"),
    ("diffsettings",),
    ("diffsettings", "--all", "--output", "unified"),
    ("dumpdata",),
    ("shell", "-c", SESSIONS),
    ("shell", "-c", "from django.conf import settings; raise ValueError(vars(settings.CONFIGURATION))"),
)
CACHE_COMMANDS = (
    ("shell", "-c", "from django.core.cache import cache; cache.set('x', 1); cache.incr('nothing')"),
    ("shell", "-c", "from django_redis import get_redis_connection; get_redis_connection('default').incr('x')"),
    ("check",),
)


class World:
    """A site with its servers behind proxies. Under gunicorn its secrets are in variables, under runserver in files."""

    def __init__(self, stack, is_gunicorn):
        self.is_gunicorn, self.workers, self.canaries = is_gunicorn, 2 if is_gunicorn else 1, Canaries()
        self.consul = stack.enter_context(ConsulServer(acl=True))
        self.redis = stack.enter_context(RedisServer(self.canaries.new(FIRST)))
        self.agent = stack.enter_context(Proxy(self.consul.http_port))
        self.cache = stack.enter_context(Proxy(self.redis.port))
        self.processes = stack.enter_context(Processes(self.canaries))
        self.token = self.canaries.register(TOKEN, self.consul.token(RULES))
        self.consul.put(KEY, self.document())
        self.site = stack.enter_context(CanarySite(self._variables(), self.canaries))
        self.canaries.register(USERS, self.site.password)
        self._furnish()
        (self._secrets_in_variables if is_gunicorn else self._secrets_in_files)()
        self.site.prepare()
        self.superuser = self.canaries.new(SUPERUSER, SIGNS)
        given = {"PASSWORD": self.superuser, "USERNAME": "root", "EMAIL": "root@localhost"}
        variables = {f"DJANGO_SUPERUSER_{name}": value for name, value in given.items()}
        assert self.site.command("createsuperuser", "--noinput", **variables).status == 0

    def document(self, **members):
        return document(redis_config=self.redis.document(redis_port=self.cache.port, **members))

    def _variables(self):
        return {
            "CONSUL_HTTP_ADDR": self.agent.address,
            "DEMO_CONFIG_KEY": KEY,
            "CONSUL_REGISTER": "1",
            "SERVICE_DRAIN_SECONDS": "0",
            "SERVICE_CHECK_INTERVAL": "1s",
            "DJANGO_SETTINGS_MODULE": "failing_settings",
            "DJANGO_DEBUG": str(not self.is_gunicorn),
            "DJANGO_SECRET_KEY_FALLBACKS": self.canaries.new(FALLBACK),
        }

    def _furnish(self):
        folder = self.site.directory
        (folder / "failing_urls.py").write_text(FAILING)
        (folder / "failing_settings.py").write_text(SETTINGS)
        (folder / "tmp").mkdir()
        self.site.environment |= {
            "PYTHONPATH": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "DEMO_CONFIG_SNAPSHOT": str(folder / "snapshot.json"),
        }

    def _secrets_in_variables(self):
        environment = self.site.environment
        environment["CONSUL_HTTP_TOKEN"] = self.token
        self.canaries.register(SECRET_KEY, environment["DJANGO_SECRET_KEY"])
        account = f"sqlite://user:{quote(self.canaries.new(DATABASE, SIGNS), safe='')}@/"  # which SQLite ignores
        environment["DATABASE_URL"] = environment["DATABASE_URL"].replace("sqlite:///", account)

    def _secrets_in_files(self):
        """The token's file, and the key and the database in `.local`: that of a copy of the project."""
        site, environment = self.site, self.site.environment
        (site.directory / "token").write_text(self.token)
        environment["CONSUL_HTTP_TOKEN_FILE"] = str(site.directory / "token")
        site.project = site.directory / "project"
        for name in ("demo_site", "counter"):
            shutil.copytree(PROJECT / name, site.project / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("manage.py", "gunicorn.conf.py"):
            shutil.copy(PROJECT / name, site.project)
        del environment["DJANGO_SECRET_KEY"], environment["DATABASE_URL"]
        assert site.command("check").status == 0
        self.canaries.register(SECRET_KEY, (site.project / ".local" / "secret_key").read_text().strip())

    def start(self, other_server=False):
        if self.is_gunicorn is not other_server:
            self.site.gunicorn("--log-level", "debug", "--access-logfile", "-", "--capture-output", workers=2)
        else:
            self.site.runserver(*["--noreload"] * other_server)

    def in_force(self, value):
        """Put a document into Consul, and wait until it rules."""
        self.consul.put(KEY, value)
        self.wait_in_force()

    def wait_in_force(self):
        index = self.consul.index(KEY)
        wait_until(lambda: self.site.runs(index, self.workers), 60, "the document to rule")

    def is_rejected(self, index):
        rejected = self.site.ready()["config"]["rejected"]
        return rejected and rejected["index"] == index

    def visit(self, session=None):
        for accept in ("text/plain", "text/html"):
            for path in ("/", "/readyz", "/metrics", "/livez", "/admin/", f"{PATH}", f"{PATH}edit/", f"{PATH}history/"):
                self.site.get(path, session=session, headers={"Accept": accept})

    def run(self, commands, **environment):
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda command: self.site.command(*command, **environment), commands))

    def log_in(self, user, password):
        """The session and the status of a login."""
        page, session = f"{self.site.url}/admin/login/", requests.Session()
        session.trust_env = False
        session.get(page, timeout=30)
        data = {"username": user, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
        return session, session.post(
            page, data, timeout=30, headers={"Referer": page}, allow_redirects=False
        ).status_code

    def look(self):
        """At what stands in files and in Consul now."""
        places = {"snapshot.json": SNAPSHOT, "token": TOKEN_FILE, "project/.local/secret_key": KEY_FILE}
        self.site.look_at_files(places)
        self.site.look_at_consul(self.consul)


# What is done with it.


def ask_as_a_stranger(world):
    world.visit()
    for accept in ("text/plain", "text/html"):
        for path in ("/nothing/", "/admin/nothing/", "/admin/login/", "/fail"):
            world.site.get(path, headers={"Accept": accept})
    assert world.site.get("/admin/login/", headers={"Host": "elsewhere"}).status_code == 400
    assert world.site.request("POST", "/admin/login/", data={"username": "x"}).status_code == 403


def log_in(world):
    wrong = world.canaries.new(WRONG, SIGNS)
    assert world.log_in("root", wrong)[1] == world.log_in("keeper", world.superuser)[1] == 200
    session, status = world.log_in("root", world.superuser)
    assert status == 302
    world.visit(session)
    for path in ("password_change/", "jsi18n/", "auth/user/", "effective-configuration/history/0/rollback/"):
        world.site.get(f"/admin/{path}", session=session)
    data = {"old_password": world.superuser, "new_password1": wrong, "new_password2": world.superuser}
    data |= {"csrfmiddlewaretoken": session.cookies["csrftoken"]}
    url = "/admin/password_change/"
    answer = world.site.request("POST", url, session=session, data=data, headers={"Referer": world.site.url + url})
    assert answer.status_code == 200


def edit(world):
    editor = Editor(world.site, "keeper")
    mistaken = world.canaries.new(MISTAKEN)
    bad = {"redis_config__redis_password": mistaken, "redis_config__redis_port": "70000", "comment": f"is {mistaken}"}
    for step in ("edit", "preview", "save"):
        editor.post(editor.form() | bad, step=step)
    editor.post(editor.form() | bad | {"redis_config__redis_port": "1"}, step="preview")
    editor.post(editor.form() | {"redis_config__redis_password": mistaken, "comment": "wrong"}, step="preview")
    world.redis.change_password(world.canaries.new(SECOND, SIGNS))
    typed = {"redis_config__redis_password": world.redis.password, "comment": f"it is {world.redis.password} now"}
    preview = editor.preview(**typed)
    world.run([("shell", "-c", SESSIONS)])
    world.consul.put(KEY, world.document(redis_password=mistaken) | {"show_message": "theirs"})
    page = editor.post(preview)
    assert 'id="conflict"' in page
    assert 'id="conflict"' in editor.post(editor.form() | preview, step="edit")
    world.consul.put(KEY, {**world.document(redis_password=mistaken), "show_message": preview["show_message"]})
    again = editor.form() | typed
    assert "Saved as version" in editor.post(again)
    world.wait_in_force()
    world.look()


def roll_back(world):
    """To where Redis is found, which asks for the password."""
    editor = Editor(world.site, "keeper")
    elsewhere = world.document() | {"show_message": "elsewhere"}
    elsewhere["redis_config"]["redis_host"] = "localhost"
    editor.post(editor.form() | {"show_message": "an entry", "comment": "for the history"})
    world.in_force(elsewhere)
    world.redis.change_password(world.canaries.new(BACK, SIGNS))
    entry = world.consul.api("GET", f"/v1/kv/{KEY}.history/?keys").json()[-1].rpartition("/")[2]
    url = f"{world.site.url}{PATH}history/{entry}/rollback/"
    fields = FormFields(editor.session.get(url, timeout=30).text).found | {"comment": "back"}
    asked = editor.session.post(url, fields, timeout=30, headers={"Referer": url}).text
    assert 'id="asked"' in asked
    for password in (world.canaries.new(MISTAKEN), world.redis.password):
        fields = FormFields(asked).found | {
            "comment": f"back with {password}",
            "redis_config__redis_password": password,
        }
        done = editor.session.post(url, fields, timeout=30, headers={"Referer": url}).text
    assert "Rolled back" in done, done
    world.wait_in_force()
    world.look()


def all_fail(site, accept):
    assert fail(site, accept).status_code == 500
    return site.get("/metrics", headers={"Accept": accept}).status_code == 500


def fail_inside(world):
    """With the exception of a view, and of a path without Django.

    `/metrics` fails in a worker once it has loaded the URLs, with its first request to Django.
    """
    for accept in ("text/html", "text/plain"):
        wait_until(lambda accept=accept: all_fail(world.site, accept), message="/metrics to fail")
    world.site.get(f"/{world.token}/", headers={"Accept": "text/html"})


def crash_a_worker(world):
    if world.is_gunicorn:
        [victim, *_] = world.site.worker_pids()
        os.kill(victim, signal.SIGSEGV)
        wait_until(lambda: victim not in world.site.worker_pids() and world.site.is_alive())


def run_commands(world):
    done = world.run((*COMMANDS, *CACHE_COMMANDS))
    assert [result.status for result in done[: len(FAULTY_COMMANDS)]] == [0] * len(FAULTY_COMMANDS)
    dead = f"postgres://user:{quote(world.canaries.new(DEAD_DATABASE, SIGNS), safe='')}@127.0.0.1:1/name"
    for result in world.run((("migrate",), ("dumpdata",), ("diffsettings",)), DATABASE_URL=dead)[:2]:
        assert result.status
        assert "refused" in result.stderr


def lose_redis(world):
    """It is down; it refuses the password; it repeats the password in its errors."""
    session = world.log_in("keeper", world.site.password)[0]

    def look():
        for _ in range(3):
            world.visit(session)
            time.sleep(0.2)  # the breaker closes
        editor = Editor(world.site, "keeper")
        editor.post(editor.form() | {"show_message": "not now", "comment": "not now"}, step="preview")
        world.run(CACHE_COMMANDS)
        world.look()

    world.cache.refuse()
    look()
    world.cache.pass_through()
    right = world.redis.password
    world.redis.change_password("another")
    world.cache.cut()
    look()
    world.redis.change_password(right)
    with RepeatingRedis() as repeating:
        world.cache.target_port = repeating.port
        world.cache.cut()
        look()
        world.consul.put(KEY, world.document() | {"show_message": "the next document"})
        index = world.consul.index(KEY)
        look()
        world.cache.target_port = world.redis.port
    world.cache.cut()
    wait_until(lambda: world.site.runs(index, world.workers), 60, "the document to rule")


class RepeatingRedis(Peer):
    """Takes any password, and repeats it in every later error as part of a longer word."""

    def __init__(self):
        super().__init__(_repeat)


def _repeat(connection):
    said = b""
    while request := connection.recv(65536):
        words = request.split(b"\r\n")[2::2]
        if words[0] == b"AUTH":
            said = words[-1]
        connection.sendall(b"+OK\r\n" if words[0] == b"AUTH" else b"-ERR nothing after AUTH_" + said + b"_\r\n")


def lose_consul(world):
    """It is down; it repeats the token in what it answers; it is no Consul."""
    token, agent = world.token, world.agent
    session = world.log_in("keeper", world.site.password)[0]
    said = f"rpc error: token_{token}_ is no good, nor is {token} {'x' * 400}"
    cut = f"{'x' * 150} {said}"
    faults = (
        (agent.refuse, FAULTY_COMMANDS[:2]),
        (lambda: agent.answer_http(f"500 {token}", cut), FAULTY_COMMANDS[:2]),
        (lambda: agent.answer_http("403 Forbidden", said, X_Consul_Reason=said), FAULTY_COMMANDS),
        (lambda: agent.answer_http("404 Not Found", said), FAULTY_COMMANDS),
        (lambda: agent.answer_http("400 Bad Request", said), FAULTY_COMMANDS[::2]),
        (lambda: agent.answer_http("302 Found", Location=f"http://127.0.0.1:1/{token}"), FAULTY_COMMANDS[::2]),
        (lambda: agent.answer_http("200 OK", f"<html>{said}</html>", X_Consul_Index=token), FAULTY_COMMANDS[::2]),
        (lambda: agent.answer(f"{token} is not HTTP".encode()), FAULTY_COMMANDS[::2]),
    )
    for fault, commands in faults:
        fault()
        agent.cut()
        wait_until(lambda: world.site.ready()["config"]["state"] != "current", 60, "the site to see it")
        world.visit(session)
        world.run(commands)
        world.site.look_at_files(
            {"snapshot.json": SNAPSHOT, "token": TOKEN_FILE, "project/.local/secret_key": KEY_FILE}
        )
    agent.pass_through()
    world.wait_in_force()
    world.look()


def put_bad_documents(world):
    """With a password in wrong places."""
    session = world.log_in("keeper", world.site.password)[0]
    secret = world.canaries.new(INVALID)
    good = world.document(redis_password=secret)
    config = good["redis_config"]
    for value in (
        good,
        good | {"redis_config": config | {"redis_host": secret}},
        good | {"redis_config": config | {"redis_host": f"redis://user:{secret}@127.0.0.1"}},
        good | {"redis_config": config | {"redis_port": secret}},
        good | {"redis_config": config | {"redis_password": [secret]}},
        good | {"redis_config": secret},
        good | {secret: secret, "show_message": 5},
        f'{{"redis_config": {{"redis_password": "{secret}", "{secret}": NaN}}}}',
        f'{{"redis_config": "redis_password": "{secret}"}}',
        [secret],
        secret,
    ):
        world.consul.put(KEY, value)
        wait_until(lambda: world.is_rejected(world.consul.index(KEY)), 60, "the document to be rejected")
        world.visit(session)
        world.run((("check",), ("effective_config",)))
    world.look()
    world.run([("effective_config", "--fleet")])
    world.in_force(world.document())


def switch_debug(world):
    """The other server, DEBUG the other way, and a database that is dead."""
    world.site.stop()
    environment = world.site.environment
    environment["DJANGO_DEBUG"] = str(world.is_gunicorn)
    world.start(other_server=True)
    fail_inside(world)
    world.site.stop()
    environment["DATABASE_URL"] = (
        f"postgres://user:{quote(world.canaries.new(DEAD_DATABASE, SIGNS), safe='')}@[::1]:1/x"
    )
    world.start(other_server=not world.is_gunicorn)  # runserver does not start without one
    with contextlib.suppress(KeyError):
        assert world.log_in("root", world.superuser)[1] == 500
    world.visit()


USES = (
    ask_as_a_stranger,
    log_in,
    edit,
    roll_back,
    run_commands,
    put_bad_documents,
    lose_redis,
    lose_consul,
    fail_inside,
    crash_a_worker,
    switch_debug,
)


@pytest.fixture(scope="module", params=[True, False], ids=["gunicorn-variables", "runserver-files"])
def used(request):
    """The world of a site that was used in all ways, and has ended."""
    with contextlib.ExitStack() as stack:
        world = World(stack, request.param)
        world.start()
        wait_until((world.site.directory / "snapshot.json").exists, message="the snapshot")
        world.look()
        for use in USES:
            use(world)
        world.site.stop()
        world.look()
        yield world


def right_places(is_gunicorn):
    """Each canary with each place where it belongs. A worker's environment is that of its master."""
    in_variables = {FALLBACK, DEAD_DATABASE} | ({TOKEN, SECRET_KEY, DATABASE} if is_gunicorn else set())
    in_files = set() if is_gunicorn else {(TOKEN, TOKEN_FILE), (SECRET_KEY, KEY_FILE)}
    return {
        *((label, place) for label in (FIRST, SECOND, BACK) for place in (DOCUMENT, SNAPSHOT)),
        (INVALID, DOCUMENT),  # where its author put it
        *((label, place) for label in in_variables for place in (GIVEN, WORKER)),
        *((label, GIVEN) for label in (USERS, SUPERUSER)),  # of the commands that make the users
        *in_files,
    }


def test_canaries_are_found_where_they_belong_and_nowhere_else(used):
    found, right = used.canaries.found, right_places(used.is_gunicorn)
    assert {pair: detail for pair, detail in found.items() if pair not in right} == {}
    assert right - set(found) == set(), "the search is blind there"


def test_files_that_have_a_canary_are_their_owners_alone(used):
    local = used.site.project / ".local"
    files = [used.site.directory / "snapshot.json", *([] if used.is_gunicorn else [local / "secret_key"])]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600] * len(files)


def test_processes_that_hash_passwords_were_looked_at(used):
    assert used.processes.helpers

"""How a start ends without a usable configuration, and that a running instance needs none."""

import json
import os
import re
import shutil
import signal
import stat
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import psutil
import pytest

from demo_site import identity
from demo_site.startup import StartupError
from tests.support.binaries import PROJECT
from tests.support.consul import ConsulServer
from tests.support.documents import MESSAGE, changed, document, raw
from tests.support.files import ENDLESS
from tests.support.following import start_from
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.readme import README, section
from tests.support.secrets import GUARD
from tests.support.site import Site
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
BOUND = 20  # seconds; alone it takes five, but other tests use the machine as well
SECRET = GUARD.new("password in a broken document", separator="@")
BROKEN = changed("redis_config.redis_port", "6379")
BROKEN["redis_config"] |= {"redis_db": -1, "redis_password": [SECRET]}
UNREACHABLE, DENIED, MISSING, INVALID = 69, 77, 66, 78


# Each condition: the exit status, and what the message says.
CASES = {
    "refused": (UNREACHABLE, ["refused the connection", "CONSUL_HTTP_ADDR", "Start Consul"]),
    "never answering": (UNREACHABLE, ["no answer", "CONSUL_HTTP_ADDR"]),
    "dripping": (UNREACHABLE, ["no answer", "CONSUL_HTTP_ADDR"]),
    "no Consul": (UNREACHABLE, ["not a Consul agent", "CONSUL_HTTP_ADDR"]),
    "denied": (DENIED, ["key:read", "CONSUL_HTTP_TOKEN"]),
    "missing": (MISSING, ["consul kv put"]),
    "invalid": (INVALID, [f"redis_config.{name}: " for name in ("redis_port", "redis_db", "redis_password")]),
    "garbled": (INVALID, ["(document): is not UTF-8"]),
}
STARTS = ["check", "runserver", "runserver --noreload", "gunicorn demo_site.asgi", "gunicorn -k gthread demo_site.wsgi"]
HELP = ["help", "--version", "consul_register --help"]
OPERATORS = ["effective_config", "effective_config --format json", "consul_deregister --id gone"]


@pytest.fixture(scope="module")
def acl_consul():
    with ConsulServer(acl=True) as server:
        yield server


def make_condition(name, key, consul, acl_consul, proxy):
    """Set up the condition and return the variables of a site that runs into it."""
    address, token = consul.address, ""
    if name == "refused":
        address = f"127.0.0.1:{free_port()}"
    elif name == "never answering":
        proxy.silence()
        address = proxy.address
    elif name == "dripping":
        proxy.drip(0.2)  # each byte in time for a time-out of its own
        address = proxy.address
    elif name == "no Consul":
        proxy.answer_http("200 OK", "<html>Please log in</html>")
        address = proxy.address
    elif name == "denied":
        acl_consul.put(key, document())
        address, token = acl_consul.address, acl_consul.token('key "another" { policy = "read" }')
    elif name == "invalid":
        consul.put(key, BROKEN)
    elif name == "garbled":
        consul.put(key, b"\x00\xff\xfe" + SECRET.encode())
    return {"CONSUL_HTTP_ADDR": address, "CONSUL_HTTP_TOKEN": token, "DEMO_CONFIG_KEY": key}


@dataclass
class Condition:
    """One condition, and all commands tried in it: most of their time is waiting, so four run at once."""

    name: str
    key: str
    site: Site
    pool: ThreadPoolExecutor

    def __post_init__(self):
        self.status, self.sayings = CASES[self.name]
        self.ended = {line: self.pool.submit(self._run, line) for line in STARTS + HELP + OPERATORS}

    def _run(self, line):
        if line.startswith("gunicorn"):
            _, *flags, application = line.split()
            return self.site.failing_gunicorn(*flags, application=application)
        command, *options = line.split()
        return self.site.command(command, *([self.site.address] if command == "runserver" else []), *options)

    def outcome(self, line):
        """How the command ended: in time, and without a traceback."""
        ended = self.ended[line].result()
        assert ended.seconds <= BOUND
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended


@pytest.fixture(scope="module", params=CASES)
def condition(request, session_consul, acl_consul):
    key = f"{identity.KEY}-{uuid.uuid4()}"
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(session_consul.http_port))
        site = stack.enter_context(Site(make_condition(request.param, key, session_consul, acl_consul, proxy)))
        yield Condition(request.param, key, site, stack.enter_context(ThreadPoolExecutor(4)))


@pytest.mark.parametrize("start", STARTS)
def test_start_ends_with_one_message_and_the_status_of_its_condition(condition, start):
    ended = condition.outcome(start)
    assert ended.status == condition.status
    assert "Booting worker" not in ended.stderr
    lines = message_in(ended.stderr)
    assert 2 <= len(lines) <= 12
    assert condition.key in lines[0]
    assert ended.stderr.splitlines().count(lines[0]) == 1
    assert all(saying in "\n".join(lines) for saying in condition.sayings)


def test_start_in_a_worker_ends_gunicorn_too(new_site, tmp_path):
    """Without the site's gunicorn.conf.py, the workers load it; any status but 4 would have them replaced for ever."""
    (tmp_path / "nothing.py").touch()
    site = new_site({"CONSUL_HTTP_ADDR": f"127.0.0.1:{free_port()}"})
    ended = site.failing_gunicorn("--config", str(tmp_path / "nothing.py"), application="demo_site.wsgi")
    assert ended.status != 0, "4, or 1 where both workers end at the same moment"
    assert ended.stderr.count("Booting worker") <= 2
    assert "refused the connection" in ended.stderr


def message_in(stderr):
    """The lines of standard error without gunicorn's own log and Django's line about the reloader."""
    lines = [line for line in stderr.splitlines() if line and not line.startswith(("[", "Watching for file changes"))]
    assert lines, "no message at all"
    return lines


@pytest.mark.parametrize("command", HELP)
def test_help_works_in_every_condition(condition, command):
    ended = condition.outcome(command)
    assert (ended.status, ended.stderr) == (0, "")
    assert ended.stdout
    if command == "help":
        assert "consul_register" in ended.stdout


def test_effective_config_shows_the_condition_and_its_faults(condition):
    ended = condition.outcome("effective_config --format json")
    assert (ended.status, ended.stderr) == (0, "")
    [state] = [row["value"] for row in json.loads(ended.stdout) if row["setting"] == "document"]
    assert all(saying in state for saying in [condition.key, *condition.sayings])


def test_effective_config_as_a_table(condition):
    ended = condition.outcome("effective_config")
    assert (ended.status, ended.stderr) == (0, "")
    assert "DEMO_CONFIG_KEY" in ended.stdout


def test_deregistering_works_as_far_as_consul_allows(condition):
    ended = condition.outcome("consul_deregister --id gone")
    if condition.status == UNREACHABLE:
        assert (ended.status, ended.stdout) == (UNREACHABLE, "")
        assert 1 <= len(ended.stderr.splitlines()) <= 3
    else:
        assert (ended.status, ended.stderr) == (0, "")
        assert "gone: was not registered" in ended.stdout


def test_message_of_an_invalid_document_tells_the_remedy(consul, config_key, new_site):
    consul.put(config_key, BROKEN)
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key})
    assert f"consul kv put {config_key}" in site.command("check").stderr


def test_consul_that_starts_a_moment_later_is_no_failure(environment, consul, new_proxy, new_site):
    proxy = new_proxy(consul.http_port)
    proxy.refuse()
    threading.Timer(1.5, proxy.pass_through).start()
    ended = new_site({**environment, "CONSUL_HTTP_ADDR": proxy.address}).command("check")
    assert (ended.status, ended.stderr) == (0, "")


def test_healthy_start_asks_consul_once_for_each_process(environment, consul, new_proxy, new_site, config_key):
    proxy = new_proxy(consul.http_port)
    assert new_site({**environment, "CONSUL_HTTP_ADDR": proxy.address}).command("check").status == 0
    assert proxy.seen.count(b"GET /v1/kv/") == 1


# The environment and the file.


def test_unusable_variables_are_told_together(environment, new_site):
    wrong = {"SERVICE_PORT": "http", "DJANGO_DEBUG": "perhaps", "DEMO_CONFIG_KEY": "/a"}
    ended = new_site({**environment, **wrong}).command("check")
    assert ended.status == INVALID
    assert all(f"{name}: " in ended.stderr for name in wrong)
    assert "Traceback" not in ended.stderr


def test_unusable_consul_address_is_told(environment, new_site):
    wrong = f"http://user:{GUARD.new('password in CONSUL_HTTP_ADDR')}@127.0.0.1:8500"
    ended = new_site({**environment, "CONSUL_HTTP_ADDR": wrong}).command("check")
    assert ended.status == INVALID
    assert "CONSUL_HTTP_ADDR: " in ended.stderr


def test_empty_variable_means_unset(environment, new_site):
    empty = dict.fromkeys(
        ["SERVICE_PORT", "DJANGO_DEBUG", "CONSUL_HTTP_TOKEN", "DEMO_CONFIG_FILE", "CONSUL_CACERT"], ""
    )
    assert new_site({**environment, **empty}).command("check").status == 0


@pytest.fixture
def file_site(new_site, tmp_path):
    """A site that reads its document from a file; no Consul listens at its address."""
    path = tmp_path / "document.json"
    return new_site({"DEMO_CONFIG_FILE": str(path), "CONSUL_HTTP_ADDR": f"127.0.0.1:{free_port()}"}), path


def test_document_from_a_file_needs_no_consul(file_site, redis):
    site, path = file_site
    path.write_bytes(raw(document(redis)))
    site.gunicorn()
    assert site.get("/").text == f"{MESSAGE}! I have been seen 1 times.\n"
    assert site.ready()["config"]["state"] == "file"
    assert site.command("collectstatic", "--noinput", "--dry-run").status == 0


@pytest.mark.parametrize(("content", "status"), [(None, MISSING), (raw(BROKEN), INVALID), (b"", INVALID)])
def test_unusable_file_is_told_by_its_path(file_site, content, status):
    site, path = file_site
    if content is not None:
        path.write_bytes(content)
    ended = site.command("check")
    assert ended.status == status
    assert str(path) in ended.stderr.splitlines()[0]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("kind", ENDLESS)
def test_file_that_never_ends_is_told_by_its_path(kind, tmp_path):
    path = tmp_path / "document.json"
    ENDLESS[kind](path)
    with pytest.raises(StartupError, match=r"document\.json cannot be read: (File too large|Not a regular file)"):
        start_from({"DEMO_CONFIG_FILE": str(path)})


def test_secret_key_is_made_once_and_kept_private(environment, new_site, tmp_path):
    for part in ("demo_site", "counter"):
        shutil.copytree(PROJECT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "manage.py", tmp_path)
    site = new_site({**environment, "DJANGO_SECRET_KEY": ""}, project=tmp_path)
    path = tmp_path / ".local" / "secret_key"
    keys = []
    for _ in range(2):
        assert site.command("check").status == 0
        keys.append(GUARD.register("generated secret key", path.read_text()))
    assert keys[0] == keys[1]
    assert len(keys[0]) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert site.command("check", "--deploy").stderr.count("security.W009") == 0


@pytest.mark.parametrize("mask", [0o000, 0o022], ids=["000", "022"])
def test_what_the_site_makes_itself_is_for_its_user_only(environment, new_site, tmp_path, mask):
    """With any umask; and modes that are wrong already are corrected."""
    for part in ("demo_site", "counter"):
        shutil.copytree(PROJECT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "manage.py", tmp_path)
    site = new_site({**environment, "DJANGO_SECRET_KEY": "", "DATABASE_URL": ""}, project=tmp_path)
    local = tmp_path / ".local"
    before = os.umask(mask)
    try:
        for _ in range(2):
            assert site.command("migrate").status == 0
            assert site.command("collectstatic", "--noinput").status == 0
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (local, *local.rglob("*"))}
            assert {local / "db.sqlite3", local / "secret_key", local / "static" / "admin"} <= set(modes)
            assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
            assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
            for path in (local, local / "db.sqlite3", local / "secret_key"):
                path.chmod(0o777)
    finally:
        os.umask(before)


def test_production_environment_of_the_readme_passes_the_check_for_deployment(environment, new_site):
    shown = re.findall(r"`(DJANGO_SECURE_[A-Z_]+)=(\S+)`", section(README, "In production"))
    assert dict(shown).keys() == {"DJANGO_SECURE_PROXY_SSL_HEADER", "DJANGO_SECURE_HSTS_SECONDS"}
    key = GUARD.new("a key", separator="-_") + GUARD.new("its other half")
    site = new_site({**environment, **dict(shown), "DJANGO_SECRET_KEY": key})
    checked = site.command("check", "--deploy", "--fail-level", "WARNING")
    assert checked.status == 0, checked.stderr


def test_behind_tls_the_admin_is_for_tls_only_and_health_checks_are_not_redirected(environment, new_site):
    site = new_site({**environment, "DJANGO_SECURE_PROXY_SSL_HEADER": "HTTP_X_FORWARDED_PROTO,https"}).gunicorn()
    for path in ("/", "/livez", "/readyz", "/metrics"):
        assert site.get(path).status_code == 200
    plain = site.get("/admin/login/")
    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{site.address}/admin/login/")
    secure = site.get("/admin/login/", headers={"X-Forwarded-Proto": "https"})
    assert secure.headers["Strict-Transport-Security"] == "max-age=3600"
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(secure.headers["Set-Cookie"].split("; "))


# A running instance: a worker that is replaced starts on the value in force.


def break_document(consul, key):
    consul.put(key, BROKEN)


def delete_document(consul, key):
    consul.delete(key)


def stop_consul(consul, key):
    consul.kill()


@pytest.fixture
def own_site(own_consul, redis, new_site):
    """Two workers, with a Consul of their own."""
    own_consul.put(identity.KEY, document(redis))
    site = new_site({"CONSUL_HTTP_ADDR": own_consul.address}).gunicorn(workers=2)
    wait_until(lambda: len(site.worker_pids()) == 2)
    return site


@pytest.mark.parametrize("trouble", [break_document, delete_document, stop_consul])
def test_killed_worker_is_replaced_on_the_value_in_force(own_site, own_consul, trouble):
    index = own_consul.index(identity.KEY)
    trouble(own_consul, identity.KEY)
    for _ in range(2):
        before = set(own_site.worker_pids())
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda before=before: len(set(own_site.worker_pids()) - {min(before)}) == 2, message="a new worker")
        assert_all_workers_serve(own_site, index)


@pytest.mark.parametrize("trouble", [break_document, stop_consul])
def test_reload_keeps_the_value_in_force(own_site, own_consul, trouble):
    index, before = own_consul.index(identity.KEY), set(own_site.worker_pids())
    trouble(own_consul, identity.KEY)
    own_site.signal(signal.SIGHUP)
    wait_until(lambda: not before & set(own_site.worker_pids()), message="new workers in place of the old")
    assert_all_workers_serve(own_site, index)


def test_worker_replaced_after_its_requests_serves_the_value_in_force(own_consul, redis, new_site):
    own_consul.put(identity.KEY, document(redis))
    index = own_consul.index(identity.KEY)
    site = new_site({"CONSUL_HTTP_ADDR": own_consul.address}).gunicorn("--max-requests", "20", workers=2)
    first = set(site.worker_pids())
    own_consul.put(identity.KEY, BROKEN)

    def all_replaced():
        site.get("/livez")
        return not first & set(site.worker_pids())

    wait_until(all_replaced, message="workers replaced by --max-requests")
    assert_all_workers_serve(site, index)


def assert_all_workers_serve(site, index):
    """Every worker answers with the message, under the index in force."""
    asked = set()

    def asked_all():
        answer = site.get("/readyz", headers={"Connection": "close"}).json()
        assert answer["config"]["index"] == index
        asked.add(answer["pid"])
        return asked >= set(site.worker_pids())

    wait_until(asked_all, message=f"every worker to answer; asked {asked}")
    for _ in range(20):
        assert site.get("/", headers={"Connection": "close"}).text.startswith(f"{MESSAGE}! I have been seen ")
    assert "Traceback" not in site.log(), site.log()


def test_end_of_the_master_ends_the_workers(own_site):
    workers = own_site.worker_pids()
    assert own_site.stop() == 0
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in workers))

"""`make run` on real servers, from the first start to the end of the last process."""

import fcntl
import html
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import termios
import threading

import dns.resolver
import pytest
import requests

from demo_site import identity
from tests.support.checkout import Checkout
from tests.support.consul import ConsulServer
from tests.support.redis import RedisServer
from tests.support.waiting import wait_until
from tests.test_registration import look_up

import private

pytestmark = pytest.mark.slow
PASSWORD = "aaaa1111"  # of the published document
KEY = f"/v1/kv/{identity.KEY}"


@pytest.fixture
def checkout():
    with Checkout() as made:
        yield made


def count(checkout):
    """The message and the number on the page."""
    sentence = requests.get(checkout.shown("Page"), timeout=10).text
    message, number = re.fullmatch(r"(.*)! I have been seen (\d+) times\.\n", sentence).groups()
    return message, int(number)


def document(checkout):
    return requests.get(f"{checkout.consul_url}{KEY}?raw", timeout=10).content


def edit(consul_url, **members):
    """Stores the published document with changed members, as the web UI would."""
    content = requests.get(f"{consul_url}{KEY}?raw", timeout=10).json()
    content["redis_config"].update(members.pop("redis_config", {}))
    assert requests.put(consul_url + KEY, json={**content, **members}, timeout=10).json() is True


def log_in(checkout):
    """Whether the admin takes the user and the password that were shown."""
    url, user, password = re.fullmatch(r"(\S+) +user (\S+), password (\S+)", checkout.shown("Admin")).groups()
    with requests.Session() as browser:
        browser.get(f"{url}login/", timeout=10)
        form = {"username": user, "password": password, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        answer = browser.post(f"{url}login/?next=/admin/", data=form, headers={"Referer": url}, timeout=10)
    return answer.url == url and answer.ok


class Occupied:
    """A port on which another program listens: it accepts connections and sends nothing."""

    def __init__(self, port):
        self._listener = socket.create_server(("127.0.0.1", port))

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self._listener.close()


@pytest.fixture(scope="module")
def running():
    """One run that tests may only read, in a shell whose variables point elsewhere and whose umask allows all."""
    with Checkout() as made:
        made.environment |= {
            "CONSUL_HTTP_ADDR": "127.0.0.1:1",
            "CONSUL_HTTP_TOKEN": "nobody",
            "DATABASE_URL": "sqlite:////nowhere/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "another.settings",
        }
        before = os.umask(0)
        try:
            made.start()
        finally:
            os.umask(before)
        yield made


def test_it_registers_one_healthy_instance_that_dns_knows(running):

    def passing():
        return requests.get(f"{running.consul_url}/v1/health/service/{identity.NAME}?passing", timeout=10).json()

    (instance,) = wait_until(passing, bound=40, message="the checks to pass")
    assert (instance["Service"]["Address"], instance["Service"]["Port"]) == ("127.0.0.1", running.site_port)
    assert requests.get(running.shown("Consul UI"), timeout=10).ok


def test_a_service_that_is_renamed_in_its_one_module_runs_under_its_new_names(checkout):
    name, key, title, prefix = (
        f"{old}9" for old in (identity.NAME, identity.KEY, identity.TITLES["en"], identity.METRICS_PREFIX)
    )
    for line, new in (("NAME =", name), ("KEY =", key), ('"en":', title), ("METRICS_PREFIX =", prefix)):
        checkout.replace("demo_site/identity.py", f'{line} "{new[:-1]}"', f'{line} "{new}"')
    checkout.start()
    assert count(checkout)[1] == 1

    def answers():
        return look_up(checkout, f"{name}.service.consul", "SRV")

    (answer,) = wait_until(answers, bound=40, message="the name in DNS", ignoring=(dns.resolver.NXDOMAIN,))
    assert answer.port == checkout.site_port
    assert requests.get(f"{checkout.consul_url}/v1/catalog/services", timeout=10).json().keys() == {"consul", name}
    keys = requests.get(f"{checkout.consul_url}/v1/kv/?keys", timeout=10).json()
    assert keys and all(each.startswith(key) for each in keys)
    assert title in html.unescape(requests.get(checkout.shown("Admin").split()[0], timeout=10).text)
    metrics = requests.get(f"{checkout.shown('Page')}metrics", timeout=10).text
    assert f"{prefix}_config_index" in metrics
    assert f"{prefix[:-1]}_" not in metrics
    checkout.interrupt()
    assert "==> Deregistering the service" in checkout.log()
    assert "could not" not in checkout.log()


def test_no_secret_is_in_the_process_list_or_readable_by_others(running):
    password = running.shown("Admin").split()[-1]
    for process in running.processes():
        line = " ".join(process.cmdline())
        assert PASSWORD not in line
        assert password not in line
    assert stat.S_IMODE(running.local.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.local / "admin-password").stat().st_mode) == 0o600
    assert open_to_others(running.local) == []


def open_to_others(local):
    """What is in the folder and not for its owner alone: the programs in the cache are links of the tests' own."""
    paths = (path for path in local.rglob("*") if not path.is_symlink())
    return [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]


@pytest.mark.parametrize("mask", [0o000, 0o022], ids=["000", "022"])
def test_what_is_in_its_folder_is_for_its_user_only_whatever_the_umask_and_who_made_it(tmp_path, mask):
    local = tmp_path / ".local"
    before = os.umask(mask)
    try:
        (local / "consul").mkdir(parents=True)
        program = local / "consul" / "program"
        program.touch(0o777)
        (local / "link").symlink_to(tmp_path)
        private.keep_private(local)
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / ".local") == []
    assert stat.S_IMODE(program.stat().st_mode) & 0o700 == program.stat().st_mode & 0o777
    assert stat.S_IMODE(local.stat().st_mode) == 0o700


def test_what_it_starts_listens_on_loopback_only(running):
    listening = [
        connection.laddr.ip
        for process in running.processes()
        for connection in process.net_connections()
        if connection.status == "LISTEN" or connection.type == socket.SOCK_DGRAM
    ]
    assert set(listening) == {"127.0.0.1"}


def test_variables_that_lead_elsewhere_are_not_followed(running):
    assert count(running)[1]
    assert "CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, DATABASE_URL, DJANGO_SETTINGS_MODULE." in running.log()


def test_a_second_run_beside_the_first_is_refused(running):
    done = subprocess.run(  # noqa: S603 (our own command)
        running.command, cwd=running.root, env=running.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "`make run` is already running in this checkout" in done.stdout
    assert running.shown("Admin") in done.stdout


def test_the_servers_banner_does_not_hide_where_all_is(running):
    assert "development server" not in running.log()
    assert running.shown("Password") == "kept in .local/admin-password"
    assert count(running)[1]


def test_a_second_run_goes_on_where_the_first_one_ended(checkout):
    checkout.start()
    assert count(checkout) == ("this is a python-consul-redis demo", 1)
    assert log_in(checkout)
    password = checkout.shown("Admin")
    edit(checkout.consul_url, show_message="edited")
    edited = document(checkout)
    checkout.interrupt()
    assert re.search("^==> Stopping$(.|\n)*^==> Deregistering the service$", checkout.log(), re.MULTILINE)

    checkout.start()
    assert count(checkout) == ("edited", 2)
    assert document(checkout) == edited
    assert checkout.shown("Admin") == password
    assert log_in(checkout)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ways_of_ending_it_deregister_and_leave_no_process(checkout, number):
    checkout.start()
    checkout.signal_group(number)
    assert "==> Deregistering the service" in checkout.log()
    assert "could not" not in checkout.log()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
def test_a_run_that_is_killed_takes_its_servers_with_it(checkout):
    checkout.start()
    (script,) = [process for process in checkout.processes() if "deploy/local/run.py" in process.cmdline()]
    script.kill()
    checkout.wait_gone()


class Terminal:
    """A real terminal in which `make run` is typed."""

    def __init__(self, checkout):
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(  # noqa: S603 (our own command)
            checkout.command,
            cwd=checkout.root,
            env=checkout.environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.text = b""
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: b"\n  Stop " in self.text, bound=60, message="the four lines")

    def _read(self):
        """Must not block in `read`: a terminal that is being read stays open even when it is closed."""
        while not self._closing.is_set():
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._master, 4096)
                except OSError:
                    return

    def type(self, keys):
        os.write(self._master, keys)

    def close(self):
        self._closing.set()
        self._reader.join()
        os.close(self._master)

    def wait(self):
        return self._process.wait(30)


def test_ctrl_c_in_a_terminal_stops_everything_in_order(checkout):
    terminal = Terminal(checkout)
    terminal.type(b"\x03")
    terminal.wait()
    wait_until(lambda: not checkout.processes(), message="the end of all processes")
    assert b"==> Deregistering the service" in terminal.text
    assert b"could not" not in terminal.text
    terminal.close()


def test_a_terminal_that_is_closed_stops_everything(checkout):
    terminal = Terminal(checkout)
    terminal.close()
    terminal.wait()
    wait_until(lambda: not checkout.processes(), message="the end of all processes")


def test_taken_ports_lead_to_others_and_that_is_said(checkout):
    with Occupied(checkout.consul_port), Occupied(checkout.redis_port), Occupied(checkout.site_port):
        checkout.start()
        assert count(checkout)[1] == 1
        for port in (checkout.consul_port, checkout.redis_port, checkout.site_port):
            assert f"==> Port {port} is taken: " in checkout.log()
        moved = json.loads(document(checkout))["redis_config"]["redis_port"]
        assert moved != checkout.redis_port
        checkout.interrupt()
    checkout.start()  # Consul is at its default again; the document still names the Redis that was moved
    assert count(checkout)[1] == 2
    assert json.loads(document(checkout))["redis_config"]["redis_port"] == moved


def test_the_port_of_an_existing_document_is_not_changed_when_it_is_taken(checkout):
    checkout.start()
    assert count(checkout)[1] == 1
    before = document(checkout)
    checkout.interrupt()
    with Occupied(checkout.redis_port):
        checkout.start()
        assert document(checkout) == before
        assert requests.get(checkout.shown("Page"), timeout=10).status_code == 503
        instead = int(re.search(r"Set redis_config.redis_port to (\d+) at http://127", checkout.log())[1])
        edit(checkout.consul_url, redis_config={"redis_port": instead})
        wait_until(lambda: requests.get(checkout.shown("Page"), timeout=10).ok, message="the page to count again")
        assert count(checkout)[1] > 1


def test_servers_that_run_already_are_used_and_left_alone(checkout):
    with ConsulServer() as consul, RedisServer(PASSWORD) as redis:
        checkout.replace("deploy/local/consul_server.py", str(checkout.consul_port), str(consul.http_port))
        checkout.replace("deploy/local/document.json", str(checkout.redis_port), str(redis.port))
        checkout.start()
        assert f"Using the Consul that runs at {consul.url}" in checkout.log()
        assert f"Using the Redis that runs at 127.0.0.1:{redis.port}" in checkout.log()
        assert count(checkout)[1] == redis.hits() == 1
        assert consul.catalog(identity.NAME)
        checkout.interrupt()
        assert consul.running
        assert redis.running
        assert not consul.catalog(identity.NAME)
        assert consul.get(identity.KEY)


def test_a_redis_with_another_password_is_left_alone(checkout):
    with RedisServer("another") as redis:
        checkout.replace("deploy/local/document.json", str(checkout.redis_port), str(redis.port))
        checkout.start()
        assert f"Port {redis.port} is taken: Redis uses port" in checkout.log()
        assert count(checkout)[1] == 1
        assert redis.hits() == 0


def test_redis_is_started_as_an_edited_document_says(checkout):
    checkout.start()
    awkward = '"; \\ $HOME # é'
    edit(checkout.consul_url, redis_config={"redis_password": awkward, "redis_db": 20})
    checkout.interrupt()
    checkout.start()
    assert count(checkout)[1] == 1  # another database


def test_a_broken_document_can_be_corrected_while_it_waits(checkout):
    checkout.start()
    good = document(checkout)
    url = checkout.consul_url
    requests.put(url + KEY, data=good.replace(b'"redis_db": 0', b'"redis_db": "zero"'), timeout=10)
    checkout.interrupt()
    checkout.begin().wait_log("Correct the document at")
    assert "redis_config.redis_db" in checkout.log()
    requests.put(url + KEY, data=good, timeout=10)
    checkout.wait_log("\n  Stop ")
    assert count(checkout)[1] == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("deploy/local/consul_server.py", '"-server",', '"-no-such-option",', "Consul did not start"),
        ("deploy/local/redis_server.py", '"appendonly yes",', '"no-such-option yes",', "Redis did not start"),
        ("manage.py", "import os", "import no_such_module", "`manage.py migrate` ended with status 1"),
    ],
)
def test_a_step_that_fails_is_told_and_leaves_no_process(checkout, name, old, new, reason):
    checkout.replace(name, old, new)
    checkout.begin()
    assert checkout.wait(60) == 2  # make's own status for a command that failed
    assert f"==> FAILED: {reason}" in checkout.log()
    assert re.search("no-such-option|no_such_module", checkout.log())
    assert not checkout.processes()


def test_the_admins_own_password_is_not_taken_for_the_kept_one(checkout):
    checkout.start()
    checkout.interrupt()
    (checkout.local / "admin-password").unlink()
    checkout.start()
    assert checkout.shown("Admin").endswith("user admin, with the password that you gave it")
    assert not (checkout.local / "admin-password").exists()

"""Shared servers, and a check over all tests that no secret leaks from the site.

`consul` and `redis` run once for the whole session and are emptied for each test; a test that breaks a server takes
one of its own (`own_consul`, `own_redis`). Nothing here is skipped: a part that is missing is an error.
"""

import contextlib
import signal
import uuid

import pytest

from demo_site import identity
from tests.support.admin import start_admin
from tests.support.browser import Browser
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.every_redis import put
from tests.support.haproxy import HAProxy
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD, LEAKED, Leak
from tests.support.site import Site
from tests.support.waiting import wait_until
from tests.support.workers import Workers

# What starts a browser or an instance of the site. `make quick` leaves the tests out that use one of these.
COSTLY = {"session_browser", "session_admin", "new_site"}


def pytest_collection_modifyitems(items):
    """Other tests that take two seconds or more carry the mark where they stand."""
    for item in items:
        if not COSTLY.isdisjoint(item.fixturenames):
            item.add_marker("slow")


@pytest.fixture(scope="session", autouse=True)
def _ended_from_outside():
    """SIGTERM stops the servers too, as Ctrl-C does.

    Tests that run in the background may ignore SIGINT and SIGHUP, and their child processes would inherit that.
    """
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, default)
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(autouse=True)
def _no_secret_leaks():
    """Fail the test in which a secret appeared where it must not."""
    known = len(GUARD.leaks)
    yield
    new = GUARD.leaks[known:]
    assert not new, "\n".join(map(str, new))


def pytest_runtest_logreport(report):
    """What the site's code logged or printed in this process is checked as well."""
    for title, content in report.sections:
        GUARD.check(content, f"{report.nodeid}, {title}")


def pytest_sessionfinish(session):
    if GUARD.leaks:
        session.exitstatus = LEAKED
    if hasattr(session.config, "workeroutput"):  # pytest-xdist: what this process found goes to the one that reports
        session.config.workeroutput["leaks"] = [(leak.label, leak.place) for leak in GUARD.leaks]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    GUARD.leaks += [Leak(*found) for found in getattr(node, "workeroutput", {}).get("leaks", ())]


def pytest_terminal_summary(terminalreporter):
    for leak in GUARD.leaks:
        terminalreporter.write_line(f"LEAK: {leak}", red=True)


@pytest.fixture(scope="session")
def session_consul():
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="session")
def session_redis():
    with RedisServer(GUARD.new("Redis password", separator="@:/%,#é")) as server:
        yield server


@pytest.fixture
def consul(session_consul):
    """The shared Consul, without services."""
    assert session_consul.running, session_consul.log()[-4000:]
    yield session_consul
    session_consul.deregister_all()


@pytest.fixture
def redis(session_redis):
    """The shared Redis, with password and empty, and empty again: what the next site finds there must count."""
    for turn in ("before", "after"):
        with session_redis.client() as client:
            client.flushall()
        if turn == "before":
            yield session_redis


@pytest.fixture
def own_consul():
    """A Consul of this test alone, to stop, pause and restart."""
    with ConsulServer() as server:
        yield server


@pytest.fixture
def own_redis():
    """A Redis of this test alone, to stop, pause and restart."""
    with RedisServer(GUARD.new("Redis password")) as server:
        yield server


@pytest.fixture
def config_key():
    """A Consul key that no other test uses."""
    return f"{identity.KEY}-{uuid.uuid4()}"


@pytest.fixture
def environment(consul, redis, config_key):
    """The variables of a site that counts in `redis`, as its document at `config_key` in `consul` says."""
    consul.put(config_key, document(redis))
    return {"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}


@pytest.fixture(scope="session")
def session_site(session_consul, session_redis):
    """A site under gunicorn with two workers, for tests that only send requests."""
    session_consul.put(identity.KEY, document(session_redis))
    with Site({"CONSUL_HTTP_ADDR": session_consul.address}) as site:
        yield site.gunicorn(workers=2)


@pytest.fixture
def new_site():
    """Make instances of the site; all are ended with the test."""
    sites = []

    def make(environment=None, **options):
        sites.append(Site(environment, **options))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


@pytest.fixture
def new_proxy():
    """Make proxies; all are closed with the test."""
    proxies = []

    def make(target_port, **options):
        proxies.append(Proxy(target_port, **options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.refuse()


@pytest.fixture
def new_haproxy():
    """Make HAProxies; all are ended with the test."""
    made = []

    def make(consul_server, **options):
        made.append(HAProxy(consul_server, **options))
        return made[-1]

    yield make
    for haproxy in made:
        haproxy.close()


@pytest.fixture(scope="session")
def session_browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(session_browser):
    """The shared Chromium, without the cookies of other tests."""
    return session_browser.fresh()


@pytest.fixture(scope="session")
def session_admin(session_consul, session_redis):
    """A site with the users of `support.admin.RIGHTS`, and Consul behind a proxy of its own."""
    with (
        Proxy(session_consul.http_port) as proxy,
        start_admin(session_consul, session_redis, "admin-config", CONSUL_HTTP_ADDR=proxy.address) as site,
    ):
        site.proxy = proxy
        yield site.gunicorn(workers=2)


@pytest.fixture
def admin(session_admin, consul, redis):
    """The shared site for the admin's tests, with a fresh document and no history."""
    session_admin.proxy.pass_through()
    consul.delete(f"{session_admin.key}.history?recurse")
    consul.put(session_admin.key, document(redis))
    wait_until(lambda: session_admin.runs(consul.index(session_admin.key)), message="both workers to follow")
    yield session_admin
    session_admin.proxy.pass_through()


@pytest.fixture
def workers_of():
    """A connection to each worker of a site, by pid."""
    with contextlib.ExitStack() as stack:
        yield lambda site, count: stack.enter_context(contextlib.closing(Workers(site, count))).find()


@pytest.fixture
def serve(consul, config_key, new_site):
    """Start a site of two workers on a `redis_config`."""

    def start(redis_config, workers=2, **variables):
        put(consul, config_key, redis_config)
        environment = {"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key, **variables}
        return new_site(environment).gunicorn("--keep-alive", "600", workers=workers)

    return start

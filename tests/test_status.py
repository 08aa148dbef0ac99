"""The four cards on top of the admin's overview: the state, since when, and what to do."""

import html
import re
import socket
import time
from datetime import UTC, datetime

import pytest
import requests

from demo_site import identity
from demo_site.admin import links
from tests.support.admin import PATH, start_admin
from tests.support.documents import document
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow
ANY = "0.0.0.0"  # noqa: S104 (what is under test)


class Cards:
    """The cards as one user's page shows them, whichever worker answers."""

    def __init__(self, site):
        self.site, self._cookies = site, site.session("viewer").cookies

    def __getitem__(self, what):
        page = requests.get(f"{self.site.url}{PATH}status/", cookies=self._cookies, timeout=30).text
        return re.search(rf'<li class="(\w+)" data-status="{what}">(.*?)</li>', page, re.DOTALL)

    def level(self, what):
        return self[what][1]

    def text(self, what):
        return re.sub(r"<[^>]+>|\s+", " ", self[what][2])

    def since(self, what):
        return datetime.fromisoformat(re.search(r'datetime="([^"]+)"', self[what][2])[1])

    def wait(self, what, level):
        wait_until(lambda: self.level(what) == level, message=f"{what} to be {level}", interval=0.2)


@pytest.fixture(scope="module")
def redis_proxy(session_redis):
    with Proxy(session_redis.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def module_site(session_consul, session_redis, redis_proxy):
    key = "status-config"
    with (
        Proxy(session_consul.http_port) as proxy,
        start_admin(session_consul, session_redis, key, CONSUL_HTTP_ADDR=proxy.address) as site,
    ):
        site.proxy = proxy
        site.document = document(session_redis)
        site.document["redis_config"]["redis_port"] = redis_proxy.port
        session_consul.put(key, site.document)
        yield site.gunicorn(workers=2)


@pytest.fixture
def cards(module_site, redis_proxy, session_consul):
    session_consul.put(module_site.key, module_site.document)
    wait_until(lambda: module_site.runs(session_consul.index(module_site.key)), message="the document in force")
    wait_until(lambda: _states(module_site) == {"current"}, message="both watches to have contact")
    yield Cards(module_site)
    for proxy in (module_site.proxy, redis_proxy):
        proxy.pass_through()
        proxy.cut()


def _states(site):
    """The states that the workers report, each asked many times."""
    answers = (site.get("/readyz", headers={"Connection": "close"}).json() for _ in range(20))
    return {answer["config"]["state"] for answer in answers}


def second():
    """Now, as exact as the page is."""
    return datetime.now(UTC).replace(microsecond=0)


def test_redis_is_out_of_reach_since_a_check_first_saw_it_not_since_somebody_looked(cards, module_site, redis_proxy):
    cards.wait("redis", "good")
    before = second()
    redis_proxy.refuse()
    wait_until(lambda: module_site.get("/readyz").status_code == 503, message="the check to fail")
    failed = second()
    time.sleep(2.1)  # until the page can tell the two moments apart
    assert cards.level("redis") == "bad"
    assert before <= cards.since("redis") <= failed
    assert len({cards.since("redis") for _ in range(10)}) == 1
    assert "observed since" in cards.text("redis")
    assert "Pages answer 503 until it is mended" in cards.text("redis")


def test_consul_is_out_of_reach_since_the_watch_lost_it(cards, module_site):
    cards.wait("consul", "good")
    before = second()
    module_site.proxy.refuse()
    wait_until(lambda: module_site.ready()["config"]["state"] == "stale", message="the watch to lose contact")
    lost = second()
    time.sleep(2.1)
    assert before <= cards.since("consul") <= lost
    assert "Start Consul or check CONSUL_HTTP_ADDR" in cards.text("consul")


def test_configuration_is_current_since_its_version_was_loaded(cards, module_site, session_consul):
    time.sleep(1.1)  # a second that the version before does not share
    before = second()
    session_consul.put(module_site.key, module_site.document | {"show_message": "another"})
    wait_until(lambda: module_site.runs(session_consul.index(module_site.key)), message="the document in force")
    assert before <= cards.since("document") <= second()
    assert "seen so" not in cards.text("document")
    session_consul.put(module_site.key, b"{")
    cards.wait("document", "bad")
    assert "Correct the document or roll it back" in cards.text("document")


def test_registration_is_found_where_gunicorn_listens_on_every_address(consul, redis):
    with start_admin(consul, redis, "wildcard-config", CONSUL_REGISTER="1", SERVICE_DRAIN_SECONDS="0.2") as site:
        site.address = f"{ANY}:{site.port}"
        cards = Cards(site.gunicorn())
        cards.wait("registration", "good")
        name = f"{identity.NAME}-{socket.gethostname()}-{site.port}"
        assert f"{name} at 127.0.0.1:{site.port}" in cards.text("registration")


def test_registration_of_runserver_is_that_of_the_port_it_serves(consul, redis):
    with start_admin(consul, redis, "runserver-config") as site:
        site.runserver("--noreload")
        # It closes connections at will, maybe as the next request is on its way.
        cards = wait_until(lambda: Cards(site), message="the login", ignoring=(requests.ConnectionError,))
        name = f"{identity.NAME}-{socket.gethostname()}-{site.port}"
        wait_until(lambda: f"{name} is not registered" in cards.text("registration"), message="the id to show")
        consul.register(identity.NAME, ID=name, Address="192.0.2.7", Port=81, Check={"TTL": "10m", "Status": "passing"})
        cards.wait("registration", "good")
        assert f"{name} at 192.0.2.7:81" in cards.text("registration")


def test_a_failing_check_is_shown_with_what_it_says_and_the_way_to_consul(module_site, consul, redis):
    cards, name = Cards(module_site), f"{identity.NAME}-{socket.gethostname()}-{module_site.port}"
    check = {"CheckID": "by-hand", "TTL": "10m", "Status": "critical"}
    consul.register(identity.NAME, ID=name, Address="192.0.2.7", Port=81, Check=check)
    said = {"Status": "critical", "Output": f"it said <no> to {redis.password}"}
    assert consul.api("PUT", "/v1/agent/check/update/by-hand", json=said).ok
    try:
        cards.wait("registration", "bad")
        shown = html.unescape(cards.text("registration"))
        assert "What the check says: it said <no> to" in shown
        assert redis.password not in shown
        assert '/ui/" rel="noreferrer"' in cards["registration"][2]
    finally:
        assert consul.api("PUT", f"/v1/agent/service/deregister/{name}").ok


@pytest.mark.parametrize(
    ("agent", "visited", "shown"),
    [
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "shop.example", False),
        ("::1", "[::1]:8000", True),
        ("consul.internal", "shop.example:443", True),
    ],
)
def test_an_address_is_linked_where_the_visitor_can_reach_it(agent, visited, shown):
    assert links.reach(agent, visited) is shown

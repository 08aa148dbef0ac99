"""docs/policies.md, exactly as it stands there, on a Consul with ACLs that deny, HTTPS and client certificates.

Each part works with its own policy; where a rule is missing, it names the right. `make soak` takes each right away from
the whole (tests/soak/test_soak_policies.py).
"""

import collections
import contextlib
import json
import re
import signal
import threading

import pytest
import requests

from demo_site import identity
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.document.model import RedisConfig
from demo_site.redis_cache.finder import Finder
from demo_site.redis_cache.servers import NotFound
from tests.support.binaries import PROJECT
from tests.support.certificates import make_certificates
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.policies import (
    AGENT,
    DNS,
    EDIT,
    ON_TOP,
    PARTS,
    POLICIES,
    PROMETHEUS,
    RULES,
    START,
    Datacenter,
    Trials,
    guarded_site,
    right,
)
from tests.support.readme import section
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def datacenter(certificates, session_redis):
    with contextlib.ExitStack() as stack:
        yield Datacenter(certificates, session_redis, stack)


@pytest.fixture(scope="module")
def whole(datacenter):
    """A running site that registers and publishes itself, with the policies of all parts."""
    return datacenter.whole()


@pytest.fixture(scope="module")
def edited(datacenter):
    """A running site with users, whose token may change."""
    return datacenter.site(datacenter.token(START, EDIT)).prepare().gunicorn()


@pytest.fixture(scope="module")
def trials(datacenter, whole, edited):
    return Trials(datacenter, whole, edited)


def test_the_page_has_a_policy_for_each_part_and_each_rule_names_one_right():
    assert set(POLICIES) == {*PARTS, AGENT, DNS, PROMETHEUS}
    rights = {right(rule) for rules in POLICIES.values() for rule in rules}
    assert rights == {f"{kind}:{way}" for kind in ("key", "service", "node") for way in ("read", "write")} | {
        "session:write"
    }


@pytest.mark.parametrize("part", PARTS)
def test_each_part_works_with_its_own_policy(datacenter, trials, part):
    parts = (START, part) if part in ON_TOP else (part,)
    assert trials.complaint(part, datacenter.token(*parts)) == ""


@pytest.mark.parametrize(("part", "rule"), RULES, ids=[f"{part}-{right(rule)}" for part, rule in RULES])
def test_each_part_names_the_right_that_it_lacks(datacenter, trials, part, rule):
    left = [each for each in POLICIES[part] if each != rule]
    left += POLICIES[START] if part in ON_TOP else []
    complaint = trials.complaint(part, datacenter.server.token("\n".join(left)))
    assert right(rule) in complaint
    assert "Traceback" not in complaint


def test_prometheus_finds_the_instances_with_both_rules_and_not_with_one(datacenter, whole):
    def found(*rules):
        header = {"X-Consul-Token": datacenter.server.token("\n".join(rules))}
        return requests.get(
            f"{datacenter.server.url}/v1/health/service/{identity.NAME}", headers=header, timeout=10
        ).json()

    rules = POLICIES[PROMETHEUS]
    assert len(found(*rules)) == 1
    assert [found(rule) for rule in rules] == [[], []]


def test_a_redis_in_the_catalog_is_found_with_both_rules_of_the_page_and_not_with_one(datacenter):
    page = section((PROJECT / "docs/policies.md").read_text(), START)
    rules = re.findall(r'`(\w+ "[^`]*" { policy = "read" })`', page)
    assert [right(rule) for rule in rules] == ["service:read", "node:read"]
    definition = {"ID": "redis-1", "Name": "redis-main", "Address": "127.0.0.1", "Port": 6379}
    assert datacenter.server.api("PUT", "/v1/agent/service/register", json=definition).ok

    def found(*rules):
        variables = {
            **datacenter.agent.https_environment,
            "CONSUL_HTTP_TOKEN": datacenter.server.token("\n".join(rules)),
        }
        finder = Finder(lambda: Client(AgentAddress.from_environ(variables)), PROJECT)
        with contextlib.closing(finder.seeker(RedisConfig(redis_service="redis-main", redis_db=0))) as seeker:
            return [str(server) for server in seeker.servers()]

    assert found(*rules) == ["127.0.0.1:6379"]
    for rule in rules:
        with pytest.raises(NotFound, match=r"^Consul shows this token no passing instance of service redis-main$"):
            found(rule)


def test_site_with_all_policies_is_found_through_dns_and_says_of_nothing_that_it_is_denied(datacenter, whole):
    wait_until(lambda: datacenter.services() == [whole.port], message="the service in DNS")
    assert "denied" not in whole.log().lower()
    assert whole.get().status_code == 200


def test_an_edit_is_followed_and_rolled_back(datacenter, edited, session_redis):
    edited.token_file.write_text(datacenter.token(START, EDIT))
    editor, before = Editor(edited, "keeper"), json.loads(datacenter.server.get(identity.KEY))
    page = editor.post(editor.form() | {"show_message": "changed by the editor", "comment": "a reason"})
    assert "Saved as version" in page
    wait_until(lambda: "changed by the editor" in edited.get(headers={"Accept": "text/plain"}).text)
    assert "a reason" in editor.history()
    path = re.search(r'href="([^"]+/rollback/)"', editor.history())[1]
    editor.roll_back(path, "back again")
    assert json.loads(datacenter.server.get(identity.KEY)) == before


def test_keep_registers_and_deregisters(datacenter):
    token = datacenter.token("Register, keep and deregister", START)
    keeper = datacenter.site(token).background("consul_register", "--keep", "--id", "kept", "--port", "1")
    wait_until(lambda: "kept" in {each["ServiceID"] for each in datacenter.server.catalog(identity.NAME)})
    keeper.process.send_signal(signal.SIGTERM)
    keeper.wait(30)
    assert "kept: deregistered." in keeper.log()


def test_an_agent_without_its_right_says_so_in_its_log(datacenter, certificates):
    with contextlib.ExitStack() as stack:
        agent = datacenter.new_agent(certificates, [], stack)
        wait_until(lambda: "blocked by ACLs" in agent.log() or "ermission denied" in agent.log(), bound=60)
    assert "blocked by ACLs" not in datacenter.agent.log()


# Another token while the site runs.


class Visitors:
    """Clients that load `/` until they are told to stop, and what they were answered."""

    def __init__(self, site, count=4):
        self.statuses, self._stop = collections.Counter(), threading.Event()
        self._threads = [threading.Thread(target=self._load, args=(site.url,)) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _load(self, url):
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                self.statuses[session.get(f"{url}/", timeout=30).status_code] += 1


@pytest.fixture
def rotated(certificates, session_redis):
    """A Consul that knows at once when a token is deleted, and a site with two workers that is registered there."""
    with ConsulServer(acl=True, certificates=certificates) as consul:
        consul.put(identity.KEY, document(session_redis, "first"))
        first = token_of(consul)
        variables = {"CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0", "SERVICE_CHECK_INTERVAL": "1s"}
        with guarded_site(consul, first, **variables) as site:
            site.gunicorn(workers=2)
            consul.wait_registered(identity.NAME, passing=True)
            yield consul, site, first


def token_of(consul):
    return consul.token(*("\n".join(POLICIES[part]) for part in PARTS))


def put_and_follow(consul, site, redis, message):
    """Put a document, and wait until both workers have it in force."""
    consul.put(identity.KEY, document(redis, message))
    index = consul.index(identity.KEY)
    wait_until(lambda: site.runs(index), bound=60, message=f"both workers with {message!r}\n{site.log()[-2000:]}")


def test_a_token_is_replaced_under_load_without_a_failed_page(rotated, session_redis):
    consul, site, first = rotated
    with Visitors(site) as visitors:
        second = token_of(consul)
        put_file(site.token_file, second)
        consul.revoke(first)
        put_and_follow(consul, site, session_redis, "second")
        for trouble in ("", None):  # an empty file, and none
            put_file(site.token_file, trouble)
            consul.put(identity.KEY, document(session_redis, f"unseen {trouble}"))
            wait_until(lambda: site.ready()["config"]["state"] == "stale", bound=60, message="the stale state")
            assert "`key:read`" in site.log()
            put_file(site.token_file, second)
            put_and_follow(consul, site, session_redis, f"after {trouble}")
    assert set(visitors.statuses) == {200}
    assert visitors.statuses.total() > 100
    assert "Traceback" not in site.log()  # which is also searched for the tokens


def put_file(path, text):
    """Replace the file in one step, or remove it."""
    if text is None:
        path.unlink()
        return
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)


def test_a_registration_follows_the_token(rotated):
    """The agent updates the catalog with the token that registered the service: with a deleted one it no longer can."""
    consul, site, first = rotated
    put_file(site.token_file, token_of(consul))
    wait_until(lambda: site.log().count("Registered ") == 2, message="a registration with the new token")
    consul.revoke(first)
    assert site.stop() == 0
    wait_until(lambda: consul.catalog(identity.NAME) == [], message="the catalog without it")

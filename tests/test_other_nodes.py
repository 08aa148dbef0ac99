"""An entry belongs to the agent that it was made at: what happens when the address leads to another one."""

import itertools
import json
import logging
import time
from types import SimpleNamespace

import pytest

from demo_site import metrics
from demo_site.consul_agent import catalog
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.environment import Environment
from demo_site.identity import NAME
from demo_site.metrics.families import text
from demo_site.monitoring import checks
from demo_site.registration import keep
from demo_site.registration.definition import define
from demo_site.registration.keep import Keeper
from tests.support.consul import ConsulServer
from tests.support.documents import SMALLEST
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DEFINITION = define(Environment({"SERVICE_ID": "one", "SERVICE_PORT": "1"}), timeout="100ms")


@pytest.fixture(scope="module")
def server():
    with ConsulServer() as started:
        yield started


@pytest.fixture(scope="module")
def agents(server):
    """Two client agents of one datacenter."""
    with ConsulServer(joins=server) as first, ConsulServer(joins=server) as second:
        yield first, second


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, caplog):
    monkeypatch.setattr(keep, "SETTLED_SECONDS", 0)
    monkeypatch.setattr(keep, "REMOVE_SECONDS", 0)
    caplog.set_level(logging.INFO, "demo_site")


@pytest.fixture
def switch(server, agents, new_proxy):
    """What CONSUL_HTTP_ADDR names: it leads to the first agent, until it is switched."""
    yield new_proxy(agents[0].http_port)
    for agent in agents:
        agent.deregister_all()
    wait_until(lambda: nodes(server) == set(), message="no entry to stay")


class Balancer(Proxy):
    """Leads each connection to the next of these agents."""

    def __init__(self, agents):
        self._turns = itertools.cycle(agent.http_port for agent in agents)
        super().__init__(0)

    @property
    def target_port(self):
        return next(self._turns)

    @target_port.setter
    def target_port(self, _port):
        pass


def keeper_through(agent):
    """A keeper of the agent, or of what leads to one."""
    return Keeper(Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": agent.address})), DEFINITION)


def nodes(server):
    """The nodes with an entry of this id."""
    return {entry["Node"]["Node"] for entry in server.health(NAME) if entry["Service"]["ID"] == "one"}


def step_until(steps, condition, message):
    """Let the keeper go on until this is so."""

    def is_so():
        next(steps)
        return condition()

    wait_until(is_so, 30, message, interval=0.1)


def lead_to(proxy, agent):
    proxy.target_port = agent.http_port
    proxy.cut()


def counted():
    lines = text(metrics.OTHER_NODES).splitlines()[2:]
    return float(lines[0].split()[-1]) if lines else None


def leave(keeper):
    for pause in keeper.leave():
        time.sleep(pause)


def test_entry_at_an_agent_that_the_address_no_longer_leads_to_is_told_until_that_agent_fails(
    server, agents, switch, caplog
):
    second = agents[1]
    with ConsulServer(joins=server) as first:
        lead_to(switch, first)
        keeper = keeper_through(switch)
        steps = keeper.steps()
        step_until(steps, lambda: nodes(server) == {first.node} and counted() == 0, "the registration")
        lead_to(switch, second)
        step_until(steps, lambda: counted() == 1, "the other one to be counted")
        assert nodes(server) == {first.node, second.node}
        for _ in range(3):
            next(steps)
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"leads to the agent of node {second.node} now; one was registered on node {first.node}" in told[0]
    assert f"one has an entry on another node, {first.node}, at 127.0.0.1:1. " in told[1]
    assert "run `consul services deregister -id=one` there" in told[1]
    assert len(told) == 2, "each is told once"
    step_until(steps, lambda: nodes(server) == {second.node} and counted() == 0, "the entry to be removed")
    assert f"Removed the entry of one that was left on node {first.node}" in caplog.text
    leave(keeper)
    assert counted() is None


def test_balancer_between_agents_leaves_one_entry(server, agents, switch, caplog):
    """The keeper stays on its connection, and reaches the other agent by another one."""
    with Balancer(agents) as balancer:
        keeper = keeper_through(balancer)
        steps = keeper.steps()
        step_until(steps, lambda: counted() == 0, "the registration")
        [before] = nodes(server)
        balancer.cut()
        step_until(steps, lambda: nodes(server) not in ({before}, set()), "the other agent to be asked")
        step_until(steps, lambda: counted() == 0 and len(nodes(server)) == 1, "one entry")
        assert "Removed the entry of one" in caplog.text
        balancer.cut()  # the end finds an agent that has none
        leave(keeper)
        wait_until(lambda: nodes(server) == set(), message="no entry to stay")


def test_another_instance_with_the_same_id_is_told_and_stays(server, agents, switch, caplog):
    second = agents[1]
    second.register(NAME, ID="one", Address="10.0.0.9", Port=8000)
    keeper = keeper_through(switch)
    step_until(keeper.steps(), lambda: counted() == 1, "the other one to be counted")
    assert f"one has an entry on another node, {second.node}, at 10.0.0.9:8000" in caplog.text
    assert "give each its own SERVICE_ID" in caplog.text
    leave(keeper)
    assert nodes(server) == {second.node}


@pytest.fixture
def client(agents):
    with Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": agents[0].address})) as opened:
        yield opened


def line_of(client):
    live = SimpleNamespace(start=SimpleNamespace(environment=Environment({"SERVICE_ID": "one"})))
    return checks._registration(live, client)


def test_admin_names_the_node_of_each_entry(server, agents, switch, client):
    first, second = agents
    assert "nobody finds it by name" in line_of(client).text
    second.register(NAME, ID="one", Address="10.0.0.9", Port=8000)
    wait_until(lambda: nodes(server) == {second.node})
    entry = f"one has an entry on another node, {second.node}, at 10.0.0.9:8000"
    line = line_of(client)
    assert (line.level, line.text) == ("note", f"one is not registered with this agent; {entry}")
    assert "leads to another agent than the one that it was registered with" in line.remedy
    check = {"TTL": "10m", "Status": "passing"}
    for status, level in (("passing", "note"), ("critical", "bad")):
        first.deregister_all()  # a check that is there keeps its status
        first.register(NAME, ID="one", Port=8000, Check=check | {"Status": status})
        line = line_of(client)
        assert line.level == level
        assert line.text.startswith("one at ") and line.text.endswith(f"; {entry}")
        assert "give each its own SERVICE_ID" in line.remedy


def test_commands_name_the_node_of_an_entry_that_is_not_theirs(agents, switch, new_site, tmp_path):
    first, second = agents
    second.register(NAME, ID="one", Address="10.0.0.9", Port=8000)
    path = tmp_path / "document.json"
    path.write_text(json.dumps(SMALLEST))
    site = new_site({"CONSUL_HTTP_ADDR": first.address, "DEMO_CONFIG_FILE": str(path), "SERVICE_ID": "one"})
    for command in ("consul_deregister", "consul_register"):
        ended = site.command(command)
        assert ended.status == 0
        assert f"one has an entry on another node, {second.node}, at 10.0.0.9:8000. If that is another" in ended.stderr


def test_only_entries_with_the_id_are_read(server, agents, switch):
    for name in ("one", "two"):
        agents[0].register(NAME, ID=name, Port=1)
    with Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": server.address})) as client:
        [entry] = wait_until(lambda: catalog.with_id(client, NAME, "one"))
        assert (entry.node_name, entry.place, entry.agent_failed) == (agents[0].node, ("127.0.0.1", 1), False)


def test_catalog_that_cannot_be_read_makes_it_unknown_and_the_registration_too(caplog):
    with ConsulServer() as own_server, ConsulServer(joins=own_server) as agent:
        steps = keeper_through(agent).steps()
        step_until(steps, lambda: counted() == 0, "the registration")
        own_server.kill()
        step_until(steps, lambda: counted() is None, "the other nodes to be unknown")
        assert "cannot be kept" in caplog.text

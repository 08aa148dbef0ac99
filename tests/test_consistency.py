"""What is believed of a Consul server that knows no leader: nothing, except by the last try of a start."""

import base64
import json

import pytest

from demo_site.config import source
from demo_site.config.live import Live
from demo_site.consul_agent import catalog, kv, services
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.consul_agent.errors import Unreachable
from demo_site.identity import KEY
from demo_site.startup import StartupError
from tests.support.documents import document
from tests.support.following import start_from


@pytest.fixture
def leaderless(consul, new_proxy, monkeypatch):
    """Have a server without a leader answer everything with this status and these entries."""
    proxy = new_proxy(consul.http_port)
    monkeypatch.setattr(source, "START_SECONDS", 0.1)

    def answer(status="200 OK", value=None):
        entry = {"Key": KEY, "Value": base64.b64encode(value).decode(), "ModifyIndex": 7} if value else None
        proxy.answer_http(status, json.dumps(entry and [entry]), X_Consul_KnownLeader="false", X_Consul_Index="7")
        return proxy

    return answer


def client_of(proxy):
    return Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": proxy.address}))


@pytest.mark.parametrize(
    "read",
    [
        lambda client: kv.query(client, KEY, 6, 1),
        lambda client: catalog.instances(client, "redis"),
        lambda client: catalog.with_id(client, "redis", "id"),
        services.names,
    ],
)
def test_answer_without_a_leader_is_not_believed(leaderless, read):
    with client_of(leaderless(value=b"x")) as client, pytest.raises(Unreachable, match="has no leader"):
        read(client)


def test_start_takes_it_as_a_last_resort_and_says_so(leaderless, redis, tmp_path):
    proxy, path = leaderless(value=json.dumps(document(redis)).encode()), tmp_path / "snapshot.json"
    variables = {"CONSUL_HTTP_ADDR": proxy.address, "DEMO_CONFIG_KEY": KEY, "DEMO_CONFIG_SNAPSHOT": str(path)}
    live = Live(start_from(variables))
    live.serve()
    assert live.in_force.revision.index == 7
    assert live.status.state == "stale"
    assert "has no leader" in live.status.reason and "perhaps not the newest" in live.status.reason
    assert not path.exists(), "nobody confirmed that Consul has it"
    assert proxy.seen.count(b"stale") == 1


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "500 Internal Server Error"])
def test_what_it_lacks_is_not_said_to_be_missing(leaderless, status):
    """It may not have heard of the key or the token yet."""
    with pytest.raises(StartupError) as caught:
        start_from({"CONSUL_HTTP_ADDR": leaderless(status).address, "DEMO_CONFIG_KEY": KEY})
    assert caught.value.condition == ("denied" if status.startswith("403") else "unreachable")


def test_each_read_asks_for_its_consistency(consul, new_proxy, config_key):
    """docs/decisions/consistency.md has the table."""
    proxy = new_proxy(consul.http_port)
    consul.put(config_key, "x")
    with client_of(proxy) as client:
        kv.query(client, config_key)
        assert b"stale" not in proxy.seen
        catalog.instances(client, "redis")
        services.names(client)
        catalog.with_id(client, "redis", "id")
        assert proxy.seen.count(b"stale=1") == 3
        assert b"consistent" not in proxy.seen

"""`manage.py consul_services`: services and instances, their places and their health."""

import json

import pytest

from demo_site import identity
from tests.support.consul import ConsulServer

MEMBER = {
    "Name": "shop",
    "Address": "10.0.0.1",
    "Port": 8000,
    "Tags": ["blue", "eu"],
    "Meta": {"version": "1.2", "python": "3.11.7", "django": "5.2.19", "other": "x"},
}


@pytest.fixture
def operator(consul, new_site):
    """The commands only; the key is missing, so the site itself could not start."""
    return new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": "no-such-key"})


def register(consul, service_id, status="passing", **members):
    check = {"CheckID": f"{service_id}-check", "Name": "check", "TTL": "1h", "Status": status}
    body = {**MEMBER, "ID": service_id, "Check": check, **members}
    assert consul.api("PUT", "/v1/agent/service/register", json=body).ok


def listed(operator, *arguments):
    done = operator.command("consul_services", *arguments, "--format", "json")
    assert done.status == 0, done.stderr
    return json.loads(done.stdout)


def test_services_with_their_tags(operator, consul):
    register(consul, "shop-1")
    register(consul, "shop-2", Tags=["green"])
    [shop] = [row for row in listed(operator) if row["service"] == "shop"]
    assert shop == {"service": "shop", "tags": ["blue", "eu", "green"]}


def test_instances_of_one_service(operator, consul):
    register(consul, "shop-2", "critical", Address="2001:db8::1")
    register(consul, "shop-1")
    first, second = listed(operator, "shop")
    versions = {"version": "1.2", "python": "3.11.7", "django": "5.2.19"}
    common = {"port": 8000, "tags": ["blue", "eu"], "versions": versions}
    assert first == {"id": "shop-1", "address": "10.0.0.1", "health": "passing", **common}
    assert second == {"id": "shop-2", "address": "2001:db8::1", "health": "critical", **common}


def test_instance_without_an_address_is_at_its_node(operator, consul):
    register(consul, "shop-1", Address="", Meta={})
    [row] = listed(operator, "shop")
    assert (row["address"], row["versions"]) == ("127.0.0.1", {})


def test_maintenance_is_told_from_a_failure(operator, consul):
    register(consul, "shop-1")
    consul.api("PUT", "/v1/agent/service/maintenance/shop-1?enable=true&reason=disk")
    assert listed(operator, "shop")[0]["health"] == "maintenance"


def test_pipe_gets_a_line_for_each_instance(operator, consul):
    register(consul, "shop-" + "x" * 80, Tags=[f"a-long-tag-{n}" for n in range(20)])
    heading, line = operator.command("consul_services", "shop").stdout.splitlines()
    assert heading.split() == ["ID", "ADDRESS", "PORT", "HEALTH", "TAGS", "VERSIONS"]
    assert "a-long-tag-19" in line


def test_unknown_service_is_missing(operator, consul):
    done = operator.command("consul_services", "nothing-here")
    assert (done.status, done.stdout) == (66, "")
    assert "nothing-here" in done.stderr


def test_consul_out_of_reach(operator):
    done = operator.command("consul_services", CONSUL_HTTP_ADDR="127.0.0.1:1")
    assert done.status == 69
    assert "127.0.0.1:1" in done.stderr


def test_token_that_may_not_see_it(new_site):
    with ConsulServer(acl=True) as consul:
        site = new_site({"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_TOKEN": consul.token("")})
        done = site.command("consul_services", identity.NAME)
    assert done.status in (66, 77), "Consul filters what a token may not see, or says so"
    assert "Traceback" not in done.stderr


def test_what_others_registered_is_text_for_the_terminal_and_nothing_to_obey(consul, operator):
    """Tags, addresses and versions are whatever another program says."""
    evil = "\x1b[2J\x9b31m\u202egnp.exe\x07"
    consul.register("evil", Tags=[evil], Address=f"host{evil}", Meta={"version": evil})
    for arguments in ((), ("evil",), ("--format", "json"), ("evil", "--format", "json")):
        shown = operator.command("consul_services", *arguments).stdout
        assert "gnp.exe" in shown
        assert all(c.isprintable() or c == "\n" for c in shown), arguments
    (row,) = json.loads(operator.command("consul_services", "evil", "--format", "json").stdout)
    assert row["tags"] == [" [2J 31m gnp.exe "]

"""What the probe finds in every kind of Redis, by member and in our own words."""

import contextlib
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.exceptions import ConnectionError as RedisConnectionError

from demo_site.consul_agent import catalog
from demo_site.document.model import RedisConfig
from demo_site.redis_cache import probe
from demo_site.redis_cache.client import open_client
from demo_site.redis_cache.finder import Finder
from demo_site.redis_cache.lazy import LazyClient
from demo_site.redis_cache.pool import LostAtOnce
from demo_site.redis_cache.servers import Server
from tests.support.certificates import make_certificates
from tests.support.peers import Peer
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD


def config_of(given):
    secret = given.get("redis_password")
    return RedisConfig(**given | {"redis_password": secret and SecretStr(secret)})


def faults(given, finder=None):
    """By member: what is wrong."""
    return {path: str(problem) for path, problem in probe.faults(config_of(given), finder)}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_redis(certificates):
    with RedisServer(GUARD.new("Redis password"), certificates=certificates) as server:
        yield server


@pytest.fixture(scope="module")
def mutual_redis(certificates):
    with RedisServer(certificates=certificates, mutual_tls=True) as server:
        yield server


def found(server, member, words, **members):
    """What the probe says of this server: one fault, at this member, with these words and with nothing changed."""
    return_value = faults(server.document(**members))
    assert list(return_value) == [member], return_value
    assert words in return_value[member]
    return return_value[member]


# What counts, and what the probe leaves behind.


def test_a_usable_redis_passes_and_its_number_stays(own_redis):
    with own_redis.client() as client:
        assert faults(own_redis.document()) == {}
        assert client.get("hits") == "0"
        client.set("hits", 41)
        assert faults(own_redis.document()) == {}
        assert client.get("hits") == "41"
        assert client.keys() == ["hits"]


def test_a_user_needs_the_documented_rule_and_no_more(own_redis):
    password = GUARD.new("password of a user")
    member = {"redis_username": "counting", "redis_password": password}
    own_redis.set_user("counting", password, "~hits", "+@connection", "+incr", "+incrby")
    assert faults(own_redis.document(**member)) == {}
    for rules in (("~hits", "+@connection", "+incr"), ("~other", "+@connection", "+incr", "+incrby")):
        own_redis.set_user("counting", password, *rules)
        text = found(own_redis, "redis_username", "does not let this user count", **member)
        assert "ACL SETUSER NAME ~hits +@connection +incr +incrby" in text
    found(own_redis, "redis_password", "refuses the password", **member | {"redis_username": "nobody"})


# What does not count.


def test_a_replica_is_told(own_redis, redis):
    own_redis.make_replica_of(redis)
    found(own_redis, "redis_host", "is a read-only replica")
    own_redis.promote()
    assert faults(own_redis.document()) == {}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("LPUSH", "hits", "a"), "has something other than a number at `hits`"),
        (("SET", "hits", "many"), "has something other than a number at `hits`"),
        (("SET", "hits", 2**63 - 1), "has no number left for `hits`"),
    ],
    ids=["list", "text", "largest"],
)
def test_a_key_that_cannot_grow_is_told(own_redis, command, words):
    with own_redis.client() as client:
        client.execute_command(*command)
        found(own_redis, "", words)
        client.delete("hits")
    assert faults(own_redis.document()) == {}


def test_full_memory_and_failing_saves_are_told(own_redis):
    with own_redis.full_memory():
        found(own_redis, "", "has no memory left")
    with own_redis.failing_saves():
        found(own_redis, "", "cannot save its data")
    assert faults(own_redis.document()) == {}


def test_a_master_without_its_replicas_is_told():
    with RedisServer(settings=["min-replicas-to-write 1"]) as server:
        found(server, "", "has too few replicas")


def test_a_wrong_database_is_told(own_redis):
    found(own_redis, "redis_db", "has no such database", redis_db=16)


def test_a_node_of_a_cluster_is_told():
    with RedisServer(cluster=True) as first, RedisServer(cluster=True) as second:
        found(first, "redis_host", "is a node of a cluster")  # without slots
        first.take_slots()
        second.join(first)
        found(second, "redis_host", "is a node of a cluster")  # MOVED
        found(first, "redis_host", "is a node of a cluster", redis_db=1)


def test_a_password_too_many_or_too_few_is_told(own_redis):
    with RedisServer() as server:
        found(server, "redis_password", "has no password", redis_password=GUARD.new("Redis password"))
    found(own_redis, "redis_password", "refuses the password", redis_password=None)
    found(own_redis, "redis_password", "refuses the password", redis_password=GUARD.new("Redis password"))


def test_nobody_there_is_told(own_redis, tmp_path):
    port = free_port()
    assert (
        "refused the connection" in faults({"redis_host": "127.0.0.1", "redis_port": port, "redis_db": 0})["redis_host"]
    )
    socket = {"redis_socket": str(tmp_path / "none.sock"), "redis_db": 0}
    assert "has no such file" in faults(socket)["redis_socket"]
    (tmp_path / "none.sock").touch()
    assert "refused the connection" in faults(socket)["redis_socket"]


# TLS, sockets, files.


def test_a_certificate_of_the_authority_passes(tls_redis, mutual_redis, certificates):
    assert faults(tls_redis.document()) == {}
    assert faults(mutual_redis.document()) == {}
    assert faults(tls_redis.document(redis_tls_name="localhost")) == {}


def test_redis_that_speaks_only_tls_is_named_as_such(tls_redis, mutual_redis):
    for server in (tls_redis, mutual_redis):
        plain = {"redis_tls": None, "redis_ca_file": None, "redis_cert_file": None, "redis_key_file": None}
        given = {name: value for name, value in server.document(**plain).items() if value is not None}
        text = faults(given)["redis_tls"]
        assert "speaks only TLS" in text
        assert "Set redis_tls to true" in text


def test_connection_that_served_and_is_lost_costs_no_attempt_in_tls():
    connections = []
    with Peer(connections.append) as peer:
        config = RedisConfig(redis_host="127.0.0.1", redis_port=peer.port, redis_db=0)
        error = RedisConnectionError("Connection closed by server.")
        assert probe.explained(LazyClient(config, probe.find(config)), error) is error
        assert not connections
        new = LostAtOnce(*error.args)
        assert probe.explained(LazyClient(config, probe.find(config)), new) is new
        assert len(connections) == 1


def test_redis_that_speaks_no_tls_is_told(own_redis, certificates):
    found(own_redis, "redis_tls", "does not answer in TLS", redis_tls=True, redis_ca_file=str(certificates.authority))


def test_what_is_wrong_with_a_certificate_is_told(tls_redis, mutual_redis, certificates, tmp_path):
    found(tls_redis, "redis_tls_name", "has a certificate for another name", redis_tls_name="other.example")
    other = make_certificates(tmp_path)
    found(tls_redis, "redis_ca_file", "has a certificate that is not trusted", redis_ca_file=str(other.authority))
    given = mutual_redis.document()
    del given["redis_cert_file"], given["redis_key_file"]
    assert "refuses the certificate of the site" in faults(given)["redis_cert_file"]
    strange = {"redis_cert_file": str(other.client_certificate), "redis_key_file": str(other.client_key)}
    found(mutual_redis, "redis_cert_file", "refuses the certificate of the site", **strange)


def test_files_of_tls_that_cannot_be_used_are_named(tls_redis, mutual_redis, tmp_path):
    missing, nothing = str(tmp_path / "missing.pem"), tmp_path / "nothing.pem"
    nothing.write_text("no certificate")
    for server, member in (
        (tls_redis, "redis_ca_file"),
        (mutual_redis, "redis_cert_file"),
        (mutual_redis, "redis_key_file"),
    ):
        for path in (missing, str(nothing), str(tmp_path), "/dev/zero"):
            found(server, member, "", **{member: path})


def test_comment_in_a_certificate_may_be_of_any_letters(tls_redis, certificates, tmp_path):
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"# Zertifizierungsstelle Köln\n{certificates.authority.read_text()}")
    assert faults(tls_redis.document(redis_ca_file=str(bundle))) == {}


def test_zone_of_an_address_stays_in_the_url():
    config = config_of({"redis_host": "fe80::1%41", "redis_port": 6379, "redis_db": 0})
    pool = open_client(config, Server("fe80::1%41", 6379)).connection_pool
    assert pool.connection_kwargs["host"] == "fe80::1%41"


def test_a_socket_is_used():
    with RedisServer(GUARD.new("Redis password"), unix_socket=True) as server:
        assert faults(server.document()) == {}
        found(server, "redis_password", "refuses the password", redis_password=GUARD.new("Redis password"))


def test_the_password_is_read_from_its_file(own_redis, tmp_path):
    finder = Finder(open_client=None, passwords=tmp_path / "secrets")
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets/password"
    given = own_redis.document(redis_password=None, redis_password_file=str(file))
    for content, words in ((None, "cannot be read"), (b"", "is empty"), (b"\xff", "is not UTF-8")):
        if content is not None:
            file.write_bytes(content)
        assert words in faults(given, finder)["redis_password_file"]
    file.write_text(f"{own_redis.password}\n")
    assert faults(given, finder) == {}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(own_redis.password)
    file.unlink()
    file.symlink_to(elsewhere)
    for path in (elsewhere, file, Path("/proc/self/environ"), tmp_path / "secrets/../elsewhere"):
        given["redis_password_file"] = str(path)
        assert "is not below" in faults(given, finder)["redis_password_file"]


# What Consul and Sentinel say.

SERVICE = {"redis_service": "redis-main", "redis_db": 0}


def instance(name, address, port=6379):
    return {"Service": {"ID": name, "Address": address, "Port": port}, "Checks": [{"Status": "passing"}]}


@pytest.fixture
def catalog_says(monkeypatch):
    """The finder whose Consul has these instances of each service."""

    def says(*found):
        instances = [catalog.CatalogInstance.model_validate(each) for each in found]
        monkeypatch.setattr(catalog, "follow", lambda *_asked: (1, instances))
        return Finder(open_client=contextlib.nullcontext, passwords=None)

    return says


def test_an_address_that_would_change_the_url_is_none(catalog_says):
    """As an option of the URL it would have redis-py send a command again."""
    odd = ("127.0.0.1:1/?retry_on_timeout=True&x=", "user:password@10.0.0.9", "a b", "", "unix:///tmp/x")
    finder = catalog_says(
        *(instance(str(number), address) for number, address in enumerate(odd)), instance("z", "10.0.0.1")
    )
    assert [str(server) for server in finder.seeker(config_of(SERVICE)).servers()] == ["10.0.0.1:6379"]


def test_many_instances_have_a_deadline_together(catalog_says, monkeypatch):
    tried = []
    monkeypatch.setattr(probe, "_MOST_SECONDS", 0.3)
    monkeypatch.setattr(probe, "error_of", lambda client: tried.append(client) or time.sleep(0.05) or OSError("silent"))
    servers = (
        catalog_says(*(instance(f"{number:03}", "10.0.0.1") for number in range(500)))
        .seeker(config_of(SERVICE))
        .servers()
    )
    usable, found = probe.first_usable(config_of(SERVICE), servers)
    assert (usable, len(found)) == (None, 1)
    assert 1 <= len(tried) < 100


def test_what_is_no_sentinel_is_told(own_redis):
    for port in (own_redis.port, free_port()):
        given = {"redis_sentinels": [f"127.0.0.1:{port}"], "redis_master": "mymaster", "redis_db": 0}
        finder = Finder(open_client=None, passwords=None)
        assert "no Sentinel names the master mymaster" in faults(given, finder)["redis_sentinels"]

"""Each kind of Redis that the tests can start is what it says."""

import socket

import pytest
import redis as redis_py

from tests.support.certificates import make_certificates
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.sentinel import SentinelGroup
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def second_authority(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("second-authority"))


def counts(server, **options):
    """Whether the server takes a write; raises what it answers instead."""
    with server.client(**options) as client:
        return client.incrby("hits", 0) == 0


def test_tls_port_ends_a_connection_that_speaks_plain_text(certificates):
    with RedisServer(GUARD.new("Redis password"), certificates=certificates) as server:
        assert counts(server)
        with socket.create_connection((server.host, server.port), timeout=5) as plain:
            plain.sendall(b"*1\r\n$4\r\nPING\r\n")
            with pytest.raises(ConnectionResetError):
                plain.recv(1)
        assert server.document().items() >= {"redis_tls": True, "redis_ca_file": str(certificates.authority)}.items()


def test_plain_port_never_answers_a_client_that_speaks_tls(redis, certificates):
    tls = {"ssl": True, "ssl_ca_certs": str(certificates.authority), "socket_timeout": 0.5}
    with pytest.raises(redis_py.TimeoutError):
        counts(redis, **tls)


def test_certificate_is_of_the_authority_and_for_the_name(certificates, second_authority):
    with RedisServer(certificates=certificates) as server:
        assert counts(server, ssl_check_hostname=True)
        with pytest.raises(redis_py.ConnectionError, match="self-signed certificate in certificate chain"):
            counts(server, ssl_ca_certs=str(second_authority.authority))
    with RedisServer(certificates=certificates.misnamed) as server:
        assert counts(server)
        with pytest.raises(redis_py.ConnectionError, match=r"not valid for '127\.0\.0\.1'"):
            counts(server, ssl_check_hostname=True)


def test_mutual_tls_needs_a_certificate_of_the_client(certificates, second_authority):
    with RedisServer(certificates=certificates, mutual_tls=True) as server:
        assert counts(server)
        assert server.document()["redis_cert_file"] == str(certificates.client_certificate)
        assert server.document()["redis_key_file"] == str(certificates.client_key)
        # The client has finished its part of the handshake by then: it sees the reason, or only the connection's end.
        with pytest.raises(redis_py.ConnectionError):
            counts(server, ssl_certfile=None, ssl_keyfile=None)
        wait_until(lambda: "peer did not return a certificate" in server.log())
        strange = second_authority.client_certificate, second_authority.client_key
        with pytest.raises(redis_py.ConnectionError):
            counts(server, ssl_certfile=str(strange[0]), ssl_keyfile=str(strange[1]))
        wait_until(lambda: "certificate verify failed" in server.log())


def test_unix_socket_is_the_only_way_in():
    with RedisServer(GUARD.new("Redis password"), unix_socket=True) as server:
        assert counts(server)
        assert set(server.document()) == {"redis_socket", "redis_db", "redis_password"}
        with pytest.raises(redis_py.ConnectionError, match="refused"):
            counts(server, unix_socket_path=None)
        server.restart()
        assert counts(server)


def test_user_has_its_rights_only(own_redis):
    password = GUARD.new("password of a user")
    own_redis.set_user("hits", password, "~hits", "+@connection")
    with pytest.raises(redis_py.exceptions.NoPermissionError, match="to run the 'incrby' command"):
        counts(own_redis, username="hits", password=password)
    own_redis.set_user("hits", password, "~hits", "+@connection", "+incrby")
    assert counts(own_redis, username="hits", password=password)
    with pytest.raises(redis_py.AuthenticationError):
        counts(own_redis, username="hits")


def test_replica_has_what_its_master_holds_and_is_read_only(own_redis):
    with own_redis.client() as client:
        client.set("hits", 7)
    with RedisServer(GUARD.new("password of the replica")) as replica:
        replica.make_replica_of(own_redis)
        assert replica.hits() == 7
        with pytest.raises(redis_py.exceptions.ReadOnlyError):
            counts(replica)
        replica.promote()
        with replica.client() as client:
            assert client.incr("hits") == 8


def test_replica_over_tls(certificates):
    with RedisServer(certificates=certificates) as master, RedisServer(certificates=certificates) as replica:
        replica.make_replica_of(master)
        with pytest.raises(redis_py.exceptions.ReadOnlyError):
            counts(replica)


def test_full_memory_is_full_for_a_while(own_redis):
    with own_redis.full_memory(), pytest.raises(redis_py.exceptions.OutOfMemoryError):
        counts(own_redis)
    assert counts(own_redis)


def test_failing_saves_stop_writes_for_a_while(own_redis):
    with own_redis.failing_saves(), pytest.raises(redis_py.ResponseError, match="MISCONF"):
        counts(own_redis)
    assert counts(own_redis)


@pytest.mark.slow
def test_cluster_node_names_the_node_that_serves_the_slot():
    with RedisServer(cluster=True) as empty, RedisServer(cluster=True) as full:
        with pytest.raises(redis_py.exceptions.ClusterDownError, match="Hash slot not served"):
            counts(empty)
        full.take_slots()
        assert counts(full)
        empty.join(full)
        with pytest.raises(redis_py.exceptions.MovedError, match=rf"127\.0\.0\.1:{full.port}"):
            counts(empty)


@pytest.mark.slow
def test_sentinels_fail_over_as_planned():
    with SentinelGroup(settings=["min-replicas-to-write 1", "min-replicas-max-lag 10"]) as group:
        old = group.master()
        assert old is group.servers[0]
        assert counts(old)
        new = group.failover()
        assert new is group.master()
        assert new is not old
        assert counts(new)
        assert {sentinel.named_port() for sentinel in group.sentinel_servers} == {new.port}


@pytest.mark.slow
def test_sentinels_fail_over_after_a_crash_and_take_the_server_back():
    password = GUARD.new("Redis password", separator="@:/%,#é")
    with SentinelGroup(password) as group:
        assert group.document(redis_db=1) == {
            "redis_sentinels": [f"127.0.0.1:{sentinel.port}" for sentinel in group.sentinel_servers],
            "redis_master": "mymaster",
            "redis_db": 1,
            "redis_password": password,
        }
        killed = group.kill_master()
        new = group.wait_failed_over(killed)
        assert counts(new)
        killed.start()
        assert group.wait_settled() is new
        with pytest.raises(redis_py.exceptions.ReadOnlyError):
            counts(killed)

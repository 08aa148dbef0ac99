"""The site on every Redis that people run, under load: TLS, a user, a socket, a password file, a service, Sentinel."""

import contextlib
import time

import pytest

from tests.support.certificates import make_certificates
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.sentinel import SentinelGroup
from tests.support.waiting import wait_until
from tests.support.workers import NUMBER, Load, Workers

pytestmark = pytest.mark.slow


def put(consul, key, redis_config, message="here"):
    return consul.put(key, {"redis_config": redis_config, "show_message": message})


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


def number(site):
    answer = site.get("/")
    page = NUMBER.match(answer.text)
    return int(page[2]) if answer.status_code == 200 and page else None


@pytest.mark.parametrize("kind", ["tls", "mutual TLS", "socket", "user"])
def test_pages_are_counted_and_a_change_is_followed(serve, workers_of, consul, config_key, redis, kind, tmp_path):
    certificates = make_certificates(tmp_path)
    options = {"tls": {"certificates": certificates}, "socket": {"unix_socket": True}, "user": {}}
    options["mutual TLS"] = {"certificates": certificates, "mutual_tls": True}
    with RedisServer(GUARD.new("Redis password"), **options[kind]) as server:
        members = {}
        if kind == "user":
            password = GUARD.new("password of the user")
            server.set_user("counting", password, "~hits", "+@connection", "+incr", "+incrby")
            members = {"redis_username": "counting", "redis_password": password}
        site = serve(server.document(**members))
        assert [number(site) for _ in range(3)] == [1, 2, 3]
        assert site.ready()["redis"] == {"ok": True, "error": None}
        workers = workers_of(site, 2)
        put(consul, config_key, redis.document(), "another")
        workers.wait_message("another")
        put(consul, config_key, server.document(**members), "back")
        workers.wait_message("back")
        with Load(site, 4) as load:
            wait_until(lambda: len(load.served) > 200, message="200 pages")
        assert (load.failed, load.cut) == ([], 0)
        assert server.hits() == max(number for _message, number in load.served)


TROUBLE = {
    "replica": "is a read-only replica",
    "text": "has something other than a number at `hits`",
    "user": "does not let this user count",
    "memory": "has no memory left",
}


@contextlib.contextmanager
def trouble(kind, server, other):
    """What may become of a Redis in force."""
    with server.client() as client:
        if kind == "replica":
            server.make_replica_of(other)
            yield
            server.promote()
        elif kind == "text":
            with client.pipeline(transaction=True) as together:
                together.rename("hits", "kept").set("hits", "many").execute()
            yield
            client.rename("kept", "hits")
        elif kind == "user":
            client.execute_command("ACL", "SETUSER", "default", "-incr", "-incrby")
            yield
            client.execute_command("ACL", "SETUSER", "default", "+@all")
        else:
            with server.full_memory():
                yield


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_of_the_redis_in_force_is_told_and_over_when_it_is_mended(serve, own_redis, redis, kind):
    site = serve(own_redis.document())
    told = TROUBLE[kind]
    with Load(site, 4, pause=0.005) as load:
        wait_until(lambda: load.served, message="pages")
        with trouble(kind, own_redis, redis):
            wait_until(lambda: site.ready()["redis"]["error"] == f"it {told}", message=told)
            wait_until(lambda: len(load.failed) > 20, message="pages that fail")
            site.wait_logged(told)
        mended = time.monotonic()
        wait_until(lambda: site.ready()["redis"]["ok"] and number(site), message="the page")
        seconds = time.monotonic() - mended
    assert {failure[:3] for failure in load.failed} == {"503"}
    assert seconds < 10, "2 s on a machine that does nothing else"
    if kind != "replica":  # it takes over what the other has
        load.assert_numbers_unique()


def test_password_file_is_followed(serve, workers_of, own_redis, tmp_path, rounds=5):
    """Each time the server takes both passwords until the file has the new one."""
    file = tmp_path / "password"
    file.write_text(own_redis.password)
    given = own_redis.document(redis_password_file=str(file))
    del given["redis_password"]
    site = serve(given, REDIS_PASSWORD_DIR=str(tmp_path))
    workers = workers_of(site, 2)
    with Load(site, 16) as load:
        for turn in range(rounds):
            old, new = own_redis.password, GUARD.new(f"password {turn}")
            with own_redis.client() as client:
                client.execute_command("ACL", "SETUSER", "default", f">{new}")
                own_redis.password = new
                file.with_suffix(".new").write_text(f"{new}\n")
                file.with_suffix(".new").rename(file)
                wait_until(
                    lambda turn=turn: site.log().count("The Redis in use is") == 2 * (turn + 1), message="both workers"
                )
                client.execute_command("ACL", "SETUSER", "default", f"<{old}")
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()
    assert {connection.get()[0] for connection in workers.by_pid.values()} == {200}
    file.write_text("wrong")
    wait_until(lambda: "refuses the password" in site.log(), message="the wrong password to be told")
    assert number(site), "the last one stays"


def register(consul, server, name, service="redis-main", tags=()):
    check = {"CheckID": f"check-{name}", "TTL": "1h", "Status": "passing"}
    definition = {
        "ID": name,
        "Name": service,
        "Address": server.host,
        "Port": server.port,
        "Tags": list(tags),
        "Check": check,
    }
    assert consul.api("PUT", "/v1/agent/service/register", json=definition).ok


def turn(consul, name, status):
    assert consul.api("PUT", f"/v1/agent/check/{status}/check-{name}").ok


def test_service_in_the_catalog_is_followed(serve, workers_of, consul, flips=6):
    """Two servers with numbers of their own; the first by id that passes is the one."""
    with RedisServer() as one, RedisServer() as two:
        with two.client() as client:
            client.set("hits", 1_000_000)
        register(consul, one, "a"), register(consul, two, "b")
        site = serve({"redis_service": "redis-main", "redis_db": 0}, workers=4)
        workers = workers_of(site, 4)
        with Load(site, 4, pause=0.005) as load:
            for flip in range(flips):
                there = two if flip % 2 == 0 else one
                turn(consul, "a", "fail" if there is two else "pass")
                wait_until(
                    lambda there=there: all(counts_in(c, there is two) for c in workers.by_pid.values()), message="all"
                )
        assert (load.failed, load.cut) == ([], 0)
        load.assert_numbers_unique()
        turn(consul, "a", "fail"), turn(consul, "b", "fail")
        site.wait_logged("Consul shows this token no passing instance of service redis-main")
        assert number(site), "the last one stays"


def counts_in(connection, second):
    status, body = connection.get()
    return status == 200 and (int(NUMBER.match(body)[2]) > 1_000_000) is second


def test_start_that_finds_no_instance_serves_503_until_one_passes(serve, consul, own_redis):
    site = serve({"redis_service": "redis-late", "redis_db": 0, "redis_password": own_redis.password})
    answer = site.get("/")
    assert answer.status_code == 503
    assert site.ready()["redis"]["error"] is not None
    site.wait_logged("Consul shows this token no passing instance of service redis-late")
    register(consul, own_redis, "late", "redis-late")
    wait_until(lambda: number(site) == 1, message="the page")


def test_replica_is_never_chosen(serve, consul, own_redis, redis):
    redis_document = redis.document()
    own_redis.make_replica_of(redis)
    register(consul, own_redis, "1-replica", "redis-pair"), register(consul, redis, "2-primary", "redis-pair")
    with own_redis.client() as client:
        client.config_set("requirepass", redis.password)
    own_redis.password = redis.password
    site = serve({"redis_service": "redis-pair", "redis_db": 0, "redis_password": redis_document["redis_password"]})
    assert number(site)
    assert redis.hits() == 1


@pytest.mark.parametrize("planned", [True, False], ids=["planned", "kill"])
def test_sentinel_fails_over(serve, planned):
    with SentinelGroup(GUARD.new("Redis password")) as group:
        site = serve(group.document())
        with Load(site, 4, pause=0.005) as load:
            wait_until(lambda: len(load.served) > 50, message="pages")
            old = group.master()
            if planned:
                new = group.failover()
            else:
                group.kill_master()
                new = group.wait_failed_over(old)
            wait_until(lambda: new.hits() and number(site), message="the page")
            before = new.hits()
            wait_until(lambda: new.hits() > before + 50, message="pages on the new master")
        assert {failure[:3] for failure in load.failed} <= {"503"}
        load.assert_numbers_unique()
        assert site.ready()["redis"]["ok"]

"""The site on every Redis that people run, under load: TLS, a user, a socket, a password file, a service, Sentinel."""

import time

import pytest

from tests.support.certificates import make_certificates
from tests.support.every_redis import TROUBLE, moves, number, put, register, rotate, trouble, turn
from tests.support.redis import RedisServer
from tests.support.secrets import GUARD
from tests.support.sentinel import SentinelGroup
from tests.support.waiting import wait_until
from tests.support.workers import Load

pytestmark = pytest.mark.slow


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
    file = tmp_path / "password"
    file.write_text(own_redis.password)
    given = own_redis.document(redis_password_file=str(file))
    del given["redis_password"]
    site = serve(given, REDIS_PASSWORD_DIR=str(tmp_path))
    workers = workers_of(site, 2)
    with Load(site, 16) as load:
        for turn in range(rounds):
            known = 2 * (turn + 1)
            rotate(own_redis, file, lambda known=known: wait_until(lambda: moves(site) == known, message="the workers"))
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()
    assert {connection.get()[0] for connection in workers.by_pid.values()} == {200}
    file.write_text("wrong")
    wait_until(lambda: "refuses the password" in site.log(), message="the wrong password to be told")
    assert number(site), "the last one stays"


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
                to_second = flip % 2 == 0
                turn(consul, "a", "fail" if to_second else "pass")
                workers.wait_pages(lambda shown, to_second=to_second: (shown > 1_000_000) is to_second)
        assert (load.failed, load.cut) == ([], 0)
        load.assert_numbers_unique()
        turn(consul, "a", "fail"), turn(consul, "b", "fail")
        site.wait_logged("Consul shows this token no passing instance of service redis-main")
        assert number(site), "the last one stays"


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

"""The site and its health checks while Redis is unreachable, and their recovery."""

import time

import pytest
from redis import exceptions

from counter.breaker import Breaker
from demo_site.monitoring import health
from tests.support.documents import document
from tests.support.membership import check_statuses, seconds_until_passing
from tests.support.outage import pause_under_load
from tests.support.secrets import GUARD
from tests.support.waiting import BUSY_SECONDS, wait_until


@pytest.fixture
def site(consul, own_redis, config_key, new_site):
    """An instance as it is shipped, with two workers, on a Redis of its own."""
    consul.put(config_key, document(own_redis))
    environment = {"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}
    site = new_site(environment).gunicorn(workers=2)
    site.get("/")
    return site


def test_redis_that_hangs_slows_nothing_but_a_few_pages(site, own_redis):
    pages, lives, recovery = pause_under_load(site, own_redis, 3)
    assert set(lives.statuses) == {200}
    assert lives.quantile(0.99) < 0.25 + BUSY_SECONDS
    assert set(pages.statuses) - {200} == {503}
    assert max(pages.seconds) < 1 + BUSY_SECONDS
    assert recovery < 2


def test_outage_is_a_line_for_each_reason_and_one_when_it_ends(site, own_redis):
    own_redis.kill()
    for _ in range(20):
        assert site.get("/").status_code == 503
    own_redis.start()
    wait_until(lambda: site.get("/").status_code == 200, 5, "the page")
    wait_until(lambda: "Redis is back" in site.log(), 5, "the second line")
    # Each worker that had visitors says its own.
    assert 1 <= site.log().count("refused the connection") <= 2
    assert site.log().count("Page views are not counted") <= 4, "the connection that it had is lost before"
    assert "Traceback" not in site.log()


def test_one_lost_connection_costs_one_page(new_proxy, redis, consul, config_key, new_site):
    """Redis answers the others, so nobody else is turned away."""
    proxy = new_proxy(redis.port)
    consul.put(config_key, {"redis_config": redis.document(redis_port=proxy.port), "show_message": "hello"})
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key}).gunicorn()
    site.get("/")
    proxy.lose_replies(to=b"INCR", times=1)
    assert [site.get("/").status_code for _ in range(4)] == [503, 200, 200, 200]


def test_readyz_gives_the_reason_and_livez_stays(site, own_redis):
    own_redis.kill()
    answer = site.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["status"] == "not ready"
    assert "refused" in answer.json()["redis"]["error"]
    assert site.get("/livez").status_code == 200
    own_redis.start()
    assert site.get("/readyz").status_code == 200, "it asks each time"


def test_strangers_see_states_and_our_own_words_and_the_log_has_the_rest(site, own_redis, consul, config_key, redis):
    """An address, a URL and what Redis or Consul said are for the admin and the log."""
    own_redis.kill()
    changed = document(redis)
    changed["redis_config"]["redis_password"] = GUARD.new("another password")
    consul.put(config_key, changed)
    wait_until(lambda: site.ready()["config"]["state"] == "rejected", message="the document to be rejected")
    answer = site.get("/readyz")
    ready = answer.json()
    assert ready["redis"] == {"ok": False, "error": "it refused the connection"}
    (fault,) = ready["config"]["rejected"]["faults"]
    assert fault == "redis_config.redis_password: the Redis at … refuses the password (…)"
    assert ready["config"]["reason"].endswith(fault)
    for text in ("127.0.0.1", str(own_redis.port), str(redis.port), "WRONGPASS", "invalid", "Errno", "Error"):
        assert text not in answer.text + site.get("/metrics").text, text
    wait_until(
        lambda: f"the Redis at 127.0.0.1:{redis.port} refuses the password (invalid" in site.log(), message="the log"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.ReadOnlyError("READONLY at 10.0.0.1"), "it is a read-only replica"),
        (exceptions.AuthenticationError("WRONGPASS"), "it refuses the password"),
        (exceptions.TimeoutError("Timeout reading from 10.0.0.1:6379"), "it does not answer in time"),
        (exceptions.ResponseError("-SECRET"), "it answers with an error"),
        (exceptions.ConnectionError("Connection closed by server."), "it lost the connection"),
        (exceptions.RedisError("SECRET"), "it cannot be used"),
    ],
)
def test_readyz_has_words_of_its_own_for_each_kind_of_error(error, words):
    assert health._in_own_words(error) == words


def test_breaker_opens_for_the_redis_that_failed_only(site, own_redis, redis, consul, config_key):
    own_redis.pause()
    wait_until(lambda: site.get("/").status_code == 503, 5, "the outage")
    consul.put(config_key, document(redis, message="another Redis"))
    wait_until(lambda: "another Redis! I have been seen" in site.get("/").text, 5, "the other Redis")
    own_redis.resume()


def test_instance_without_redis_gets_no_visitors_and_stays_registered(consul, own_redis, config_key, new_site):
    """Scaled down: the soak waits longer than deregister-after."""
    consul.put(config_key, document(own_redis))
    environment = {"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key, "CONSUL_REGISTER": "1"}
    new_site({**environment, "SERVICE_CHECK_INTERVAL": "1s", "SERVICE_DRAIN_SECONDS": "0"}).gunicorn()
    seconds_until_passing(consul)
    own_redis.kill()
    wait_until(lambda: check_statuses(consul) == {"ready": "critical", "alive": "passing"}, 10, "critical, not dead")
    own_redis.start()
    seconds_until_passing(consul)


# The breaker.


def test_breaker_opens_with_a_call_that_hangs_only():
    breaker = Breaker()
    assert breaker.failed(opens=False) is True
    assert breaker.failed(opens=False) is False
    kinds = ["lost", "refused", "lost", *"abcdefgh"]
    assert [breaker.failed(opens=False, kind=kind) for kind in kinds] == [True, True, False, True, True, *[False] * 6]
    assert not breaker.is_open
    breaker.failed(opens=True)
    assert breaker.is_open


def test_breaker_is_open_for_a_rest_after_each_failure():
    breaker = Breaker(rest=0.1)
    for _ in range(2):
        breaker.failed(opens=True)
        assert breaker.is_open
        time.sleep(0.15)
        assert not breaker.is_open


def test_breaker_closes_with_a_success_and_tells_how_long_it_was():
    breaker = Breaker(rest=10)
    assert breaker.succeeded() is None
    breaker.failed(opens=True)
    assert breaker.succeeded() >= 0
    assert not breaker.is_open and breaker.succeeded() is None

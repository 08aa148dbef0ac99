"""What the watch of the server does in one process, step by step."""

import contextlib
import time

import pytest

from demo_site import identity
from demo_site.config.live import InForce
from demo_site.config.revision import parsed
from demo_site.config.server_watch import ServerWatch, _Follower
from demo_site.document.model import RedisConfig
from demo_site.redis_cache.finder import Finder
from demo_site.redis_cache.lazy import LazyClient
from demo_site.redis_cache.sentinel import SentinelSeeker, _State
from demo_site.redis_cache.servers import Server
from tests.support.documents import document, raw
from tests.support.every_redis import put, register
from tests.support.following import Following
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until


@pytest.fixture
def following(own_consul, own_redis):
    """The watch of a document that names a service, whose only instance is `own_redis`."""
    register(own_consul, own_redis, "a")
    service = {"redis_service": "redis-main", "redis_db": 0, "redis_password": own_redis.password}
    put(own_consul, identity.KEY, service)
    found = Following(own_consul, identity.KEY)
    found.step()
    yield found
    found.close()


def come_in_force(following, content):
    """As after a probe, here or in another worker: the status may stay what it was, and nobody be told."""
    following.live.replace(parsed(raw(content), "consul", identity.KEY, 1000))


def test_document_that_comes_while_a_server_is_tried_keeps_its_own(following, redis):
    client = following.live.in_force.client
    seeker = following.live.start.finder.seeker(client.config)
    follower = _Follower(following.live, client, seeker)
    come_in_force(following, document(redis))
    follower._choose(seeker.servers())
    assert following.redis_port == redis.port
    follower.follow()  # ends
    seeker.close()
    assert following.live.in_force.client.config.redis_port == following.redis_port == redis.port


def test_server_that_nobody_has_used_yet_is_taken_once(following, own_redis):
    client = following.live.in_force.client
    seeker = following.live.start.finder.seeker(client.config)
    follower = _Follower(following.live, client, seeker)
    follower._choose(seeker.servers())
    chosen = following.live.in_force.client
    follower._choose(seeker.servers())
    seeker.close()
    assert following.live.in_force.client is chosen
    assert chosen.server == Server(own_redis.host, own_redis.port, password=chosen.server.password)


def test_next_service_is_followed_at_once(following, own_consul, redis):
    """The thread of the one before waits for Consul for ten seconds."""
    watch = ServerWatch(following.live)
    following.live.on_replaced = watch.ensure
    watch.ensure()
    wait_until(lambda: following.live.in_force.client.server, message="a server")
    time.sleep(1)
    register(own_consul, redis, "b", "redis-other")
    members = {"redis_service": "redis-other", "redis_db": 0, "redis_password": redis.password}
    come_in_force(following, {"redis_config": members, "show_message": "other"})
    wait_until(lambda: following.live.in_force.client.server, 3, "its server")
    assert following.live.in_force.client.server.port == redis.port
    come_in_force(following, document(redis))


def test_message_of_the_service_before_is_not_that_of_the_next(following, redis):
    follower = _Follower(following.live, following.live.in_force.client, None)
    come_in_force(following, document(redis))
    follower._note("no instance")
    assert following.live.unfollowed is None


def test_password_in_a_file_is_followed_while_consul_is_away(own_consul, own_redis, tmp_path):
    file = tmp_path / "password"
    file.write_text(own_redis.password)
    config = RedisConfig(redis_service="redis-main", redis_db=0, redis_password_file=str(file))
    register(own_consul, own_redis, "a")
    own_consul.put(identity.KEY, document(own_redis))
    following = Following(own_consul, identity.KEY)
    live, finder = following.live, Finder(following.live.start.open_client, tmp_path)
    with contextlib.closing(finder.seeker(config)) as seeker:
        client = LazyClient(config, seeker.servers()[0])
        live._in_force = InForce(live.in_force.revision, client)
        own_redis.change_password(GUARD.new("new password"))
        file.write_text(own_redis.password)
        own_consul.stop()
        seeker._found = None
        _Follower(live, client, seeker)._step()
    assert live.in_force.client.get().incr("hits") == 1
    following.close()


A, B = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


def seen(seeker, **states):
    """What is believed when these say this."""
    return seeker._believe({seeker.by_name[name]: state for name, state in states.items()})


@pytest.fixture
def seeker():
    config = RedisConfig(redis_sentinels=["10.0.0.8:1", "10.0.0.9:1"], redis_master="m", redis_db=0)
    found = SentinelSeeker(config, lambda: None)
    found.by_name = dict(zip(("leader", "other"), found._sentinels, strict=True))
    yield found
    found.close()


def test_one_that_is_silent_for_a_moment_has_still_said_it(seeker, monkeypatch):
    healthy, replacing, replaced = _State(5, False, A, A), _State(5, True, A, A), _State(6, False, B, B)
    assert seen(seeker, leader=healthy, other=healthy) == healthy
    assert seen(seeker, leader=replacing, other=healthy) == replacing
    assert seen(seeker, other=healthy) == replacing
    assert seen(seeker, leader=healthy, other=healthy) == healthy, "it gave up"
    assert seen(seeker, leader=replaced, other=healthy) == replaced
    assert seen(seeker, other=healthy) == replaced
    assert seen(seeker, leader=healthy, other=healthy) == replaced, "reset, or another one at its address"
    monkeypatch.setattr(seeker, "_believed_until", 0.0)
    assert seen(seeker, other=healthy) == healthy

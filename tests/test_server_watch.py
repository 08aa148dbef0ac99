"""What the watch of the server does in one process, step by step."""

import time

import pytest

from demo_site import identity
from demo_site.config.revision import parsed
from demo_site.config.server_watch import ServerWatch, _Follower
from demo_site.redis_cache.servers import Server
from tests.support.documents import document, raw
from tests.support.every_redis import put, register
from tests.support.following import Following
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
    """As after a probe."""
    following.live.replace(parsed(raw(content), "consul", identity.KEY, 1000))
    following.live.notify()


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
    following.live.listeners.append(watch.ensure)
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

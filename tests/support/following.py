"""The watch in the test's own process, to be stepped with `next()`: short time-outs, and every step timed."""

import time

from demo_site.config.follower import Follower
from demo_site.config.live import Live
from demo_site.config.source import Start, load
from demo_site.config.watcher import watch
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Timeouts
from demo_site.environment import Environment

QUICK = Timeouts(connect=0.5, read=0.5)


def start_from(variables):
    """What a start with these environment variables finds. Raises `StartupError`."""
    environment, address = Environment(variables), AgentAddress.from_environ(variables)
    return Start(environment, address, load(environment, address), None)


class Following:
    """A `Live` of its own with its watch. `pause` is what the last step asked to sleep, `seconds` what it took."""

    def __init__(self, consul, key, wait=1, **variables):
        variables = {"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": key, **variables}
        self.live = Live(start_from(variables))
        self.follower = Follower(self.live)
        self._steps = watch(self.follower, QUICK, wait)
        self.pause = self.seconds = None

    def step(self, times=1):
        """Let the watch ask Consul, without the pauses; return the status that it leaves."""
        for _ in range(times):
            began = time.monotonic()
            self.pause = next(self._steps)
            self.seconds = time.monotonic() - began
        return self.live.status

    def close(self):
        """Close the connection to Consul."""
        self._steps.close()

    @property
    def message(self):
        return self.live.in_force.document.show_message

    @property
    def redis_port(self):
        return self.live.in_force.redis.connection_pool.connection_kwargs["port"]

"""The faults: each breaks something real in `begin`, and mends it in `end`.

A fault says of itself what it `touches`, because two at once must not mend each other; whether it `cuts` requests off
with their process; and whether it `hides` from the site what Consul says.
"""

import contextlib
import resource
import signal
import time

import psutil

from tests.chaos.parts import choose_worker, limit, resume, signal_worker

_IN_FORCE_SECONDS = 30


class Fault:
    """`seconds`: between these it lasts. `rng` is its own, so that a seed repeats it."""

    name = ""
    touches: frozenset[str] = frozenset()
    cuts = hides = leaves = False
    seconds = (1.0, 3.0)

    def __init__(self, rng):
        self.rng = rng

    def begin(self, parts):
        raise NotImplementedError

    def end(self, parts):
        """Nothing, if it mends itself."""


# Redis.


class OfRedis(Fault):
    touches = frozenset({"redis"})

    def end(self, parts):
        parts.redis_proxy.pass_through()


class RedisKilled(OfRedis):
    name = "Redis killed and restarted (append-only, fsync always)"

    def begin(self, parts):
        parts.redis.kill()

    def end(self, parts):
        parts.redis.start()


class RedisPaused(OfRedis):
    name = "Redis paused"

    def begin(self, parts):
        parts.redis.pause()

    def end(self, parts):
        parts.redis.resume()


class RedisRepliesLost(OfRedis):
    """Now and then, so that an increment that is sent again would get through."""

    name = "connections to Redis cut between request and reply"

    def begin(self, parts):
        for _ in range(self.rng.randint(5, 15)):
            parts.redis_proxy.lose_replies(b"INCRBY", times=1)
            time.sleep(self.rng.uniform(0.05, 0.2))


class RedisDelayed(OfRedis):
    name = "Redis's replies delayed"

    def begin(self, parts):
        parts.redis_proxy.delay(self.rng.choice([0.1, 0.5, 1.0]))


class RedisDripped(OfRedis):
    name = "Redis's replies dripped"

    def begin(self, parts):
        parts.redis_proxy.drip(self.rng.choice([0.02, 0.2]))


class RedisHalved(OfRedis):
    name = "Redis's replies cut in half"

    def begin(self, parts):
        parts.redis_proxy.halve(b"INCRBY")


class Failover(Fault):
    """Under a document that names the Sentinels."""

    name = "a Sentinel failover"
    touches = frozenset({"redis", "document", "consul"})
    planned = True

    def begin(self, parts):
        parts.change_document("sentinels")
        parts.wait_followed(_IN_FORCE_SECONDS)
        parts.sentinels.wait_settled()
        self._old = parts.sentinels.begin_failover() if self.planned else parts.sentinels.kill_master()

    def end(self, parts):
        parts.sentinels.wait_failed_over(self._old)
        if not self.planned:
            self._old.start()
        parts.sentinels.wait_settled()
        parts.change_document()
        parts.wait_followed(_IN_FORCE_SECONDS)


class MasterKilled(Failover):
    name = "the master of the Sentinels killed"
    planned = False


# Consul.


class OfConsul(Fault):
    touches = frozenset({"consul"})
    hides = True

    def end(self, parts):
        parts.consul_proxy.pass_through()
        parts.consul_proxy.cut()


class AgentKilled(OfConsul):
    name = "Consul's agent killed and restarted"

    def begin(self, parts):
        parts.cluster.agent.kill()

    def end(self, parts):
        parts.cluster.agent.start()
        parts.cluster.agent.wait_usable()


class AgentForgets(AgentKilled):
    name = "Consul's agent killed and restarted empty"

    def begin(self, parts):
        super().begin(parts)
        parts.cluster.agent.forget()


class AgentCutOff(OfConsul):
    name = "Consul cut off: connections refused"

    def begin(self, parts):
        parts.consul_proxy.refuse()


class AgentSilent(OfConsul):
    name = "Consul cut off: no answer"

    def begin(self, parts):
        parts.consul_proxy.silence()


class AgentAnswersHtml(OfConsul):
    name = "Consul answers HTML"

    def begin(self, parts):
        parts.consul_proxy.answer_http("200 OK", "<html>a portal</html>", Content_Type="text/html")
        parts.consul_proxy.cut()


class AgentDrips(OfConsul):
    name = "Consul's answers dripped"

    def begin(self, parts):
        parts.consul_proxy.drip(0.05)


class LeaderKilled(OfConsul):
    name = "Consul's leader killed"
    seconds = (4.0, 6.0)  # an election takes three

    def begin(self, parts):
        self._leader = parts.cluster.leader()
        self._leader.kill()

    def end(self, parts):
        self._leader.start()
        self._leader.wait_usable()


# The document.


class OfDocument(Fault):
    touches = frozenset({"document"})


class DocumentChanged(OfDocument):
    name = "the document changed"

    def begin(self, parts):
        for _ in range(self.rng.randint(1, 5)):
            parts.change_document()
            time.sleep(self.rng.uniform(0, 0.5))


class DocumentEdited(OfDocument):
    name = "the document changed in the admin"
    touches = frozenset({"document", "consul", "instances"})
    seconds = (0.2, 1.0)

    def begin(self, parts):
        parts.edit_document()


class DocumentBroken(OfDocument):
    touches = frozenset({"document", "a start"})
    name = "the document broken"

    def begin(self, parts):
        parts.break_document(self.rng.choice([b"{", b"", b"\xff", b'{"redis_config": {}}', b"[]", b'{"a": 1e999}']))

    def end(self, parts):
        parts.change_document()


class DocumentRestored(DocumentBroken):
    name = "the document broken, and restored in the admin"
    touches = frozenset({"document", "consul", "instances"})
    seconds = (0.5, 1.5)

    def end(self, parts):
        parts.restore_document()


class DocumentDeleted(OfDocument):
    touches = frozenset({"document", "a start"})
    name = "the document deleted and put again"

    def begin(self, parts):
        parts.delete_document()

    def end(self, parts):
        parts.change_document()


# Processes of the site.


class OfInstances(Fault):
    touches = frozenset({"instances"})

    def _choose(self, parts):
        self.instance = self.rng.choice(parts.running())
        return self.instance


class WorkerKilled(OfInstances):
    name = "workers killed with -9"
    cuts = True

    def begin(self, parts):
        for _ in range(self.rng.randint(1, 3)):
            signal_worker(self._choose(parts), self.rng, signal.SIGKILL)
            time.sleep(0.2)


class WorkerStopped(OfInstances):
    name = "a worker stopped"
    cuts = hides = True

    def begin(self, parts):
        self._pid = signal_worker(self._choose(parts), self.rng, signal.SIGSTOP)

    def end(self, parts):
        resume(self._pid)


class Reloaded(OfInstances):
    name = "an instance told to HUP"

    def begin(self, parts):
        self._choose(parts).signal(signal.SIGHUP)


class InstanceKilled(OfInstances):
    touches = frozenset({"instances", "a start"})  # one without a valid document ends
    name = "an instance killed"
    cuts = True

    def begin(self, parts):
        self._choose(parts).kill_all()

    def end(self, parts):
        parts.start_again(self.instance)


class InstanceRolled(OfInstances):
    """What a deployment does: SIGTERM, its end, a start."""

    touches = frozenset({"instances", "a start"})
    name = "an instance rolled"
    hides = leaves = True
    seconds = (0.0, 0.5)

    def begin(self, parts):
        self._choose(parts).stop()

    def end(self, parts):
        parts.start_again(self.instance)


class InstanceAdded(OfInstances):
    name = "one more instance comes and leaves"
    touches = frozenset({"instances", "consul", "a start"})  # a first start needs Consul
    seconds = (3.0, 5.0)

    def begin(self, parts):
        self._another = parts.another_instance()
        parts.start_again(self._another)

    def end(self, parts):
        self._another.stop()


# What the system gives.


class DiskFull(OfInstances):
    """No file of the instance can grow, snapshot, SQLite and log included. Meanwhile the document changes."""

    name = "disk full under snapshot and SQLite"
    touches = frozenset({"instances", "document"})

    def begin(self, parts):
        instance = self._choose(parts)
        self._before = {pid: limit(pid, resource.RLIMIT_FSIZE, 0) for pid in _pids(instance)}
        self._usual = next(iter(self._before.values()))
        parts.change_document()
        parts.try_to_log_in(instance)

    def end(self, parts):
        for pid in _pids(self.instance):
            with contextlib.suppress(ProcessLookupError):
                limit(pid, resource.RLIMIT_FSIZE, self._usual)


class ClockStepped(OfInstances):
    name = "the clock of an instance stepped"

    def begin(self, parts):
        self._choose(parts).step_clock(self.rng.choice([-3600, -90, 90, 3600]))

    def end(self, parts):
        self.instance.step_clock(0)


class DescriptorsExhausted(OfInstances):
    name = "file descriptors of a worker exhausted"
    cuts = True  # libuv accepts what it has no descriptor for with a spare one, and closes it

    def begin(self, parts):
        instance = self._choose(parts)
        self._pid = choose_worker(instance, self.rng)
        self._before = limit(self._pid, resource.RLIMIT_NOFILE, psutil.Process(self._pid).num_fds())

    def end(self, parts):
        with contextlib.suppress(ProcessLookupError):
            limit(self._pid, resource.RLIMIT_NOFILE, self._before)


def _pids(instance):
    master = psutil.Process(instance.pid)
    return [master.pid, *(child.pid for child in master.children(recursive=True))]


def _kinds(of):
    for kind in of.__subclasses__():
        if kind.name:
            yield kind
        yield from _kinds(kind)


KINDS = sorted(_kinds(Fault), key=lambda kind: kind.name)

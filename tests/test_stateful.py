"""Live configuration, registration and history against small models, on a real Consul, in any order of events."""

import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from demo_site.config import history, repository
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.registration.definition import ServiceDefinition
from demo_site.registration.keep import Keeper
from tests.support.documents import document, raw
from tests.support.following import Following
from tests.support.membership import registrations
from tests.support.ports import free_port
from tests.support.proxy import Proxy

SETTINGS = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def client_of(server):
    return Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": server.address}))


class LiveConfiguration(RuleBasedStateMachine):
    """The model: what is stored, what was in force last, and whether Consul can be asked."""

    def __init__(self, consul, redis):
        super().__init__()
        self.consul, self.redis, self.key = consul, redis, f"live-{uuid.uuid4()}"
        self.proxy = Proxy(consul.http_port)
        self.stored, self.in_force = "current", "first"
        self.is_reachable, self.is_news = True, True
        consul.put(self.key, document(redis, "first"))
        self.following = Following(self.proxy, self.key)

    def teardown(self):
        self.following.close()
        self.proxy.refuse()
        self.consul.delete(self.key)

    @rule(message=st.sampled_from(["first", "second", "third"]))
    def put(self, message):
        self._put(document(self.redis, message), "current")
        self.message = message

    @rule(broken=st.sampled_from([b"", b"{", b"[]", b"\xff", b'{"redis_config": {}}']))
    def put_broken(self, broken):
        self._put(broken, "rejected")

    @rule()
    def put_one_whose_redis_is_away(self):
        away = document(self.redis, "never")
        away["redis_config"] = {**away["redis_config"], "redis_port": free_port()}
        self._put(away, "rejected")

    @rule()
    def delete(self):
        self.consul.delete(self.key)
        self.stored, self.is_news = "deleted", True

    @precondition(lambda self: self.is_reachable)
    @rule()
    def lose_consul(self):
        self.proxy.refuse()
        self.is_reachable, self.is_news = False, True

    @precondition(lambda self: not self.is_reachable)
    @rule()
    def find_consul(self):
        self.proxy.pass_through()
        self.is_reachable, self.is_news = True, True

    @precondition(lambda self: self.is_news)  # else Consul holds the question back for a second
    @rule()
    def step(self):
        seen = self.following.live.status.rejected
        status = self.following.step()
        if self.is_reachable:
            self.is_news = False
            if self.stored == "current":
                self.in_force = getattr(self, "message", self.in_force)
            assert status.state == {"deleted": "stale"}.get(self.stored, self.stored)
            assert self.stored != "rejected" or status.rejected.index == self.consul.index(self.key)
        else:
            assert (status.state, status.rejected) == ("stale", seen), "what was seen last is not forgotten"
        assert self.following.message == self.in_force

    def _put(self, value, becomes):
        self.consul.put(self.key, value)
        self.stored, self.is_news = becomes, True


class Registration(RuleBasedStateMachine):
    """The model: whether the agent's entry is the desired one, and how often it was written."""

    def __init__(self, consul):
        super().__init__()
        self.consul, self.proxy = consul, Proxy(consul.http_port)
        self.id = f"stateful-{uuid.uuid4()}"
        self.definition = ServiceDefinition("stateful", self.id, "127.0.0.1", free_port(), tags=("a",))
        self.client = client_of(self.proxy)
        self.keeper = Keeper(self.client, self.definition)
        self.steps = self.keeper.steps()
        self.is_right, self.is_reachable, self.in_maintenance, self.written = False, True, False, 0

    def teardown(self):
        self.proxy.pass_through()
        next(self.keeper.leave(), None)
        assert self.id not in self.consul.agent_services()
        self.client.close()
        self.proxy.refuse()

    @rule()
    def lose_the_entry(self):
        self.consul.api("PUT", f"/v1/agent/service/deregister/{self.id}")
        self.is_right = self.in_maintenance = False

    @rule(
        changed=st.sampled_from(
            [{"Tags": ["b"]}, {"Port": 1}, {"Address": "10.0.0.1"}, {"Meta": {"a": "b"}}, {"Weights": {"Passing": 7}}]
        )
    )
    def change_the_entry(self, changed):
        entry = {**self.definition.payload(), **changed}
        self.consul.register(entry.pop("Name"), **entry)
        self.is_right = False

    @precondition(lambda self: self.is_right)
    @rule()
    def add_a_check(self):
        check = {"Name": "foreign", "ID": f"foreign-{self.id}", "ServiceID": self.id, "TTL": "60s"}
        assert self.consul.api("PUT", "/v1/agent/check/register", json=check).ok

    @precondition(lambda self: self.is_right)
    @rule(on=st.booleans())
    def turn_maintenance(self, on):
        path = f"/v1/agent/service/maintenance/{self.id}?enable={'true' if on else 'false'}"
        assert self.consul.api("PUT", path).ok
        self.in_maintenance = on

    @rule(reachable=st.booleans())
    def lose_or_find_consul(self, reachable):
        self.is_reachable = reachable
        self.proxy.pass_through() if reachable else self.proxy.refuse()

    @rule()
    def step(self):
        assert next(self.steps) > 0
        if self.is_reachable:
            self.written += not self.is_right
            self.is_right = True
            service = self.consul.agent_services()[self.id]
            assert (service["Tags"], service["Port"], service["Address"]) == (["a"], self.definition.port, "127.0.0.1")
            own = {self.definition.ready_check_id, self.definition.live_check_id}
            others = self._checks() - own
            assert {check.startswith("_service_maintenance") for check in others} == (
                {True} if self.in_maintenance else set()
            )
        assert registrations(self.proxy) == self.written, "it is written when it is not the desired one, and only then"

    def _checks(self):
        checks = self.consul.api("GET", "/v1/agent/checks").json()
        return {check["CheckID"] for check in checks.values() if check["ServiceID"] == self.id}


class History(RuleBasedStateMachine):
    """The model: every write of the document in order, each with its index and the id of its save, if it was one."""

    KEEP = 3

    def __init__(self, consul):
        super().__init__()
        self.consul, self.client, self.key = consul, client_of(consul), f"history-{uuid.uuid4()}"
        self.writes, self.last = [], None

    def teardown(self):
        self.client.close()
        self.consul.delete(f"{self.key}?recurse")

    @initialize()
    def put_the_first(self):
        self.put_from_outside()

    @property
    def index(self):
        return self.writes[-1][0]

    @rule()
    def save(self):
        self.last = self._entry(self.index)
        saved = repository.save(self.client, self.key, raw(document(message=str(uuid.uuid4()))), self.last, self.KEEP)
        assert not saved.earlier
        self.writes.append((saved.index, self.last.id))
        assert self.consul.index(self.key) == saved.index

    @precondition(lambda self: self.last and any(save_id == self.last.id for _, save_id in self._kept()))
    @rule()
    def save_the_same_again(self):
        saved = repository.save(self.client, self.key, raw(document(message=str(uuid.uuid4()))), self.last, self.KEEP)
        assert saved.earlier
        assert (saved.index, self.last.id) in self.writes

    @rule(behind=st.integers(1, 3))
    def save_on_an_old_version(self, behind):
        old = max(self.index - behind, 1)
        if self.index:
            with pytest.raises(repository.Conflict):
                repository.save(
                    self.client, self.key, raw(document(message=str(uuid.uuid4()))), self._entry(old), self.KEEP
                )

    @rule()
    def put_from_outside(self):
        self.consul.put(self.key, document(message=str(uuid.uuid4())))
        self.writes.append((self.consul.index(self.key), None))

    @precondition(lambda self: self.index)
    @rule()
    def delete_from_outside(self):
        self.consul.delete(self.key)
        self.writes.append((0, None))

    @rule()
    def read(self):
        ids, others = history.ids(self.client, self.key)
        assert (ids, others) == ([save_id for _, save_id in reversed(self._kept())], 0)
        page = history.read_page(self.client, self.key, ids, 0, len(ids))
        assert repository.read(self.client, self.key).index == self.index
        shown = [(event.index, event.save and event.save.id) for event in history.timeline(page, self.index, {})]
        assert shown == self._expected()

    def _kept(self):
        return [write for write in self.writes if write[1]][-self.KEEP :]

    def _expected(self):
        """Each save that is kept; of the writes from outside beside them, the last before the next save."""
        kept = self._kept()
        oldest = self.writes.index(kept[0]) if kept else len(self.writes)
        seen = self.writes[max(oldest - 1, 0) :]
        nexts = [*seen[1:], None]
        shown = [write for write, after in zip(seen, nexts, strict=True) if write[1] or after is None or after[1]]
        if kept and shown[0] != kept[0]:
            replaced = (shown.pop(0)[0], None)
            shown = [replaced, *shown] if replaced[0] else shown
        return shown[::-1]

    def _entry(self, replaced_index):
        now = datetime.now(UTC)
        return history.Save(now.isoformat(), "a", "b", "edit", replaced_index, {}, (), history.new_id(now))


@pytest.mark.slow
def test_live_configuration_is_what_the_model_says(consul, redis):
    run_state_machine_as_test(lambda: LiveConfiguration(consul, redis), settings=SETTINGS)


@pytest.mark.slow
def test_registration_is_what_the_model_says(consul):
    run_state_machine_as_test(lambda: Registration(consul), settings=SETTINGS)


@pytest.mark.slow
def test_history_is_what_the_model_says(consul):
    run_state_machine_as_test(lambda: History(consul), settings=SETTINGS)

"""The admin's pages beside 500 workers in 50 instances and 1,000 versions: as small and nearly as quick as beside 5."""

import base64
import contextlib
import json
import statistics
import time
from dataclasses import dataclass, field

import pytest
import requests

from tests.support.admin import PATH, AdminSite, FormFields
from tests.support.documents import document
from tests.support.waiting import wait_until

STARTED = "2026-01-01T00:00:00Z"
REJECTED = "redis_config.redis_port: must be a whole number"
SETTINGS = {"redis_config.redis_host": "127.0.0.1", "redis_config.redis_port": 6379, "redis_config.redis_db": 0}
MOST_TIMES, MOST_SECONDS, MOST_BYTES = 2, 1.0, 1_000_000


@dataclass
class Crowd:
    """A site of one worker, beside so many published workers, and with so many versions in its history."""

    site: AdminSite
    consul: object
    instances: int
    workers: int
    versions: int
    own: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self):
        self.session = self.own.put(f"{self.consul.url}/v1/session/create", timeout=30).json()["ID"]

    def save_history(self):
        """Each version follows from the one before, as saves do; the last one is stored and in force."""
        index, stored = self.consul.index(self.site.key), self.consul.get(self.site.key)
        for number in range(self.versions):
            before, after = ({"value": f"text {number + step}"} for step in (0, 1))
            entry = {
                "saved_at": STARTED,
                "user": "keeper",
                "comment": f"Change {number}",
                "kind": "edit",
                "replaced_index": index,
                "replaced": {"show_message": before} | {path: {"value": value} for path, value in SETTINGS.items()},
                "changes": [{"setting": "show_message", "before": before, "after": after}],
            }
            writes = {f"{self.site.key}.history/{self.save_id(number)}": json.dumps(entry).encode()}
            if number == self.versions - 1:
                writes[self.site.key] = stored + b"\n"  # the same again would be no version
            index = self.write(writes)
        wait_until(lambda: self.site.runs(index, workers=1), message="the newest version in force")

    def save_id(self, number):
        return f"20260101T000000.{number:06}Z-00000000"

    def write(self, values):
        """All in one transaction; returns the index that it gave them."""
        encoded = {key: base64.b64encode(value).decode() for key, value in values.items()}
        writes = [{"KV": {"Verb": "set", "Key": key, "Value": value}} for key, value in encoded.items()]
        answer = self.own.put(f"{self.consul.url}/v1/txn", json=writes, timeout=30)
        return answer.json()["Results"][0]["KV"]["ModifyIndex"]

    def publish(self, in_force, rejected):
        """Have all workers say what they run, each under a session as workers do, in registered instances."""
        state = {"state": "rejected", "reason": REJECTED, "rejected": rejected} if rejected else {"state": "current"}
        said = {"started_at": STARTED, "seen_at": STARTED, "index": in_force, "workers": self.workers, **state}
        for number in range(self.instances):
            name = f"{self.site.key}-{number}"
            self.consul.register(self.site.key, ID=name, Port=8000, Check={"TTL": "10m", "Status": "passing"})
            for pid in range(1, self.workers + 1):
                key = f"{self.consul.url}/v1/kv/{self.site.key}.workers/{name}/{pid}"
                assert self.own.put(key, json=said, params={"acquire": self.session}, timeout=30).json()

    def cpu_seconds(self):
        """Of the site's one worker, threads that have ended included, by the clock that Linux has of each process."""
        (pid,) = self.site.worker_pids()
        return time.clock_gettime(~pid << 3 | 2)


@pytest.fixture(scope="module")
def crowds(session_admin, session_consul, session_redis):
    """5 workers in one instance with 3 versions, and 500 in 50 with 1,000; each site's own worker comes on top."""
    with contextlib.ExitStack() as stack:
        found = []
        for name, instances, workers, versions in (("few", 1, 5, 3), ("many", 50, 10, 1000)):
            session_consul.put(f"crowd-{name}", document(session_redis))
            own = {"DEMO_CONFIG_KEY": f"crowd-{name}", "SERVICE_NAME": f"crowd-{name}"}
            site = stack.enter_context(AdminSite({**session_admin.environment, **own}))
            site.password = session_admin.password
            found.append(Crowd(site.gunicorn(), session_consul, instances, workers, versions))
            found[-1].save_history()
        yield found


@pytest.fixture(params=["current", "rejected"])
def published(crowds, consul, redis, request):
    """All workers say that they are current, or that they reject what is stored."""
    before = [consul.get(crowd.site.key) for crowd in crowds]
    for crowd in crowds:
        site, in_force, rejected = crowd.site, consul.index(crowd.site.key), None
        if request.param == "rejected":
            consul.put(site.key, b'{"redis_config": {"redis_port": "x"}}')
            rejected = consul.index(site.key)
        wait_until(lambda site=site: site.ready()["config"]["state"] == request.param, message="the state")
        crowd.publish(in_force, rejected)
    yield
    for crowd, stored in zip(crowds, before, strict=True):
        consul.put(crowd.site.key, stored)


def ask_for(crowd, session, redis):
    """A function for each page that asks for it."""
    site, newest = crowd.site, crowd.save_id(crowd.versions - 1)
    last = -(-crowd.versions // 20)
    paths = {
        "start": "/admin/",
        "overview": PATH,
        "status": f"{PATH}status/",
        "form": f"{PATH}edit/",
        "history": f"{PATH}history/",
        "oldest versions": f"{PATH}history/?page={last}",
        "rollback": f"{PATH}history/{newest}/rollback/",
        "restore a version": f"{PATH}history/{newest}/restore/",
        "restore": f"{PATH}restore/",
    }
    asks = {name: lambda path=path: session.get(site.url + path, timeout=60) for name, path in paths.items()}
    form = FormFields(asks["form"]().text).found | {"show_message": "new", "comment": "why", "step": "preview"}
    form |= {"redis_config__redis_port": str(redis.port), "redis_config__redis_password": redis.password}
    asks["preview"] = lambda: session.post(f"{site.url}{PATH}edit/", form, headers={"Referer": site.url}, timeout=60)
    return asks


def test_every_page_beside_500_workers_takes_at_most_twice_as_long_as_beside_5(crowds, published, redis):
    """CPU time of the worker, because the machine may be busy; asked in turn, the medians compared."""
    asks = [ask_for(crowd, crowd.site.session("keeper"), redis) for crowd in crowds]
    assert 'id="preview"' in asks[1]["preview"]().text
    assert asks[1]["overview"]().text.count("<tbody") > 50
    measured = {name: times_of(name, crowds, asks) for name in asks[0]}
    assert {name: times for name, times in measured.items() if times > MOST_TIMES} == {}


def times_of(name, crowds, asks):
    """How many times as much CPU the page takes of the second as of the first; its size and its time are checked."""
    used, seconds = ([], []), []
    for _ in range(5):
        for number, crowd in enumerate(crowds):
            began, before = time.monotonic(), crowd.cpu_seconds()
            answers = [asks[number][name]() for _ in range(2)]
            used[number].append(crowd.cpu_seconds() - before)
            seconds.append((time.monotonic() - began) / 2)
            assert all(answer.status_code == 200 and len(answer.content) < MOST_BYTES for answer in answers), name
    assert statistics.median(seconds) < MOST_SECONDS, name
    few, many = map(statistics.median, used)
    print(f"{name}: {few * 500:.1f} and {many * 500:.1f} ms, {len(answers[0].content):,} bytes")
    return many / few

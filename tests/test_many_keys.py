"""Whoever may write keys decides how many there are: pages stay quick and short, and a worker's memory bounded."""

import base64
import json
import re

import psutil
import pytest

from demo_site import identity
from demo_site.fleet.instances import MOST_WORKERS
from tests.support import shown
from tests.support.admin import PATH, start_admin
from tests.support.consul import ConsulServer
from tests.support.editors import Editor
from tests.support.waiting import wait_until
from tests.test_poisoned_keys import SAID, put_anywhere

pytestmark = pytest.mark.slow

KEY = "many-keys"
WORKERS, ENTRIES = 30_000, 100_000
MOST_BYTES = 5_000_000
MOST_SECONDS = 3  # of CPU; on a quiet machine each takes less than 1
QUOTES = "'" * 496  # each takes six characters of a page
MOST_GROWTH = 20_000_000  # bytes


@pytest.fixture(scope="module")
def own_consul():
    """A Consul of this module's, because it is full afterwards."""
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="module")
def site(own_consul, session_redis):
    with start_admin(own_consul, session_redis, KEY, CONSUL_HTTP_ADDR=own_consul.address) as made:
        yield made.gunicorn()


@pytest.fixture(scope="module")
def viewer(site):
    return site.session("viewer")


def put_all(consul, pairs):
    """Write so many keys, 64 in a transaction."""
    pairs = list(pairs)
    for start in range(0, len(pairs), 64):
        operations = [
            {"KV": {"Verb": "set", "Key": key, "Value": base64.b64encode(value.encode()).decode()}}
            for key, value in pairs[start : start + 64]
        ]
        assert consul.api("PUT", "/v1/txn", json=operations).ok


def cpu_seconds(site):
    """The CPU time of the site's one worker, however busy the machine is."""
    (pid,) = site.worker_pids()
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


def get(site, session, path=""):
    """The page, which took the site's worker a bounded time and has a bounded length."""
    began = cpu_seconds(site)
    answer = session.get(f"{site.url}{PATH}{path}", timeout=60)
    spent = cpu_seconds(site) - began
    assert answer.status_code == 200
    assert len(answer.content) < MOST_BYTES, path
    assert spent < MOST_SECONDS, path
    print(path, f"{spent:.2f} s of CPU, {answer.elapsed.total_seconds():.2f} s, {len(answer.content)} bytes")
    return answer.text


@pytest.fixture
def workers(own_consul):
    """Write keys of workers, by instance and pid; they go with the test."""

    def put(places, **members):
        said = json.dumps(SAID | members)
        put_all(own_consul, [(f"{KEY}.workers/{instance}/{pid}", said) for instance, pid in places])

    yield put
    own_consul.delete(f"{KEY}.workers/?recurse")
    own_consul.deregister_all()


def not_read(page):
    return sum(map(int, re.findall(r"Not read: (\d+)", page)))


def test_values_that_do_not_fit_into_one_answer_are_read_one_by_one(site, viewer, own_consul, workers):
    for pid in range(60):
        own_consul.put(
            f"{KEY}.workers/long/{pid}", json.dumps(SAID)[:-1] + f', "of_another_version": "{"x" * 400_000}"}}'
        )
    page = get(site, viewer)
    read = len(shown.workers(page)["long"])
    assert read
    assert read + not_read(page) in (60, 61)  # the site's own may be among those that are not read


@pytest.mark.parametrize("instances", [1, 100, WORKERS])
def test_thirty_thousand_workers_are_read_in_part_and_the_page_says_so(site, viewer, workers, instances):
    workers((f"i{number % instances}", number) for number in range(WORKERS))
    for path in ("", "status/"):
        page = get(site, viewer, path)
        there = shown.workers(page)
        read = sum(map(len, there.values()))
        assert 0 < read <= MOST_WORKERS
        assert min(instances, 500) <= len(there) <= min(instances + 1, 500)  # the site's own
        assert WORKERS - MOST_WORKERS <= not_read(page) < WORKERS
    result = site.command("effective_config", "--fleet")
    assert result.status == 0, result.stderr
    assert not_read(result.stderr) >= WORKERS - 5000


def test_of_more_workers_than_are_read_each_instance_has_some(site, viewer, workers, own_consul):
    """The registered ones first: whoever may write keys may not be able to register."""
    workers([("a", number) for number in range(3000)])
    workers([(f"b{number}", 1) for number in range(999)])
    own_consul.register(identity.NAME, ID="registered", Port=8000)
    workers([("registered", 1)])
    page = get(site, viewer)
    there = shown.workers(page)
    assert there["registered"].keys() == {1}
    assert 0 < len(there["a"]) <= 2
    assert f"not read: {3000 - len(there['a'])}" in page


def test_rows_of_pages_before_are_not_kept(own_consul, session_redis):
    """Each refresh shows 800 other rows of half a kilobyte. In a process that was not larger before."""
    key = "other-rows"
    with start_admin(own_consul, session_redis, key, CONSUL_HTTP_ADDR=own_consul.address) as site:
        viewer, (pid,) = site.gunicorn().session("viewer"), site.worker_pids()
        for turn in range(30):
            reasons = {number: f"{turn} {number} {'x' * 480}" for number in range(1000)}
            values = {n: json.dumps(SAID | {"state": "stale", "reason": reason}) for n, reason in reasons.items()}
            put_all(own_consul, [(f"{key}.workers/i{n % 10}/{n}", value) for n, value in values.items()])
            assert len(get(site, viewer, "status/")) > 500_000
            if turn == 4:
                before = psutil.Process(pid).memory_info().rss
        grown = psutil.Process(pid).memory_info().rss - before
        print(f"grown by {grown} bytes")
        assert grown < MOST_GROWTH


def test_instances_beyond_what_a_page_shows_are_counted(site, viewer, own_consul):
    for number in range(600):
        own_consul.register(identity.NAME, ID=f"crowd-{number}", Port=8000)
    wait_until(lambda: "Not shown: 10" in get(site, viewer, "status/"), interval=1)
    own_consul.deregister_all()


def test_the_largest_page_of_the_fleet_stays_below_its_size(site, viewer, workers, own_consul):
    """As many workers as are read, each with a reason of its own, and instances with the longest names; all quotes."""
    reasons = {number: json.dumps(SAID | {"state": "x", "reason": f"{number:04}{QUOTES}"}) for number in range(900)}
    put_all(own_consul, [(f"{KEY}.workers/0/{number}", value) for number, value in reasons.items()])
    for port, name in enumerate(("0", *(f"{number:03}{QUOTES}" for number in range(500))), 8000):
        own_consul.register(identity.NAME, ID=name, Port=port)  # at one place they would be one instance
    wait_until(lambda: "Not shown:" in get(site, viewer, "status/"), interval=1)
    assert len(get(site, viewer)) > 3_500_000


# The history.


def entry_keys(consul):
    return consul.api("GET", f"/v1/kv/{KEY}.history/?keys").json()


@pytest.fixture(scope="module")
def many_entries(site, own_consul):
    """100,000 entries older than the site's own, which is yielded, with what an entry holds."""
    editor = Editor(site, "editor")
    assert "Saved as version" in editor.post(editor.form() | {"show_message": "changed", "comment": "the own"})
    value = own_consul.get(entry_keys(own_consul)[-1]).decode()
    names = (f"{KEY}.history/20250101T{n // 3600 % 24:02}0000.{n:06}Z-00000000" for n in range(ENTRIES))
    put_all(own_consul, ((name, value) for name in names))
    return value


def test_a_hundred_thousand_entries_are_shown_page_by_page(site, viewer, own_consul, many_entries):
    count = len(entry_keys(own_consul))
    last = -(-count // 20)
    page = get(site, viewer, "history/")
    assert f"Page 1 of {last}" in page
    assert "the own" in page
    for number in (2, 2500, last):
        found = [event.kind for event in shown.events(get(site, viewer, f"history/?page={number}"))]
        assert found.count("edit") == (20 if number < last else count - 20 * (last - 1))
    assert found[-1] == "oldest"
    assert len(shown.events(get(site, viewer))) == 3


def test_a_search_reads_the_newest_entries_and_says_how_many_it_did_not(site, viewer, own_consul, many_entries):
    page = get(site, viewer, "history/?user=editor")
    searched = int(re.search(r"(\d+) changes? match", page)[1])
    assert 1 < searched <= 1000
    assert int(re.search(r"not searched[^:]*: (\d+)", page)[1]) == len(entry_keys(own_consul)) - searched
    assert "is not among these changes" in get(site, viewer, "history/?version=1")


def test_a_save_still_works_and_drops_what_fits_into_its_transaction(site, own_consul, many_entries):
    editor = Editor(site, "editor")
    get(site, editor.session, "edit/")
    before = len(entry_keys(own_consul))
    assert "Saved as version" in editor.post(editor.form() | {"show_message": "again", "comment": "another"})
    assert len(entry_keys(own_consul)) == before + 1 - 62


def test_pages_of_the_longest_entries_are_bounded(site, viewer, own_consul, many_entries):
    entry = json.loads(many_entries)
    long = {"of_another_version": {"value": "'" * 350_000}}
    for number in range(30):
        name = f"{KEY}.history/20260101T000000.{number:06}Z-00000000"
        own_consul.put(name, json.dumps(entry | {"replaced": long}))
    for path in ("history/?page=1", "history/?page=2", "history/?user=editor", ""):
        get(site, viewer, path)
    own_consul.delete(f"{KEY}.history/20260101?recurse")


@pytest.fixture
def endless_names(own_consul):
    """Keys whose names are longer than 16 MiB together, as those of 240,000 entries are."""
    names = [f"{KEY}.history/{number:02}{'x' * 380_000}" for number in range(45)]
    for name in names:
        put_anywhere(own_consul, name, "")
    yield
    for name in names:
        assert own_consul.api("PUT", "/v1/txn", json=[{"KV": {"Verb": "delete", "Key": name}}]).ok


def test_more_entries_than_can_be_listed_are_told_with_a_remedy_and_a_save_works(site, viewer, endless_names):
    remedy = (
        f"Below <code>{KEY}.history/</code> are more keys than can be read. Delete those that are not the site&#x27;s."
    )
    assert remedy in get(site, viewer, "history/")
    assert remedy in get(site, viewer)
    editor = Editor(site, "editor")
    assert "Saved as version" in editor.post(editor.form() | {"show_message": "still", "comment": "another"})

"""The verdict: one sentence for how everything is, the same on the overview, in its title and on the admin's index."""

import html
import re

import pytest

from demo_site.fleet.instances import Fleet, Instance
from demo_site.fleet.worker import Worker
from demo_site.messages import Message
from demo_site.monitoring import verdict
from demo_site.monitoring.checks import Line
from tests.support.admin import PATH
from tests.support.documents import document
from tests.support.waiting import wait_until


def worker(pid, index=386, state="current", **members):
    known = {"started_at": "2026-01-01", "reason": None, "workers": 2, "seen_at": "2026-01-01"} | members
    return Worker("web1", pid, index=index, state=state, **known)


def fleet(*workers, health="passing", others=()):
    return Fleet((Instance("web1", health, workers, expected=2), *others))


def line(what, level="bad", text="it is away", **members):
    return Line(what, level, Message(text), **members)


WELL = fleet(worker(1), worker(2))
ALONE = Instance("web2", "passing", (worker(3),), expected=1)
REJECTING = {"state": "rejected", "rejected": 387}


@pytest.mark.parametrize(
    ("found", "level", "text"),
    [
        (WELL, "good", "All well: 1 instance, 2 workers on version 386"),
        (fleet(worker(1), worker(2), others=[ALONE]), "good", "All well: 2 instances, 3 workers on version 386"),
        (fleet(worker(1, None, "file"), worker(2, None, "file")), "good", "All well: 1 instance, 2 workers"),
        (fleet(worker(1)), "bad", "1 worker missing on web1"),
        (fleet(), "bad", "2 workers missing on web1"),
        (fleet(worker(1, **REJECTING), worker(2)), "bad", "Version 387 is rejected by 1 of 2 workers"),
        (fleet(worker(1, state="stale"), worker(2)), "bad", "1 of 2 workers: stale"),
        (fleet(worker(1), worker(2), health="critical"), "bad", "The health check says critical: web1"),
        (fleet(worker(1, registers=True), worker(2), health=None), "bad", "Not registered, but should be: web1"),
        (fleet(worker(1, 385), worker(2)), "note", "Version 386: 1 of 2 workers run it"),
        (Fleet(()), "note", "No worker has published itself, and no instance is registered."),
        (None, "note", "Which worker runs what cannot be read"),
    ],
)
def test_it_says_in_one_sentence_how_the_fleet_is(found, level, text):
    assert verdict.of(found, index=386) == verdict.Verdict(level, text)


def test_what_is_worst_comes_first_and_the_rest_follows():
    lines = [line("Consul", "good"), line("Redis", text="no Redis"), line("Document", text="two"), line("Registration")]
    found = verdict.of(fleet(worker(1, **REJECTING), others=[ALONE]), lines, 386)
    assert (found.level, found.text) == ("bad", "no Redis")
    assert found.others == ("1 worker missing on web1", "Version 387 is rejected by 1 of 2 workers")


def test_nothing_of_the_fleet_is_claimed_without_consul():
    found = verdict.of(None, [line("Consul", text="no Consul"), line("Document"), line("Redis", "good")])
    assert (found.text, found.others) == ("no Consul", ())


def test_what_this_worker_knows_counts_before_the_fleet_has_it():
    lines = [line("Document", text="a long reason", brief=Message("Version 387 is rejected"))]
    assert verdict.of(WELL, lines, 386).text == "Version 387 is rejected"


# In the pages.


def said(page, selector):
    return html.unescape(re.sub(r"<[^>]+>", "", re.search(selector, page, re.DOTALL)[1])).strip()


@pytest.fixture
def shown(admin):
    """The verdict as the overview and the index have it, checked to be one: its level and its text."""
    session = admin.session("keeper")

    def read():
        found = set()
        for path in (PATH, "/admin/"):
            page = session.get(admin.url + path, timeout=30, headers={"Connection": "close"}).text
            level = re.search(r'configuration-verdict (\w+)"', page)[1]
            text = said(page, r"configuration-verdict .*?<p>(.*?)</p>")
            assert said(page, "<title>(.*?)</title>").startswith(f"{text} | ")
            colours = {"good": "2b7a4b", "note": "c98a00", "bad": "ba2121"}
            assert colours[level] in re.search('rel="icon" href="([^"]+)"', page)[1]
            found.add((level, text))
        assert len(found) == 1, found
        return found.pop()

    return read


def test_five_states_have_five_verdicts_each_the_same_in_the_page_its_title_its_icon_and_the_index(
    admin, consul, redis, shown, new_proxy
):
    proxy = new_proxy(redis.port)
    consul.put(admin.key, document(redis, redis_config=redis.document(redis_port=proxy.port)))
    version = consul.index(admin.key)
    wait_until(lambda: admin.runs(version), message="both workers to follow")

    def wait_for(level, beginning):
        def is_shown():
            found = shown_now(shown)
            return found and found[0] == level and found[1].startswith(beginning)

        wait_until(is_shown, message=beginning)

    wait_for("good", f"All well: 1 instance, 2 workers on version {version}")
    path = f"{admin.key}.workers/elsewhere/1"
    consul.put(path, {"started_at": "2026", "seen_at": "2026", "workers": 2, "index": version, "state": "current"})
    wait_for("bad", "1 worker missing on elsewhere")
    consul.delete(path)
    proxy.refuse()
    wait_for("bad", f"The Redis at 127.0.0.1:{proxy.port}, database 0 refused")
    proxy.pass_through()
    consul.put(admin.key, b"{}")
    wait_for("bad", f"Version {consul.index(admin.key)} is rejected by 2 of 2 workers")
    admin.proxy.refuse()
    wait_for("bad", f"Consul at http://{admin.proxy.address} refused")


def shown_now(shown):
    """None while two pages, read one after the other, have two states."""
    try:
        return shown()
    except AssertionError:
        return None

"""The pulse on the overview: it shows what visitors get, whichever worker answers, and what is not known as a gap."""

import contextlib
import os
import re
import signal

import pytest
import requests

from demo_site.admin.pulse import drawn
from demo_site.metrics.pulse import Sample
from tests.support.admin import PATH, start_admin
from tests.support.waiting import wait_until

NOON = 12 * 3600.0


def samples(*counts):
    """One each 5 s until noon, of views and 503s that came on top; None: nobody was there to take it."""
    found, views, failed = [Sample(NOON - 5 * len(counts), 0, 0)], 0, 0
    for number, count in enumerate(counts, start=1):
        if count is not None:
            views, failed = views + count[0], failed + count[1]
            found.append(Sample(NOON - 5 * (len(counts) - number), views, failed))
    return found


def rows(pulse):
    return [(row.began, row.rate, row.failed) for row in pulse["rows"]]


def test_views_a_second_and_503s_of_five_minutes():
    pulse = drawn(samples(*[(50, 0)] * 54, *[(0, 3)] * 6), NOON)
    assert (pulse["rate"], pulse["failed"], pulse["is_whole"]) == ("9", 18, True)
    assert rows(pulse)[:2] == [("11:59:30", "0", 18), ("11:59:00", "10", 0)]
    assert len(pulse["rows"]) == 10


def test_what_was_not_measured_is_a_gap_and_no_zero():
    measured = [(50, 0)] * 6
    pulse = drawn(samples(*measured, *[None] * 5, (50, 0), *measured), NOON)
    assert [row[1] for row in rows(pulse)] == ["10", None, "10"]
    assert (pulse["rate"], pulse["seconds"], pulse["is_whole"]) == ("10", 60, False)
    line = re.search('class="line" d="([^"]+)"', pulse["picture"])[1]
    assert line.count("M") == 2


def test_no_visitors_are_a_line_at_zero():
    pulse = drawn(samples(*[(0, 0)] * 60), NOON)
    assert (pulse["rate"], pulse["failed"]) == ("0", 0)
    assert {row[1] for row in rows(pulse)} == {"0"}
    assert 'class="line"' in pulse["picture"]
    assert "failed" not in pulse["picture"]


@pytest.mark.parametrize("found", [[], [Sample(NOON, 7, 7)]], ids=["none", "one"])
def test_without_two_samples_nothing_is_known(found):
    assert drawn(found, NOON) == {}


def test_the_first_sample_that_a_busy_machine_missed_is_no_gap():
    assert drawn(samples((50, 0), None, (100, 0)), NOON)["seconds"] == 15


# On a site that runs.


@pytest.fixture
def own_admin(consul, own_redis, config_key):
    with contextlib.closing(start_admin(consul, own_redis, config_key)) as site:
        yield site.gunicorn(workers=2)


def test_pulse_follows_load_and_outage_and_outlives_a_worker_but_not_the_instance(own_admin, own_redis):
    session = own_admin.session("viewer")

    def figures():
        """Views a second, and 503s, of whichever worker answers; None before the first."""
        page = session.get(f"{own_admin.url}{PATH}status/", headers={"Connection": "close"}, timeout=60).text
        assert re.search(rf"pulse-instance[^>]*>[^<]+-{own_admin.port}<", page)
        found = re.search(r'id="pulse-sentence">([\d.,]+) views a second on average, (\d+) answered 503', page)
        return found and (float(found[1].replace(",", "")), int(found[2]))

    wait_until(lambda: figures() == (0, 0), message="the first figures")
    for _ in range(100):
        own_admin.get("/", session=requests)
    wait_until(lambda: (figures() or (0, 0))[0] > 0, message="the views to show")
    for pid in own_admin.worker_pids():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: figures()[0] > 0, ignoring=(requests.RequestException,), message="the new workers")
    own_redis.pause()
    assert {own_admin.get("/", session=requests).status_code for _ in range(4)} == {503}
    wait_until(lambda: figures()[1] == 4, message="the 503s to show")
    own_redis.resume()
    assert own_admin.stop() == 0
    own_admin.gunicorn(workers=2)
    assert wait_until(figures, message="the first figures of the new instance") == (0, 0)

"""A version's page: after a save one sees it come into force, and later what became of it."""

import pytest

from demo_site.monitoring import rollout
from tests.support.admin import PATH
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.waiting import wait_until
from tests.test_verdict import REJECTING, fleet, worker

SAID = {"started_at": "2026-01-01T00:00:00Z", "seen_at": "2026-01-01T00:00:00Z", "workers": 2}


@pytest.mark.parametrize(
    ("found", "stored", "level", "text"),
    [
        (fleet(worker(1), worker(2)), 386, "good", "Version 386 is in force: all 2 workers run it"),
        (fleet(worker(1, 385), worker(2)), 386, "note", "Version 386: 1 of 2 workers run it"),
        (fleet(worker(1, None, "file"), worker(2)), 386, "good", "the one worker runs it"),
        (fleet(worker(1, state="stale"), worker(2)), 386, "bad", "Version 386: 1 of 2 workers run it"),
        (fleet(worker(1, rejected=386, state="rejected"), worker(2)), 386, "bad", "rejected by 1 of 2 workers"),
        (fleet(worker(1, 390), worker(2, 390)), 390, "note", "Version 386 was replaced by version 390"),
        (fleet(worker(1, state="stale")), None, "note", "the document was deleted"),
        (fleet(), 386, "note", "No worker has published itself"),
    ],
)
def test_it_says_how_far_a_version_has_come(found, stored, level, text):
    progress = rollout.of(found, 386, stored)
    assert progress.verdict.level == level
    assert text in progress.verdict.text


def test_who_rejects_it_is_said_with_the_reason_each_reason_once():
    said = REJECTING | {"reason": "no such Redis"}
    found = fleet(worker(1, **said), worker(2, **said), worker(3, **said | {"reason": "another"}), worker(4, 387))
    progress = rollout.of(found, 387, 387)
    assert progress.verdict.text == "Version 387 is rejected by 3 of 4 workers"
    assert progress.verdict.others == ("on web1: no such Redis", "on web1: another")
    assert (progress.running, progress.workers) == (1, 4)


@pytest.fixture
def pages(admin, browser):
    return admin.log_in(browser, "keeper")


def said(pages):
    return pages.text("[data-status=verdict]")


def test_a_save_leads_to_its_rollout_which_is_amber_then_green(pages, admin, consul):
    behind = consul.index(admin.key)
    name = f"{admin.key}.workers/elsewhere/71"
    consul.put(name, SAID | {"state": "current", "index": behind})
    pages.edit("for the fair", show_message="open").save()
    index = consul.index(admin.key)
    assert pages.driver.current_url == f"{admin.url}{PATH}version/{index}/"
    wait_until(lambda: f"Version {index}: 2 of 3 workers run it" in said(pages), message="two of three")
    assert pages.driver.title.startswith(f"Version {index}: 2 of 3")
    assert pages.browser.one("progress").get_property("value") == 2
    consul.put(name, SAID | {"state": "current", "index": index})
    wait_until(lambda: pages.has(".good[data-status=verdict]"), message="the third")
    assert "all 3 workers run it" in said(pages)
    assert "for the fair" in pages.text(".configuration-timeline")
    assert pages.differences()["show_message"][1] == "open"
    consul.delete(name)


def test_who_rejects_it_is_red_with_the_way_back_beside(pages, admin, consul):
    pages.edit("a mistake", show_message="mistaken").save()
    index = consul.index(admin.key)
    name = f"{admin.key}.workers/elsewhere/71"
    reason = f"version {index} was rejected: redis_config.redis_port: <wrong>"
    consul.put(name, SAID | {"state": "rejected", "index": index - 1, "rejected": index, "reason": reason})
    wait_until(lambda: pages.has(".bad[data-status=verdict]"), message="the rejection")
    assert f"Version {index} is rejected by 1 of 3 workers" in said(pages)
    assert f"On elsewhere: {reason}" in said(pages)
    pages.press(".configuration-rollout a.rollback")
    assert pages.value("comment") == f"Undo version {index}"
    consul.delete(name)
    pages.press("#configuration-rollback [type=submit]")
    newer = consul.index(admin.key)
    assert pages.driver.current_url == f"{admin.url}{PATH}version/{newer}/"
    pages.open(f"version/{index}/")
    assert f"Version {index} was replaced by version {newer}" in said(pages)
    pages.press(".configuration-rollout a")
    assert pages.driver.current_url == f"{admin.url}{PATH}version/{newer}/"


def test_every_version_of_the_history_has_its_page_and_no_other(admin, consul, redis):
    """Versions made outside lie between those that were saved; a search finds each."""
    editor, made = Editor(admin, "keeper"), {}
    for number in range(6):
        assert "Saved as version" in editor.post(
            editor.form() | {"show_message": f"saved {number}", "comment": f"reason {number}"}
        )
        made[consul.index(admin.key)] = f"reason {number}"
        if number % 2:
            consul.put(admin.key, document(redis, f"outside {number}"))
            made[consul.index(admin.key)] = "Changed outside of this page"
    for index, text in made.items():
        answer = editor.session.get(f"{admin.url}{PATH}version/{index}/", timeout=30)
        assert answer.status_code == 200
        assert f'data-event="{index}"' in answer.text
        assert text in answer.text
    for index in (max(made) + 1, 1, "9" * 30, "9" * 4000):
        assert editor.session.get(f"{admin.url}{PATH}version/{index}/", timeout=30).status_code == 404


def test_without_consul_it_says_so_and_goes_on_by_itself(pages, admin, consul):
    pages.edit("before", show_message="before").save()
    admin.proxy.refuse()
    wait_until(lambda: pages.has(".bad[data-status=verdict]"), message="the outage")
    pages.open(f"version/{consul.index(admin.key)}/")
    assert pages.has("[data-events-trouble]")
    admin.proxy.pass_through()
    wait_until(lambda: pages.has(".good[data-status=verdict]"), message="the return")

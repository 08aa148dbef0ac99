"""The checker of `make chaos` can fail: each kind of violation is planted in a good record, and found."""

import dataclasses
import json

import pytest

from tests.chaos import report
from tests.chaos.checker import KINDS, Bounds, counted_twice_after_failovers, lost_in_failovers, violations
from tests.chaos.mutants import MUTANTS
from tests.chaos.record import CUT, TIMEOUT, Account, Answer, Look, Record, Step, Write
from tests.support.binaries import PROJECT

STARTED = Write(0.0, 0.1, 10, "first", "redis")
CHANGED = Write(20.0, 20.1, 11, "second", "redis")


def page(number, began, *, client=0, message="first", seconds=0.01):
    return Answer(client, began, began + seconds, 200, message, number)


def failed(status, began, *, client=0, seconds=0.01):
    return Answer(client, began, began + seconds, status)


def livez(began, seconds=0.01, status=200, late=0.0):
    return Look("a", "/livez", began, began + seconds, status, late=late)


def readyz(began, state="current", index=10, pid=1):
    return Look("a", "/readyz", began, began + 0.01, 200, pid, state, index)


def step(began=5.0, ended=7.0, recovered=0.5, **said):
    return Step(("a fault",), began, ended, recovered, **said)


def record(*what, after=None, **members):
    """A run in which nothing went wrong, with more in it."""
    made = Record(writes=[STARTED], accounts={"redis": Account(0, 0)}, **members)
    made.answers += [page(number, float(number)) for number in range(1, 5)]
    for each in what:
        places = {Answer: made.answers, Look: made.looks, Write: made.writes, Step: made.steps}
        places[type(each)].append(each)
    highest = max(answer.number or 0 for answer in made.answers)
    made.accounts["redis"] = Account(0, highest if after is None else after)
    return made


def kinds(made, bounds=None):
    return [violation.kind for violation in violations(made, bounds)]


def test_good_record_has_no_violation():
    good = record(
        *(livez(1), readyz(1), failed(503, 6.0), step(), page(6, 7.0), page(7, 7.1, client=1), CHANGED),
        *(page(8, 20.05), page(9, 20.05, client=2, message="second"), readyz(21, index=11)),
        resources={"a": {"memory": (100.0, 110.0), "sockets": (9, 9), "keys": (6, 6)}},
    )
    assert violations(good) == []


PLANTED = {
    "a number twice": record(page(4, 5.0, client=1)),
    "a lost hit": record(after=3),
    "an unexplained hit": record(page(6, 5.0)),
    "a number that shrinks": record(page(6, 5.0, client=1), page(5, 6.0, client=1)),
    "an unclean answer": record(failed(500, 5.0)),
    "a late answer": record(failed(503, 5.0, seconds=1.2)),
    "a slow /livez": record(livez(5.0, 0.3)),
    "a wrong state": record(CHANGED, readyz(40.0, index=10)),
    "a state that goes back": record(CHANGED, readyz(20.5, index=11), readyz(20.6, index=10)),
    "a wrong page": record(CHANGED, page(5, 40.0)),
    "a slow recovery": record(step(recovered=6.0)),
    "a leak": record(resources={"a": {"sockets": (9, 90)}}),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_violation_is_found_and_no_other(kind):
    assert kinds(PLANTED[kind]) == [kind]


def test_every_kind_is_planted():
    assert tuple(PLANTED) == KINDS


@pytest.mark.parametrize("resource", ["memory", "sockets", "threads", "tasks", "keys"])
def test_each_resource_can_leak(resource):
    assert kinds(record(resources={"a": {resource: (10, 90)}})) == ["a leak"]


@pytest.mark.parametrize("status", [CUT, TIMEOUT, 404, 500, 502, 504])
def test_any_other_answer_is_a_violation(status):
    assert kinds(record(failed(status, 30.0))) == ["an unclean answer"]


@pytest.mark.parametrize("status", [CUT, 502, 504])
def test_request_of_a_killed_process_may_end_with_it(status):
    assert kinds(record(step(cuts=True), failed(status, 6.0))) == []
    assert kinds(record(step(cuts=False), failed(status, 6.0))) == ["an unclean answer"]
    assert kinds(record(step(leaves=True), failed(status, 6.0))) == ["an unclean answer"]
    assert kinds(record(step(cuts=True), failed(status, 9.0))) == ["an unclean answer"]


def test_increment_is_explained_by_a_request_without_a_page_at_that_time():
    assert kinds(record(failed(503, 5.0), page(6, 5.5))) == []
    assert kinds(record(failed(503, 50.0), page(6, 5.5))) == ["an unexplained hit"]
    assert kinds(record(failed(503, 5.0), page(7, 5.5))) == ["an unexplained hit"]
    assert kinds(record(failed(503, 5.0), page(6, 5.5), page(8, 5.6))) == ["an unexplained hit"]


def test_what_held_up_the_one_that_asks_is_not_the_site_s():
    assert kinds(record(livez(5.0, 0.5, late=0.4))) == []
    assert kinds(record(livez(5.0, 0.5, late=0.1))) == ["a slow /livez"]


def test_livez_that_fails_is_a_violation_unless_its_process_was_killed():
    assert kinds(record(livez(6.0, status=CUT))) == ["a slow /livez"]
    assert kinds(record(step(cuts=True), livez(6.0, status=CUT))) == []
    assert kinds(record(step(leaves=True), livez(6.0, status=CUT))) == []


# States.


def test_both_documents_may_be_shown_while_one_replaces_the_other():
    assert kinds(record(CHANGED, readyz(20.05), readyz(20.05, index=11, pid=2), readyz(22.0))) == []


def test_document_that_is_not_written_yet_may_not_be_shown():
    assert kinds(record(CHANGED, readyz(19.0, index=11))) == ["a wrong state"]


def test_document_may_be_overtaken_for_as_long_as_consul_is_hidden():
    hidden = step(19.0, 30.0, hides=True)
    assert kinds(record(CHANGED, hidden, readyz(36.0))) == []
    assert kinds(record(CHANGED, hidden, readyz(38.0))) == ["a wrong state"]


def test_no_state_outlives_what_a_silent_watch_may_know():
    hidden = step(19.0, 200.0, hides=True)
    assert kinds(record(CHANGED, hidden, readyz(99.0))) == ["a wrong state"]


@pytest.mark.parametrize(("state", "may_be_said"), [("rejected", True), ("current", False), ("stale", False)])
def test_broken_document_is_rejected(state, may_be_said):
    broken = dataclasses.replace(CHANGED, is_valid=False, message="first")
    assert (kinds(record(broken, readyz(40.0, state))) == []) is may_be_said


@pytest.mark.parametrize(("state", "may_be_said"), [("stale", True), ("current", False), ("rejected", False)])
def test_deleted_document_is_stale(state, may_be_said):
    deleted = dataclasses.replace(CHANGED, index=None, message="first")
    assert (kinds(record(deleted, readyz(40.0, state))) == []) is may_be_said


def test_stale_needs_a_reason():
    assert kinds(record(readyz(6.0, "stale"))) == ["a wrong state"]
    assert kinds(record(step(hides=True), readyz(6.0, "stale"))) == []
    assert kinds(record(step(hides=True), readyz(30.0, "stale"))) == ["a wrong state"]


def test_step_that_never_recovered_is_a_violation():
    assert kinds(record(step(recovered=None))) == ["a slow recovery"]


# What Sentinel's asynchronous replication may lose.


def test_what_a_failover_cost_is_counted_and_no_violation():
    made = record(page(3, 5.0, client=1), page(9, 4.5, client=2))
    made.accounts["redis"] = Account(0, 4, may_lose=True)
    assert violations(made) == []
    assert (counted_twice_after_failovers(made), lost_in_failovers(made)) == (1, 1)


def test_bounds_can_be_wider():
    assert kinds(record(livez(5.0, 0.3)), Bounds(livez=1.0)) == []


# Mutants of the site.


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.title)
def test_mutant_is_a_change_of_the_code_as_it_is_and_documented(mutant):
    assert (PROJECT / mutant.file).read_text().count(mutant.old) >= 1
    assert (PROJECT / mutant.found_by.partition("::")[0]).exists()
    page = (PROJECT / "docs" / "reliability.md").read_text()
    assert f"| {mutant.title} | `{mutant.found_by}` |" in page


def test_tables_of_the_page_are_the_results():
    results = json.loads((PROJECT / "docs" / "reliability.json").read_text())
    text = (PROJECT / "docs" / "reliability.md").read_text()
    assert report.updated(text, results) == text

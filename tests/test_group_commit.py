"""Group commit: every number is given once, whichever callers share a commit, and however it ends."""

import threading

import pytest

from counter.group_commit import CommitFailed, Committed, GroupCommit
from tests.support.group_commit_storm import in_threads, storm
from tests.support.processes import printed_by
from tests.support.waiting import wait_until

PATIENCE = 30  # seconds; whoever waits longer, waits for ever


class Held:
    """A commit that waits until it is let go, and one caller that is in the middle of it."""

    def __init__(self):
        self.sizes, self.value = [], 0
        self.go, self.error = threading.Event(), None
        self.commits = GroupCommit(self.commit)
        self.answers = []
        self.threads = []

    def commit(self, size):
        self.sizes.append(size)
        assert self.go.wait(PATIENCE)
        if self.error:
            raise self.error
        self.value += size
        return Committed(self.value, "context")

    def start(self, count):
        for _ in range(count):
            self.threads.append(threading.Thread(target=self.take))
            self.threads[-1].start()

    def take(self):
        try:
            self.answers.append(self.commits.take().last)
        except BaseException as error:
            self.answers.append(error)

    def waiting(self):
        batch = self.commits._open
        return batch.size if batch else 0

    def finish(self):
        self.go.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def held():
    held = Held()
    held.start(1)
    wait_until(lambda: held.sizes == [1], PATIENCE, "the first commit")
    held.start(7)
    wait_until(lambda: held.waiting() == 7, PATIENCE, "seven waiting together")
    return held


def test_who_comes_alone_waits_for_nobody():
    sizes = []
    commits = GroupCommit(lambda size: sizes.append(size) or Committed(len(sizes), "context"))
    assert [commits.take() for _ in range(3)] == [(1, "context"), (2, "context"), (3, "context")]
    assert sizes == [1, 1, 1]


def test_those_who_wait_share_one_commit(held):
    held.finish()
    assert held.sizes == [1, 7]
    assert sorted(held.answers) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_failure_fails_all_that_shared_the_commit_and_is_not_tried_again(held):
    held.error = OSError("no reply")
    held.finish()
    assert held.sizes == [1, 7]
    assert [type(answer) for answer in held.answers] == [CommitFailed] * 8
    assert all(answer.__cause__ is held.error for answer in held.answers)
    held.error = None
    assert held.commits.take() == (1, "context")


def test_nobody_waits_for_ever_for_one_that_was_cut_off(held):
    held.error = SystemExit()
    held.finish()
    assert sorted(type(answer).__name__ for answer in held.answers) == ["CommitFailed"] * 6 + ["SystemExit"] * 2
    held.error = None
    assert held.commits.take() == (1, "context")


def check(result):
    assert result["answers"] == result["asked"]
    assert (result["twice"], result["missing"], result["of another commit"]) == (0, 0, 0)
    assert result["most commits at once"] == 1
    assert 0 < result["failed"] < result["asked"]
    assert result["commits"] < result["asked"] / 2, "they do wait together"


def test_every_number_once_in_threads():
    check(storm(in_threads))


def test_every_number_once_in_greenlets():
    check(printed_by("tests.support.group_commit_storm"))

"""Many callers at once take numbers of one counter, whose commits sometimes fail or are cut off.

`python -m tests.support.group_commit_storm` does it with gevent's greenlets: a program of its own, because gevent has
to patch what is imported later. Prints as JSON what `storm` returns.
"""

import json
import random
import threading
import time

from counter.group_commit import CommitFailed, Committed, GroupCommit

SHARE_FAILING, SHARE_CUT_OFF = 0.1, 0.05


class Cut(BaseException):
    """Ends a caller in the middle of a commit: the exit of its thread or greenlet."""


class Counter:
    """Counts as Redis would. Some commits count and then fail: their reply was lost."""

    def __init__(self):
        self.value = self.calls = self.in_lost_commits = 0
        self.under_way = self.most_under_way = 0

    def commit(self, size):
        self.calls += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            time.sleep(random.uniform(0, 0.001))  # noqa: S311 (no secret)
            chance = random.random()  # noqa: S311 (no secret)
            counted = chance >= SHARE_FAILING / 2
            self.value += size * counted
            last = self.value
            if chance < SHARE_FAILING + SHARE_CUT_OFF:
                self.in_lost_commits += size * counted
                raise OSError("no reply") if chance < SHARE_FAILING else Cut
        finally:
            self.under_way -= 1
        return Committed(last, f"context of {last}")


def storm(start_all, callers=32, each=100):
    """`start_all` runs that many callers at once, and returns when all have ended."""
    counter, numbers, failures, strangers = Counter(), [], [], []
    commits = GroupCommit(counter.commit)

    def take():
        for _ in range(each):
            try:
                last, context = commits.take()
            except (CommitFailed, Cut) as error:
                failures.append(error)
            else:
                numbers.append(last)
                if not 0 <= int(context.removeprefix("context of ")) - last < callers:
                    strangers.append(context)

    start_all(take, callers)
    return {
        "answers": len(numbers) + len(failures),
        "asked": callers * each,
        "twice": len(numbers) - len(set(numbers)),
        "missing": counter.value - counter.in_lost_commits - len(numbers),
        "of another commit": len(strangers),
        "failed": len(failures),
        "most commits at once": counter.most_under_way,
        "commits": counter.calls,
    }


def in_threads(work, count):
    """Run `work` in so many threads."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    import gevent
    import gevent.monkey

    # Before anything makes a lock; this module has made none.
    gevent.monkey.patch_all()

    def in_greenlets(work, count):
        gevent.joinall([gevent.spawn(work) for _ in range(count)], raise_error=True)

    print(json.dumps(storm(in_greenlets)))

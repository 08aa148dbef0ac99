"""Every kind of Redis at its full counts. Prints the figures of docs/reliability.md, "Every Redis"."""

import time

import pytest

from tests.support.failovers import count_costs, fail_over, table_row
from tests.support.secrets import GUARD
from tests.support.sentinel import SentinelGroup
from tests.support.waiting import wait_until
from tests.support.workers import Load

CLIENTS = 16
REPLICATED = ("min-replicas-to-write 1", "min-replicas-max-lag 1")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("settings", [(), REPLICATED], ids=["as it comes", "min-replicas-to-write"])
@pytest.mark.parametrize("planned", [True, False], ids=["planned", "kill"])
def test_10_failovers(serve, workers_of, report, planned, settings):
    with SentinelGroup(GUARD.new("Redis password"), settings) as group:
        site = serve(group.document())
        workers = workers_of(site, 2)
        with Load(site, CLIENTS, pause=0.01):
            workers.wait_pages()
            time.sleep(1)
        before = workers.threads(), workers.sockets(), group.master().hits(), len(site.log().splitlines())
        with Load(site, CLIENTS, pause=0.01) as load:
            failovers = []
            for _ in range(10):
                failovers.append(fail_over(group, site, workers, planned))
                print(failovers[-1], flush=True)
                time.sleep(1)
        wait_until(lambda: workers.threads() == before[0], 15, "as many threads as before")
        wait_until(lambda: workers.sockets() == before[1], 15, "as many sockets as before")
        hits, lines = group.master().hits(), len(site.log().splitlines()) - before[3]
        count_costs(failovers, load.answers)
        way = ("SENTINEL FAILOVER" if planned else "kill -9") + (", min-replicas-to-write 1" if settings else "")
        report(
            f"10 times {way}, median / worst: until every worker counts on the new master; "
            "failed; acknowledged and lost; twice",
            table_row(failovers),
            "10 s; 503 only; 0; 0" if planned else "20 s; 503 only",
        )
        report(f"{way}: slowest answer; lines in the log of each failover", f"{load.slowest:.2f} s; {lines / 10:.1f}")
    assert {failure[:3] for failure in load.failed} <= {"503"}
    assert load.cut == 0
    assert load.slowest < 2, "1 s on a machine that does nothing else"
    assert max(failover.seconds for failover in failovers) < (10 if planned else 20)
    assert lines <= 10 * 5 * workers.count
    if planned:
        load.assert_numbers_unique()
        assert [failover.lost for failover in failovers] == [0] * 10
        assert hits >= before[2] + len(load.served)

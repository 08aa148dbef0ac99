"""Every kind of Redis at its full counts. Prints the figures of docs/reliability.md, "Every Redis"."""

import time

import pytest

from tests.support.certificates import make_certificates
from tests.support.every_redis import TROUBLE, moves, put, register, rotate, trouble, turn
from tests.support.failovers import count_costs, fail_over, table_row
from tests.support.figures import milliseconds, percentile
from tests.support.redis import RedisServer
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
        time.sleep(2)  # the connections of the clients end
        threads, sockets = (
            max(now[pid] - then[pid] for pid in now)
            for now, then in ((workers.threads(), before[0]), (workers.sockets(), before[1]))
        )
        hits, lines = group.master().hits(), len(site.log().splitlines()) - before[3]
        count_costs(failovers, load.answers)
        way = ("SENTINEL FAILOVER" if planned else "kill -9") + (", min-replicas-to-write 1" if settings else "")
        report(
            f"10 times {way}, median / worst: until every worker counts on the new master; "
            "failed; acknowledged and lost; twice",
            table_row(failovers),
            "10 s; 503 only; 0; 0" if planned else "20 s; 503 only",
        )
        report(
            f"{way}: slowest answer; lines in the log of each failover; threads and sockets of a worker afterwards",
            f"{load.slowest:.2f} s; {lines / 10:.1f}; {threads:+d}, {sockets:+d}",
            "1 s; 12; +1, +1",
        )
    assert {failure[:3] for failure in load.failed} <= {"503"}
    assert load.cut == 0
    assert load.slowest < 2, "1 s on a machine that does nothing else"
    assert max(failover.seconds for failover in failovers) < (10 if planned else 20)
    assert threads <= 1, "the group commit's, which starts when the event loop cannot send by itself"
    assert sockets <= 1
    assert lines <= 10 * 6 * workers.count
    if planned:
        load.assert_numbers_unique()
        assert [failover.lost for failover in failovers] == [0] * 10
        assert hits >= before[2] + len(load.served)


FLIPS, KILLED, APART = 30, 5, 1_000_000_000


def test_30_flips_of_a_service(serve, workers_of, consul, report):
    """Two instances of the site, two workers each. Each server begins where no number is shown again."""
    with RedisServer() as one, RedisServer() as two:
        register(consul, one, "a"), register(consul, two, "b")
        service = {"redis_service": "redis-main", "redis_db": 0}
        sites = [serve(service), serve(service)]
        workers = [workers_of(site, 2) for site in sites]
        seconds, killed_seconds, outages = [], [], []
        with Load(sites[0], CLIENTS // 2, 0.01) as first, Load(sites[1], CLIENTS // 2, 0.01) as second:
            for flip in range(FLIPS):
                time.sleep(0.5)
                to_second, is_killed = flip % 2 == 0, flip % 6 == 0
                base = APART * (flip + 1)
                with (two if to_second else one).client() as client:
                    client.set("hits", base)
                began = time.monotonic()
                if is_killed:
                    one.kill()
                turn(consul, "a", "fail" if to_second else "pass")
                told = time.monotonic()
                for each in workers:
                    each.wait_pages(lambda shown, base=base: shown > base)
                if is_killed:
                    outages.append((began, time.monotonic()))
                    one.start()
                (killed_seconds if is_killed else seconds).append(time.monotonic() - told)
    answers = [answer for load in (first, second) for answer in load.answers]
    failures = [moment for moment, number in answers if number is None]
    unexplained = [moment for moment in failures if not any(a <= moment <= b for a, b in outages)]
    numbers = [number for _moment, number in answers if number is not None]
    twice = len(numbers) - len(set(numbers))
    report(
        "25 flips between two servers of a service, 2 instances: all workers use the other one after, median / worst",
        f"{milliseconds(percentile(seconds, 0.5))} / {milliseconds(max(seconds))}",
        "1 s",
    )
    report(
        "5 more, the server killed",
        f"{milliseconds(percentile(killed_seconds, 0.5))} / {milliseconds(max(killed_seconds))}",
        "1 s",
    )
    report(
        "numbers twice; failed while a server was dead; failed otherwise",
        f"{twice}; {len(failures) - len(unexplained)}; {len(unexplained)} of {len(answers)}",
        "0; 503 only; 0",
    )
    assert (twice, unexplained, first.cut + second.cut) == (0, [], 0)
    assert {failure[:3] for failure in first.failed + second.failed} <= {"503"}
    assert len(killed_seconds) == KILLED
    assert max(seconds + killed_seconds) < 5, "1 s on a machine that does nothing else"


def test_20_rotations_of_the_password_file(serve, workers_of, own_redis, tmp_path, report):
    file = tmp_path / "password"
    file.write_text(own_redis.password)
    given = own_redis.document(redis_password_file=str(file))
    del given["redis_password"]
    site, seconds = serve(given, REDIS_PASSWORD_DIR=str(tmp_path)), []

    def both_know():
        began, known = time.monotonic(), 2 * (len(seconds) + 1)
        wait_until(lambda: moves(site) == known, message="both workers")
        seconds.append(time.monotonic() - began)

    workers_of(site, 2).wait_pages()
    with Load(site, CLIENTS) as load:
        for _ in range(20):
            rotate(own_redis, file, both_know)
    report(
        "20 rotations of the password file under 16 clients: failed; twice; known to both workers after, at most",
        f"{len(load.failed) + load.cut} of {len(load.served)}; {len(load.served) - len(set(load.served))}; "
        f"{max(seconds):.2f} s",
        "0; 0",
    )
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()


def test_trouble_is_over_when_it_is_mended(serve, workers_of, redis, report):
    seconds, loads = {}, []
    for kind, told in TROUBLE.items():
        with RedisServer(GUARD.new("Redis password")) as server:
            site = serve(server.document())
            workers = workers_of(site, 2)
            with Load(site, CLIENTS, pause=0.01) as load:
                workers.wait_pages()
                with trouble(kind, server, redis):
                    wait_until(
                        lambda workers=workers, told=told: all(
                            ready["redis"]["error"] == f"it {told}" for ready in workers.ready().values()
                        ),
                        message=told,
                    )
                    time.sleep(2)
                    began = time.monotonic()
                seconds[kind] = _back_after(workers, began)
            loads.append(load)
            assert len(site.log().splitlines()) < 30, site.log()
            if kind != "replica":  # it takes over what the other has
                load.assert_numbers_unique()
            site.stop()
    _report_trouble(report, seconds, loads)


def _back_after(workers, began):
    workers.wait_pages()
    return time.monotonic() - began


def _report_trouble(report, seconds, loads):
    found = ", ".join(f"{kind} {value:.2f} s" for kind, value in seconds.items())
    report("trouble of the Redis in force under 16 clients: back in every worker after", found, "2 s")
    report("slowest answer meanwhile", milliseconds(max(load.slowest for load in loads)), "1 s")
    assert {failure[:3] for load in loads for failure in load.failed} == {"503"}
    assert max(seconds.values()) < 10, "2 s on a machine that does nothing else"


def test_server_that_speaks_only_tls_after_a_restart(serve, workers_of, own_redis, tmp_path, report):
    site = serve(own_redis.document())
    workers, certificates = workers_of(site, 2), make_certificates(tmp_path)
    with Load(site, CLIENTS, pause=0.01) as load:
        workers.wait_pages()
        own_redis.stop()
        own_redis.certificates = certificates
        own_redis.start()
        site.wait_logged("speaks only TLS")
        wait_until(
            lambda: all(ready["redis"]["error"] == "it speaks only TLS" for ready in workers.ready().values()),
            message="TLS to be told",
        )
        time.sleep(2)
        own_redis.stop()
        own_redis.certificates = None
        began = time.monotonic()
        own_redis.start()
        seconds = _back_after(workers, began)
    assert len(site.log().splitlines()) < 30, site.log()
    _report_trouble(report, {"only TLS": seconds}, [load])


def test_documents_that_name_what_cannot_count_change_nothing(serve, workers_of, consul, config_key, redis, report):
    """A database that is not there, and a node of a cluster."""
    with RedisServer(GUARD.new("Redis password"), cluster=True) as node:
        site = serve(redis.document())
        workers = workers_of(site, 2)
        with Load(site, CLIENTS, pause=0.01) as load:
            bad = {"redis_db": redis.document(redis_db=99), "redis_host": node.document()}
            for member, named in bad.items():
                put(consul, config_key, named, "bad")
                for found in workers.wait_state("rejected"):
                    assert [fault.split(": ")[0] for fault in found["rejected"]["faults"]] == [f"redis_config.{member}"]
                began = time.monotonic()
                put(consul, config_key, redis.document(), f"good after {member}")
                workers.wait_message(f"good after {member}")
                seconds = time.monotonic() - began
    assert (load.failed, load.cut) == ([], 0)
    report(
        "documents with a wrong database, or a cluster's node: failed; the next good one after", f"0; {seconds:.2f} s"
    )

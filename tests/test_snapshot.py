"""The snapshot: written by serving processes, used only for a first start while Consul is unreachable."""

import json
import os
import re
import stat
import time
from datetime import UTC, datetime, timedelta

import pytest

from demo_site.config import snapshot, source
from demo_site.config.revision import parsed
from tests.support.documents import SMALLEST, document, raw
from tests.support.files import ENDLESS
from tests.support.following import Following
from tests.support.ports import free_port
from tests.support.waiting import wait_until

EX_UNAVAILABLE, EX_NOPERM, EX_NOINPUT, EX_CONFIG = 69, 77, 66, 78


def value(message="kept", index=7, key="config"):
    return parsed(raw(SMALLEST | {"show_message": message}), "consul", key, index)


def ago(**duration):
    return datetime.now(UTC) - timedelta(**duration)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "snapshot.json"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# The file.


def test_what_was_kept_is_read(path):
    snapshot.keep(path, value("kept ☃"), ago())
    found = snapshot.read(path, "config", None)
    assert (found.kind, found.index, found.document.show_message) == ("snapshot", 7, "kept ☃")
    assert abs(found.loaded_at - ago()) < timedelta(seconds=60)


@pytest.mark.parametrize("message", ["kept", "next"])
def test_only_its_owner_may_read_it(path, message):
    before = os.umask(0)
    try:
        snapshot.keep(path, value("kept"), ago())
        assert mode(path) == 0o600
        path.chmod(0o644)
        snapshot.keep(path, value(message), ago())
    finally:
        os.umask(before)
    assert mode(path) == 0o600


def test_a_new_file_takes_the_place_of_the_old_one(path):
    """A process that has the old file open can read it to its end: nothing is written into it."""
    snapshot.keep(path, value("first"), ago())
    with path.open() as old:
        snapshot.keep(path, value("second"), ago())
        assert "first" in old.read()
    assert "second" in path.read_text()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_same_value_only_grows_younger(path):
    snapshot.keep(path, value(), ago(hours=2))
    inode = path.stat().st_ino
    snapshot.keep(path, value(), ago(hours=1))
    snapshot.keep(path, value(), ago(hours=3))
    assert path.stat().st_ino == inode
    assert abs(path.stat().st_mtime - ago(hours=1).timestamp()) < 60


def test_draft_of_a_killed_writer_is_removed_and_that_of_a_living_one_is_not(path):
    dead, living = path.with_name(".snapshot.json.17"), path.with_name(".snapshot.json.18")
    for draft in (dead, living):
        draft.write_text("half")
    os.utime(dead, (time.time() - 3600,) * 2)
    snapshot.keep(path, value(), ago())
    assert not dead.exists()
    assert living.exists()


def test_link_in_place_of_the_draft_is_not_followed(path, tmp_path):
    target = tmp_path / "target"
    target.write_text("of somebody else")
    path.with_name(f".snapshot.json.{os.getpid()}").symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        snapshot.keep(path, value(), ago())
    assert target.read_text() == "of somebody else"


KEPT = {"key": "config", "index": 7, "document": json.dumps(SMALLEST)}
CORRUPT = {
    "empty": b"",
    "half": json.dumps(KEPT).encode()[:-20],
    "binary": bytes(range(256)),
    "a list": b"[]",
    "a number": b"1",
    "no document": b'{"key": "config", "index": 7}',
    "no index": json.dumps(KEPT | {"index": None}).encode(),
    "document of another kind": json.dumps(KEPT | {"document": 5}).encode(),
    "invalid document": json.dumps(KEPT | {"document": "{}"}).encode(),
    "deep": b"[" * 200_000,
    "deep and closed": b'{"key": ' + b"[" * 500 + b"]" * 500 + b"}",
    "many values": b'{"key": [' + b"[]," * 300_000 + b"1]}",
}


@pytest.mark.parametrize("content", CORRUPT)
def test_corrupt_file_is_refused_with_its_reason(path, content):
    path.write_bytes(CORRUPT[content])
    with pytest.raises(snapshot.SnapshotUnusable, match=r"corrupt|invalid: redis_config: is missing"):
        snapshot.read(path, "config", None)


def test_missing_file_is_refused_with_its_reason(path):
    with pytest.raises(snapshot.SnapshotUnusable, match="No such file"):
        snapshot.read(path, "config", None)


def test_longest_document_is_kept_and_read(path):
    room = 512 * 1024 - len(raw(SMALLEST | {"show_message": ""}))
    most = parsed(raw(SMALLEST | {"show_message": '"{\\[' * (room // 6)}), "consul", "config", 7)
    snapshot.keep(path, most, ago())
    assert snapshot.read(path, "config", None).raw == most.raw
    assert snapshot._holds(path, json.loads(path.read_text()))


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_never_ends_is_refused_and_replaced(path, kind):
    ENDLESS[kind](path)
    with pytest.raises(snapshot.SnapshotUnusable, match=r"File too large|Not a regular file"):
        snapshot.read(path, "config", None)
    snapshot.keep(path, value(), ago())
    assert snapshot.read(path, "config", None)


def test_document_of_another_key_is_refused(path):
    snapshot.keep(path, value(key="another"), ago())
    with pytest.raises(snapshot.SnapshotUnusable, match="another key"):
        snapshot.read(path, "config", None)


@pytest.mark.parametrize(("age", "max_age"), [(0, 600), (3000, 3600), (7200, None)])
def test_young_enough(path, age, max_age):
    snapshot.keep(path, value(), ago(seconds=age))
    assert snapshot.read(path, "config", max_age)


def test_too_old_is_refused_with_both_ages(path):
    snapshot.keep(path, value(), ago(seconds=7200))
    with pytest.raises(snapshot.SnapshotUnusable, match=r"it is 72\d\d s old, .* allows 3600 s"):
        snapshot.read(path, "config", 3600)


# When it is written.


def test_it_follows_what_is_in_force_and_never_holds_a_rejected_document(consul, redis, config_key, path):
    consul.put(config_key, document(redis, "first"))
    following = Following(consul, config_key, DEMO_CONFIG_SNAPSHOT=str(path))
    following.step()
    assert "first" in path.read_text()
    consul.put(config_key, document(redis, "second"))
    following.step()
    assert "second" in path.read_text()
    for bad in ("{", document(message="third") | {"redis_config": redis.document(redis_port=free_port())}):
        consul.put(config_key, bad)
        assert following.step().state == "rejected"
        assert "second" in path.read_text()
    following.close()


@pytest.mark.slow
def test_it_comes_back_when_it_was_removed_or_could_not_be_written(consul, redis, config_key, tmp_path, caplog):
    folder = tmp_path / "not yet there"
    consul.put(config_key, document(redis))
    following = Following(consul, config_key, DEMO_CONFIG_SNAPSHOT=str(folder / "snapshot.json"))
    following.step(3)
    assert caplog.text.count("cannot be written: No such file or directory") == 1
    folder.mkdir()
    following.step()
    assert mode(folder / "snapshot.json") == 0o600
    following.close()


def test_it_grows_older_while_consul_is_out_of_reach(consul, redis, config_key, path, new_proxy):
    consul.put(config_key, document(redis))
    proxy = new_proxy(consul.http_port)
    following = Following(proxy, config_key, DEMO_CONFIG_SNAPSHOT=str(path))
    following.step()
    os.utime(path, (1_000_000_000,) * 2)
    proxy.refuse()
    following.step(3)
    assert path.stat().st_mtime == 1_000_000_000
    proxy.pass_through()
    following.step()
    assert time.time() - path.stat().st_mtime < 60
    following.close()


# The site.


@pytest.fixture
def outage(environment, path, new_proxy, consul, config_key):
    """A snapshot of what Consul holds, and Consul out of reach: a site's variables, and the proxy."""
    proxy = new_proxy(consul.http_port)
    snapshot.keep(path, parsed(consul.get(config_key), "consul", config_key, consul.index(config_key)), ago())
    proxy.refuse()
    return environment | {"CONSUL_HTTP_ADDR": proxy.address, "DEMO_CONFIG_SNAPSHOT": str(path)}, proxy


def test_site_serves_on_the_snapshot_says_so_and_goes_over_to_consul(outage, path, new_site, consul, redis, config_key):
    variables, proxy = outage
    site = new_site(variables).gunicorn(workers=2)
    assert site.get("/").status_code == 200
    config = site.ready()["config"]
    assert (config["state"], config["index"]) == ("snapshot", consul.index(config_key))
    assert config["reason"].startswith("running on a snapshot of 20")
    site.wait_logged("running on a snapshot of 20")
    rows = {row["setting"]: row for row in json.loads(site.command("effective_config", "--format", "json").stdout)}
    assert rows["document"]["value"].startswith("snapshot: running on a snapshot of 20")
    consul.put(config_key, document(redis, "after the outage"))
    proxy.pass_through()
    wait_until(lambda: site.get("/").text.startswith("after the outage!"), 30, "Consul's value to be served")
    wait_until(lambda: site.ready()["config"]["state"] == "current", 30, "the state to be current")
    wait_until(lambda: "after the outage" in path.read_text(), 30, "the snapshot to be written")
    assert mode(path) == 0o600


def test_on_a_snapshot_it_says_once_why_consul_is_no_help(outage, consul, redis, config_key, caplog, monkeypatch):
    variables, proxy = outage
    monkeypatch.setattr(source, "START_SECONDS", 0.1)
    following = Following(proxy, config_key, DEMO_CONFIG_SNAPSHOT=variables["DEMO_CONFIG_SNAPSHOT"])
    for trouble, saying in [
        (lambda: proxy.answer_http("403 Forbidden", "no right"), "denied permission: no right"),
        (lambda: proxy.answer_http("200 OK", "<!doctype html>", Content_Type="text/html"), "is not a Consul agent"),
        (lambda: proxy.refuse(), "refused the connection"),
    ]:
        trouble()
        status = following.step(3)
        assert (status.state, status.rejected) == ("snapshot", None)
        assert re.fullmatch(rf"running on a snapshot of 20[^;]+ UTC; .*{saying}.*", status.reason)
        assert caplog.text.count(saying) == 1
    proxy.pass_through()
    consul.put(config_key, "{")
    rejected = following.step().rejected
    assert rejected.index == consul.index(config_key)
    proxy.refuse()
    proxy.cut()
    status = following.step(2)
    assert (status.state, status.rejected) == ("snapshot", rejected)
    assert status.reason.endswith("refused the connection.")
    consul.put(config_key, document(redis, "good"))
    proxy.pass_through()
    assert following.step().state == "current"
    following.close()


@pytest.mark.parametrize("spoil", ["corrupt", "too old"])
def test_unusable_snapshot_ends_the_start_with_its_reason(outage, path, new_site, spoil):
    variables, _ = outage
    if spoil == "corrupt":
        path.write_text("{")
    else:
        os.utime(path, (time.time() - 3600,) * 2)
        variables = variables | {"DEMO_CONFIG_SNAPSHOT_MAX_AGE": "30m"}
    result = new_site(variables).command("check")
    assert result.status == EX_UNAVAILABLE
    assert ("it is corrupt" if spoil == "corrupt" else "DEMO_CONFIG_SNAPSHOT_MAX_AGE allows 1800 s") in result.stderr
    assert "Traceback" not in result.stderr


def test_gunicorn_ends_too_when_the_snapshot_is_unusable(outage, path, new_site):
    variables, _ = outage
    path.write_text("{")
    result = new_site(variables).failing_gunicorn()
    assert result.status != 0
    assert "it is corrupt" in result.stderr


@pytest.mark.parametrize("condition", ["missing", "invalid"])
def test_snapshot_is_for_an_unreachable_consul_only(outage, new_site, consul, config_key, condition):
    variables, proxy = outage
    proxy.pass_through()
    if condition == "missing":
        consul.delete(config_key)
    else:
        consul.put(config_key, "{")
    status = {"missing": EX_NOINPUT, "invalid": EX_CONFIG}[condition]
    assert new_site(variables).command("check").status == status


def test_denied_start_does_not_use_the_snapshot(outage, new_site):
    variables, proxy = outage
    proxy.answer_http("403 Forbidden", "Permission denied")
    assert new_site(variables).command("check").status == EX_NOPERM

"""`make run` finds consul and redis-server, or fetches them: each way by itself, and in order."""

import hashlib
import http.server
import io
import os
import socket
import threading
import time
import zipfile
from contextlib import contextmanager, suppress

import pytest

import debian
import release
import servers
from servers import ServerNotFound, find_consul, find_redis

PROGRAM = b"#!/bin/sh\necho official\n"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine that has none of the programs, and no archive to get them from; returns its empty PATH."""
    path = tmp_path / "path"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.delenv("CONSUL_BIN", raising=False)
    monkeypatch.delenv("REDIS_SERVER_BIN", raising=False)
    monkeypatch.setattr(debian, "_distribution", dict)
    return path


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def program(path, content=PROGRAM):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def zipped(member="consul"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, PROGRAM)
    return buffer.getvalue()


@contextmanager
def release_server(body, status=200):
    """Serves the body to every GET; yields its address and the paths that were asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/consul", asked
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def dripping_server():
    """Sends a byte of a long body ten times a second, to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not ended.wait(0.1):
                    self.wfile.write(b"x")

        def log_message(self, *arguments):
            pass

    ended = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/consul"
        finally:
            ended.set()
            server.shutdown()
            thread.join()


def pinned(base_url, body):
    """The release with the hash of this body for whatever platform the test runs on."""
    return release.Release("consul", "9.9.9", base_url, {release.this_platform(): hashlib.sha256(body).hexdigest()})


def unreachable():
    """A pinned release on a port where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    return pinned(f"http://127.0.0.1:{port}", b"")


class TestConsul:
    def test_the_variable_wins_over_path(self, bare, cache, tmp_path, monkeypatch):
        program(bare / "consul")
        chosen = program(tmp_path / "own" / "consul")
        monkeypatch.setenv("CONSUL_BIN", str(chosen))
        assert find_consul(cache) == chosen

    def test_a_variable_that_names_no_program_is_refused_rather_than_passed_over(self, bare, cache, monkeypatch):
        program(bare / "consul")
        monkeypatch.setenv("CONSUL_BIN", "/nowhere/consul")
        with pytest.raises(ServerNotFound, match="CONSUL_BIN is /nowhere/consul"):
            find_consul(cache)

    def test_an_empty_variable_means_unset(self, bare, cache, monkeypatch):
        monkeypatch.setenv("CONSUL_BIN", "")
        on_path = program(bare / "consul")
        assert find_consul(cache) == on_path

    def test_path_wins_over_what_was_fetched_before(self, bare, cache):
        program(cache / f"consul-{release.OFFICIAL_CONSUL.version}")
        on_path = program(bare / "consul")
        assert find_consul(cache) == on_path

    def test_package_that_was_unpacked_before_is_used_at_once(self, bare, cache):
        kept = program(cache / "consul-debian")
        for _ in range(2):
            assert find_consul(cache, official=unreachable()) == kept

    def test_package_that_has_changed_since_is_not_used(self, bare, cache):
        kept = program(cache / "consul-debian")
        find_consul(cache, official=unreachable())
        program(kept, b"#!/bin/sh\necho another\n")
        with pytest.raises(ServerNotFound):
            find_consul(cache, official=unreachable())

    def test_release_that_was_fetched_before_is_hashed_again_and_unpacked_anew(self, bare, cache):
        body = zipped()
        with release_server(body) as (base_url, asked):
            found = find_consul(cache, official=pinned(base_url, body))
            program(found, b"#!/bin/sh\necho another\n")
            assert find_consul(cache, official=pinned(base_url, body)).read_bytes() == PROGRAM
            assert len(asked) == 1
            release.archive_of(found).write_bytes(zipped("another"))
            assert find_consul(cache, official=pinned(base_url, body)).read_bytes() == PROGRAM
            assert len(asked) == 2

    def test_download_that_drips_ends_at_its_deadline(self, bare, cache, monkeypatch):
        monkeypatch.setattr(release, "DOWNLOAD_SECONDS", 1.0)
        began = time.monotonic()
        with dripping_server() as base_url, pytest.raises(ServerNotFound, match="not downloaded within 1 s"):
            find_consul(cache, official=pinned(base_url, b""))
        assert time.monotonic() - began < 10
        assert not list(cache.iterdir())

    def test_download_without_an_end_is_cut_off(self, bare, cache, monkeypatch):
        monkeypatch.setattr(release, "MOST_BYTES", 1000)
        with (
            release_server(b"x" * 1001) as (base_url, _),
            pytest.raises(ServerNotFound, match="longer than 1000 bytes"),
        ):
            find_consul(cache, official=pinned(base_url, b""))

    def test_the_official_release_is_fetched_checked_and_kept(self, bare, cache):
        body = zipped()
        with release_server(body) as (base_url, asked):
            found = find_consul(cache, official=pinned(base_url, body))
            assert find_consul(cache, official=pinned(base_url, body)) == found
        assert found.read_bytes() == PROGRAM
        assert os.access(found, os.X_OK)
        assert asked == [f"/consul/9.9.9/consul_9.9.9_{release.this_platform()}.zip"]
        assert sorted(cache.iterdir()) == [found, release.archive_of(found)]

    @pytest.mark.parametrize(
        ("body", "hashed", "status", "reason"),
        [
            (zipped(), b"another body", 200, "SHA-256 is "),
            (zipped()[:-20], zipped(), 200, "SHA-256 is "),
            (b"no zip", b"no zip", 200, "not a zip file"),
            (zipped("other"), zipped("other"), 200, "consul"),
            (zipped(), zipped(), 404, "Not Found"),
        ],
        ids=["wrong hash", "cut short", "no zip", "no such member", "not found"],
    )
    def test_a_release_that_is_not_as_pinned_is_not_used(self, bare, cache, body, hashed, status, reason):
        with release_server(body, status) as (base_url, _), pytest.raises(ServerNotFound, match=reason):
            find_consul(cache, official=pinned(base_url, hashed))
        assert not list(cache.iterdir())

    @pytest.mark.slow
    def test_a_download_host_that_never_answers_costs_five_seconds(self, bare, cache):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            began = time.monotonic()
            with pytest.raises(ServerNotFound, match="no response within 5 s"):
                find_consul(cache, official=pinned(f"http://127.0.0.1:{mute.getsockname()[1]}", b""))
            assert 4 < time.monotonic() - began < 7

    def test_a_platform_without_a_release_goes_on_to_the_next_way(self, bare, cache):
        unknown = release.Release("consul", "9.9.9", "http://127.0.0.1:1", {"plan9_mips": "00"})
        with pytest.raises(ServerNotFound, match=f"there is none for {release.this_platform()}"):
            find_consul(cache, official=unknown)

    def test_the_package_is_the_last_way(self, bare, cache, monkeypatch):
        monkeypatch.setattr(debian, "unpack", lambda package, member, target, say: program(target))
        assert find_consul(cache, official=unreachable()) == cache / "consul-debian"

    def test_one_message_tells_the_ways_to_get_it(self, bare, cache):
        with pytest.raises(ServerNotFound) as caught:
            find_consul(cache, official=unreachable())
        for part in ("CONSUL_BIN", "PATH", "install", "Connection refused", "this is not Debian"):
            assert part in str(caught.value)


class TestRedis:
    def test_the_variable_wins_over_path(self, bare, cache, tmp_path, monkeypatch):
        program(bare / "redis-server")
        chosen = program(tmp_path / "own" / "redis-server")
        monkeypatch.setenv("REDIS_SERVER_BIN", str(chosen))
        assert find_redis(cache) == chosen

    def test_path_is_enough(self, bare, cache):
        on_path = program(bare / "redis-server")
        assert find_redis(cache) == on_path

    def test_redis_tools_hold_the_server_under_another_name(self, bare, cache):
        tool = program(bare / "redis-check-rdb")
        for _ in range(2):
            found = find_redis(cache)
            assert (found.name, found.resolve()) == ("redis-server", tool)

    def test_apt_get_brings_redis_tools(self, bare, cache, monkeypatch):
        brought = []

        def install(packages, say):
            brought.extend(packages)
            program(bare / "redis-check-rdb")

        monkeypatch.setattr(debian, "install", install)
        assert find_redis(cache).resolve() == bare / "redis-check-rdb"
        assert brought == ["redis-tools"]

    def test_one_message_tells_the_ways_to_get_it(self, bare, cache):
        with pytest.raises(ServerNotFound, match=r"apt-get install redis-server(.|\n)*there is no apt-get"):
            find_redis(cache)

    def test_apt_get_is_not_tried_without_root(self, bare, cache, monkeypatch):
        program(bare / "apt-get", b"#!/bin/sh\nexit 1\n")
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(ServerNotFound, match="not root: sudo apt-get install"):
            find_redis(cache)


def test_the_pins_cover_the_common_platforms():
    hashes = servers.OFFICIAL_CONSUL.sha256
    assert set(hashes) == {"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64"}
    assert all(len(value) == 64 for value in hashes.values())

"""The tests' own tools do what the other tests rely on."""

import base64
import socket
import subprocess
import sys

import pytest
import redis as redis_py
import requests

from tests.support.binaries import PROJECT, PartMissingError
from tests.support.consul import ConsulServer
from tests.support.releases import unpack
from tests.support.secrets import LEAKED, SecretGuard


def fetch(proxy, path="/v1/status/leader", timeout=2):
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"http://{proxy.address}{path}", timeout=timeout)


def test_proxy_forwards_and_remembers_what_it_saw(consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    assert fetch(proxy).ok
    assert b"GET /v1/status/leader" in proxy.seen


def test_proxy_listens_on_ipv6(consul, new_proxy):
    assert fetch(new_proxy(consul.http_port, host="::1")).ok


def test_proxy_refuses_and_comes_back_on_the_same_port(consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    proxy.refuse()
    with pytest.raises(requests.ConnectionError, match="refused"):
        fetch(proxy)
    proxy.pass_through()
    assert fetch(proxy).ok


def test_silent_proxy_never_answers_and_does_not_close(consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    proxy.silence()
    with pytest.raises(requests.ReadTimeout):
        fetch(proxy, timeout=0.3)


def test_silence_makes_an_open_connection_half_open(redis, new_proxy):
    proxy = new_proxy(redis.port)
    with redis_py.Redis(port=proxy.port, password=redis.password, socket_timeout=0.3, retry=None) as client:
        assert client.ping()
        proxy.silence()
        with pytest.raises(redis_py.TimeoutError):
            client.ping()


def test_lost_reply_cuts_the_connection_after_the_command_took_effect(redis, new_proxy):
    proxy = new_proxy(redis.port)
    proxy.lose_replies(to=b"INCR", times=1)
    with redis_py.Redis(port=proxy.port, password=redis.password, socket_timeout=5, retry=None) as client:
        with pytest.raises(redis_py.ConnectionError):
            client.incr("hits")
        assert client.incr("hits") == 2
    assert proxy.lost_replies == 1


def test_proxy_answers_fixed_bytes_without_a_target(new_proxy):
    proxy = new_proxy(target_port=1)
    proxy.answer_http("200 OK", "<html>please log in</html>", Content_Type="text/html")
    answer = fetch(proxy)
    assert (answer.text, answer.headers["Content-Type"]) == ("<html>please log in</html>", "text/html")


def test_delayed_proxy_answers_late(consul, new_proxy):
    proxy = new_proxy(consul.http_port)
    proxy.delay(0.3)
    assert fetch(proxy).elapsed.total_seconds() >= 0.3


def test_cut_ends_open_connections_only(redis, new_proxy):
    proxy = new_proxy(redis.port)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as idle:
        idle.sendall(b"PING\r\n")
        assert idle.recv(100)
        proxy.cut()
        assert idle.recv(100) == b""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as fresh:
        fresh.sendall(b"PING\r\n")
        assert fresh.recv(100)


@pytest.mark.parametrize("text", ["redis://:p4ssw0rd1%40p4ssw0rd2@h", "p4ssw0rd2", '"p4ssw0rd1\\u0040"'])
def test_guard_finds_a_secret_in_any_encoding(text):
    guard = SecretGuard()
    guard.register("password", "p4ssw0rd1@p4ssw0rd2")
    guard.check(text, "there")
    assert [str(leak) for leak in guard.leaks] == ["the secret 'password' appears in there"]


@pytest.mark.parametrize("before", range(3))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, bytes.hex, bytes])
def test_thorough_guard_finds_the_start_of_a_secret_in_encoded_bytes(encode, before):
    guard = SecretGuard(thorough=True)
    secret = guard.new("password", separator="@:/%,#é")
    written = encode(b"x" * before + secret.encode()[:14] + b"y")
    assert guard.found(written) == {"password"}
    assert not guard.found(encode(b"x" * before + b"this is a python-consul-redis demo"))


def test_guard_is_silent_about_ordinary_text():
    guard = SecretGuard()
    guard.new("password")
    assert guard.check("this is a python-consul-redis demo", "here")
    assert guard.leaks == []


def test_guard_refuses_a_secret_that_it_could_not_tell_from_text():
    with pytest.raises(ValueError, match="too plain"):
        SecretGuard().register("password", "admin")


@pytest.mark.parametrize("flags", [(), ("-n", "2")], ids=["one process", "several"])
@pytest.mark.parametrize("leak", ["print(secret)", "GUARD.check(secret, 'an answer')"])
def test_leak_fails_the_run(tmp_path, leak, flags):
    """Printed by the site's code in this process, or found in what a helper fetched."""
    module = tmp_path / "test_leaking.py"
    module.write_text(
        "from tests.support.secrets import GUARD\n\n"
        f"def test_leaking():\n    secret = GUARD.new('a password')\n    {leak}\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    ended = subprocess.run([*command, *flags, module], cwd=PROJECT, capture_output=True, text=True, timeout=120)  # noqa: S603 (our own command)
    assert ended.returncode == LEAKED
    assert "LEAK: the secret 'a password' appears in" in ended.stdout


@pytest.mark.slow
def test_consul_keeps_keys_over_a_restart_when_told_to():
    with ConsulServer(keep_state=True) as server:
        server.put("a", "kept")
        server.restart()
        assert server.get("a") == b"kept"


def test_consul_restarts_empty(own_consul):
    own_consul.put("a", "lost")
    own_consul.restart()
    assert own_consul.get("a") is None


def test_consul_with_acl_gives_a_token_its_rights_only():
    with ConsulServer(acl=True) as server:
        server.put("a", "x")
        token = server.token('key "a" { policy = "read" }')
        url = f"{server.url}/v1/kv/"
        headers = {"X-Consul-Token": token}
        assert requests.get(url + "a", headers=headers, timeout=5).ok
        assert requests.put(url + "a", data="y", headers=headers, timeout=5).status_code == 403
        assert requests.get(url + "a", timeout=5).status_code == 403


def test_redis_needs_its_password(redis):
    with redis_py.Redis(port=redis.port, retry=None) as stranger, pytest.raises(redis_py.AuthenticationError):
        stranger.ping()


def test_browser_shows_a_page(browser):
    assert browser.open("data:text/html,<h1>Hello</h1>").text("h1") == "Hello"


def test_commit_that_the_history_lacks_is_named_with_the_remedy(tmp_path):
    with pytest.raises(PartMissingError, match=r"Commit 0000000, .* `git fetch --unshallow`"):
        unpack("0" * 40, tmp_path / "tree")

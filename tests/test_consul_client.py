"""The Consul client against a real agent, with a proxy in between where a network fault is needed.

It says nothing that is particular to python-consul: `test_py_consul.py` runs this file on py-consul as well.
"""

import contextlib
import json
import os
import socket
import threading
import time
import traceback

import pytest

from demo_site.consul_agent import kv, txn
from demo_site.consul_agent.address import AddressInvalid, AgentAddress
from demo_site.consul_agent.client import Client, Timeouts
from demo_site.consul_agent.errors import ConsulError, Denied, Garbled, Missing, Refused, TooLong, Unreachable
from tests.support.certificates import make_certificates
from tests.support.consul import ConsulServer
from tests.support.files import ENDLESS
from tests.support.ports import free_port
from tests.support.secrets import GUARD

USUAL, SHORT = Timeouts(), Timeouts(connect=0.5, read=0.5)


def client_of(where, timeouts=USUAL, on_answer=None, **variables):
    """A client as the environment describes it: `where` is a server, a proxy or a CONSUL_HTTP_ADDR."""
    address = getattr(where, "address", where)
    return Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": address, **variables}), timeouts, on_answer)


@contextlib.contextmanager
def fails(expected, saying=""):
    """The block raises exactly this error, or one of these; neither its text nor its traceback holds a secret."""
    with pytest.raises(ConsulError) as caught:
        yield caught
    GUARD.check("".join(traceback.format_exception(caught.value)) + repr(caught.value), "an error of the client")
    assert type(caught.value) in (expected if isinstance(expected, tuple) else (expected,)), repr(caught.value)
    assert saying in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def acl_consul():
    with ConsulServer(acl=True) as server:
        yield server


# Where the agent is.


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({}, "http://127.0.0.1:8500"),
        ({"CONSUL_HTTP_ADDR": ""}, "http://127.0.0.1:8500"),
        ({"CONSUL_HTTP_ADDR": "consul.example"}, "http://consul.example:8500"),
        ({"CONSUL_HTTP_ADDR": "consul.example:80"}, "http://consul.example:80"),
        ({"CONSUL_HTTP_ADDR": "http://10.0.0.1:8501"}, "http://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "https://10.0.0.1:8501"}, "https://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "https://10.0.0.1:8501/"}, "https://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "[::1]:8500"}, "http://[::1]:8500"),
        ({"CONSUL_HTTP_ADDR": "https://[::1]:8501"}, "https://[::1]:8501"),
        ({"CONSUL_HTTP_ADDR": "10.0.0.1:8501", "CONSUL_HTTP_SSL": "true"}, "https://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "http://10.0.0.1:8501", "CONSUL_HTTP_SSL": "1"}, "https://10.0.0.1:8501"),
        ({"CONSUL_HTTP_ADDR": "https://10.0.0.1:8501", "CONSUL_HTTP_SSL": "false"}, "https://10.0.0.1:8501"),
    ],
)
def test_address_in_every_form_that_consul_takes(variables, url):
    assert AgentAddress.from_environ(variables).url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSUL_HTTP_ADDR", "127.0.0.1:port"),
        ("CONSUL_HTTP_ADDR", "127.0.0.1:70000"),
        ("CONSUL_HTTP_ADDR", "unix:///run/consul.sock"),
        ("CONSUL_HTTP_ADDR", "http://"),
        ("CONSUL_HTTP_ADDR", "http://[::1"),
        ("CONSUL_HTTP_ADDR", "http://user:hunter2hunter2@127.0.0.1:8500"),
        ("CONSUL_HTTP_ADDR", "127.0.0.1:8500/path"),
        ("CONSUL_HTTP_SSL", "perhaps"),
        ("CONSUL_HTTP_SSL_VERIFY", "perhaps"),
        ("CONSUL_CACERT", "/does/not/exist.pem"),
        ("CONSUL_CAPATH", "/does/not/exist"),
        ("CONSUL_CAPATH", __file__),
        ("CONSUL_TLS_SERVER_NAME", ".example"),
        ("CONSUL_TLS_SERVER_NAME", "two names"),
        ("CONSUL_CLIENT_CERT", "/does/not/exist.pem"),
        ("CONSUL_CLIENT_KEY", "/does/not/exist.pem"),
        ("CONSUL_HTTP_TOKEN", "two\nlines"),
        ("CONSUL_HTTP_TOKEN", "t\u00f6ken"),
    ],
)
def test_unusable_variable_is_named(name, value):
    with pytest.raises(AddressInvalid) as caught:
        AgentAddress.from_environ({name: value})
    assert {fault.split(":")[0] for fault in caught.value.faults} == {name}
    assert "hunter2" not in str(caught.value)


def test_token_is_in_no_repr():
    token = GUARD.new("a token")
    address = AgentAddress.from_environ({"CONSUL_HTTP_TOKEN": token})
    assert address.token == token
    assert token not in f"{address!r} {address!s} {Client(address)!r} {vars(Client(address))!r}"


def test_library_does_not_see_the_process_environment(consul, config_key, monkeypatch, new_proxy):
    """Variables that python-consul or requests would let win over the address that it was given."""
    consul.put(config_key, "here")
    elsewhere = new_proxy(consul.http_port)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://{elsewhere.address}")
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "https://[::1]:1")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", GUARD.new("a token of the process"))
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    monkeypatch.setenv("CONSUL_HTTP_SSL_VERIFY", "false")
    assert kv.read(client_of(consul), config_key).value == b"here"
    assert elsewhere.connections == 0
    assert os.environ["CONSUL_HTTP_ADDR"] == "https://[::1]:1"


# Keys.


@pytest.mark.parametrize("value", [b"", b"text", b"\x00\xff\xfe", b"x" * 512 * 1024], ids=lambda value: f"{len(value)}")
def test_value_is_read_as_it_was_written(consul, config_key, value):
    consul.put(config_key, value)
    entry = kv.read(client_of(consul), config_key)
    assert (entry.key, entry.value, entry.modify_index) == (config_key, value, consul.index(config_key))


@pytest.mark.parametrize("key", ["a/b/c", "with space", "\u00fcml\u00e4ut", "a?b=c&d", "a#b", "100%25", "a+b", "-"])
def test_any_key_can_be_written_and_read(consul, config_key, key):
    client = client_of(consul)
    assert client.kv.put(f"{config_key}/{key}", b"x") is True
    assert kv.read(client, f"{config_key}/{key}").value == b"x"
    assert f"{config_key}/{key}" in consul.api("GET", f"/v1/kv/{config_key}?keys").json()


def test_missing_key_is_told_by_name(consul, config_key):
    with fails(Missing, saying=config_key):
        kv.read(client_of(consul), config_key)


def test_value_is_in_no_repr(consul, config_key):
    consul.put(config_key, "s3cretvalue")
    assert "s3cretvalue" not in repr(kv.read(client_of(consul), config_key))


def test_compare_and_set_writes_on_the_index_it_has_seen_only(consul, config_key):
    client = client_of(consul)
    assert client.kv.put(config_key, b"first", cas=0) is True
    assert client.kv.put(config_key, b"second", cas=0) is False
    assert client.kv.put(config_key, b"second", cas=consul.index(config_key)) is True
    assert consul.get(config_key) == b"second"


def test_blocking_query_answers_when_the_key_changes(consul, config_key):
    consul.put(config_key, "old")
    client = client_of(consul)
    index, _ = kv.query(client, config_key)
    threading.Timer(0.3, consul.put, [config_key, "new"]).start()
    began = time.monotonic()
    new_index, entry = kv.query(client, config_key, index, wait=30)
    assert entry.value == b"new"
    assert new_index > index
    assert 0.2 < time.monotonic() - began < 10


def test_blocking_query_answers_when_the_key_is_deleted(consul, config_key):
    consul.put(config_key, "old")
    client = client_of(consul)
    index, _ = kv.query(client, config_key)
    threading.Timer(0.3, consul.delete, [config_key]).start()
    assert kv.query(client, config_key, index, wait=30)[1] is None


@pytest.mark.slow
def test_blocking_query_may_last_longer_than_other_reads(consul, config_key):
    consul.put(config_key, "same")
    client = client_of(consul, SHORT)
    index, _ = kv.query(client, config_key)
    began = time.monotonic()
    assert kv.query(client, config_key, index, wait=2)[0] == index
    assert time.monotonic() - began >= 1.9


# The token.


def operations(client, key):
    """Something of each kind that the project says to an agent, the library's own methods included."""
    return {
        "read": lambda: kv.query(client, key),
        "blocking query": lambda: kv.query(client, key, 1, wait=1),
        "write": lambda: client.kv.put(key, b"x"),
        "read with a token argument": lambda: client.kv.get(key, token=client.address.token),
        "self": client.agent.self,
        "services": client.agent.services,
        "register": lambda: client.agent.service.register(key),
        "deregister": lambda: client.agent.service.deregister(key),
        "catalog": lambda: client.catalog.service(key),
        "health": lambda: client.health.service(key),
        "session": lambda: client.session.create(),
    }


NAMES = list(operations(Client(AgentAddress()), "x"))


@pytest.mark.parametrize("name", NAMES)
def test_token_is_sent_as_a_header_and_never_in_a_url(acl_consul, config_key, new_proxy, name):
    proxy = new_proxy(acl_consul.http_port)
    acl_consul.register(config_key)
    operations(client_of(proxy, CONSUL_HTTP_TOKEN=acl_consul.management_token), config_key)[name]()
    request_line, _, rest = proxy.seen.decode().partition("\r\n")
    assert acl_consul.management_token not in request_line
    assert "token" not in request_line
    assert f"x-consul-token: {acl_consul.management_token}" in rest.lower()


@pytest.mark.parametrize("name", sorted({*NAMES} - {"deregister", "services", "catalog", "health"}))
def test_token_without_the_right_is_told_as_denied(acl_consul, config_key, name):
    token = acl_consul.token('key "other" { policy = "read" }')
    with fails(Denied, saying=acl_consul.url):
        operations(client_of(acl_consul, CONSUL_HTTP_TOKEN=token), config_key)[name]()


def test_unknown_token_is_told_as_denied(acl_consul, config_key):
    with fails(Denied):
        kv.read(client_of(acl_consul, CONSUL_HTTP_TOKEN=GUARD.new("an unknown token")), config_key)


@pytest.mark.parametrize("before", ["", "_", "x" * 190], ids=["alone", "in a word", "cut"])
@pytest.mark.parametrize("status", ["400 No", "403 No", "404 No", "409 No", "503 No", "not of HTTP:"])
@pytest.mark.parametrize("length", [3, 36, 300])
def test_token_that_an_answer_repeats_is_in_no_error(config_key, new_proxy, status, before, length):
    """As some proxies do: whatever its length, and wherever it stands."""
    token = "~Q~" if length == 3 else GUARD.register("a long token", (GUARD.new("a token") * 20)[:300])[:length]
    proxy = new_proxy(0)
    for said in (f"{before}{token}{before}", json.dumps({"Errors": [{"OpIndex": 0, "What": f"{before}{token}"}]})):
        if status[0].isdigit():
            proxy.answer_http(status, said, X_Consul_Reason=token)
        else:
            proxy.answer(f"{status} {said}".encode())
        client = client_of(proxy, CONSUL_HTTP_TOKEN=token)
        for ask in [*operations(client, config_key).values(), lambda: txn.commit(client, [txn.delete(config_key)])]:  # noqa: B023 (called at once)
            try:
                told = str(ask())
            except ConsulError as error:
                told = "".join(traceback.format_exception(error))
            assert token[:6] not in told.replace(__file__, "")


def test_token_file_is_read_again_when_it_changes(acl_consul, config_key, tmp_path):
    acl_consul.put(config_key, "x")
    token_file = tmp_path / "token"
    token_file.write_text(GUARD.new("an unknown token"))
    client = client_of(acl_consul, CONSUL_HTTP_TOKEN_FILE=str(token_file))
    with fails(Denied):
        kv.read(client, config_key)
    token_file.write_text(acl_consul.management_token + "\n")
    assert kv.read(client, config_key).value == b"x"


def test_token_file_comes_before_the_plain_variable(acl_consul, config_key, tmp_path):
    acl_consul.put(config_key, "x")
    (tmp_path / "token").write_text(acl_consul.management_token)
    variables = {"CONSUL_HTTP_TOKEN": GUARD.new("an old token"), "CONSUL_HTTP_TOKEN_FILE": str(tmp_path / "token")}
    assert kv.read(client_of(acl_consul, **variables), config_key).value == b"x"


@pytest.mark.parametrize("content", [None, b"two\nlines", b"\xff\xfe"], ids=["missing", "two lines", "no text"])
def test_unusable_token_file_is_named(consul, config_key, tmp_path, content):
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    with fails(Denied, saying=str(token_file)):
        kv.read(client_of(consul, CONSUL_HTTP_TOKEN_FILE=str(token_file)), config_key)


@pytest.mark.parametrize("kind", ENDLESS)
def test_token_file_that_never_ends_is_named(consul, config_key, tmp_path, kind):
    token_file = tmp_path / "token"
    ENDLESS[kind](token_file)
    client = Client(AgentAddress(port=consul.http_port, token_file=token_file))
    with fails(Denied, saying=str(token_file)):
        kv.read(client, config_key)


# TLS and IPv6.


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A Consul that speaks HTTPS to clients with a certificate, and the variables that name its files."""
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    with ConsulServer(certificates=certificates) as server:
        server.put("tls", "x")
        variables = {
            "CONSUL_CACERT": str(certificates.authority),
            "CONSUL_CLIENT_CERT": str(certificates.client_certificate),
            "CONSUL_CLIENT_KEY": str(certificates.client_key),
        }
        yield server, variables


def test_tls_with_a_directory_of_authorities(tls, tmp_path):
    """Whatever its files are called; a directory that a volume of Kubernetes is, links included, works too."""
    server, variables = tls
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / "another.crt").write_bytes(make_certificates(tmp_path).authority.read_bytes())
    (tmp_path / "volume" / "ours.crt").symlink_to(variables["CONSUL_CACERT"])
    directory = {**variables, "CONSUL_CACERT": "", "CONSUL_CAPATH": str(tmp_path / "volume")}
    where = f"https://127.0.0.1:{server.https_port}"
    client = client_of(where, **directory)
    assert kv.read(client, "tls").value == b"x"
    (tmp_path / "volume" / "ours.crt").unlink()
    with fails(Unreachable, saying="certificate verify failed"):
        kv.read(client_of(where, **directory), "tls")
    (tmp_path / "volume" / "another.crt").unlink()
    with pytest.raises(AddressInvalid, match="no certificate in"):
        client_of(where, **directory)
    client.close()
    with fails(Unreachable, saying="no certificate in"):  # and not: trust those of the system
        kv.read(client, "tls")


def test_file_of_authorities_wins_over_the_directory(tls, tmp_path):
    server, variables = tls
    client = client_of(f"https://127.0.0.1:{server.https_port}", **variables, CONSUL_CAPATH=str(tmp_path))
    assert kv.read(client, "tls").value == b"x"


def test_name_in_the_certificate_may_be_another_than_the_host(tmp_path):
    """As that of Consul's own servers, server.DATACENTER.consul, whatever the address."""
    with ConsulServer(certificates=make_certificates(tmp_path).misnamed) as server:
        server.put("tls", "x")
        variables = server.https_environment
        where = variables.pop("CONSUL_HTTP_ADDR")
        assert kv.read(client_of(where, CONSUL_TLS_SERVER_NAME="other.example", **variables), "tls").value == b"x"
        for name in ("", "another.example"):
            with fails(Unreachable, saying="certificate"):
                kv.read(client_of(where, CONSUL_TLS_SERVER_NAME=name, **variables), "tls")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_tls_with_an_authority_and_a_client_certificate(tls, host):
    server, variables = tls
    assert kv.read(client_of(f"https://{host}:{server.https_port}", **variables), "tls").value == b"x"
    switched = client_of(f"{host}:{server.https_port}", CONSUL_HTTP_SSL="true", **variables)
    assert kv.read(switched, "tls").value == b"x"


@pytest.mark.parametrize("missing", ["CONSUL_CACERT", "CONSUL_CLIENT_CERT"])
def test_tls_without_a_certificate_is_told_as_unreachable(tls, missing):
    server, variables = tls
    left = {name: value for name, value in variables.items() if not (name.startswith(missing) or missing in name)}
    if missing == "CONSUL_CLIENT_CERT":
        left.pop("CONSUL_CLIENT_KEY")
    with fails(Unreachable, saying="certificate"):
        kv.read(client_of(f"https://127.0.0.1:{server.https_port}", **left), "tls")


@pytest.mark.slow
def test_an_answer_is_announced_when_it_has_come(tls, consul, config_key, new_proxy):
    server, variables = tls
    consul.put(config_key, "value")
    for where, key in ((consul.address, config_key), (f"https://127.0.0.1:{server.https_port}", "tls")):
        announced = []
        client = client_of(where, on_answer=lambda: announced.append(time.monotonic()), **variables)  # noqa: B023
        kv.read(client, key)
        index, _ = kv.query(client, key)
        began, first = time.monotonic(), len(announced)
        kv.query(client, key, index, wait=1)
        assert len(announced) == first + 1 == 3
        assert announced[-1] - began > 0.9, "not when it was asked"


@pytest.mark.parametrize("trouble", ["silence", "refuse"])
def test_no_answer_is_not_announced(consul, new_proxy, trouble):
    proxy, announced = new_proxy(consul.http_port), []
    getattr(proxy, trouble)()
    with fails(Unreachable, "no answer within 0.5 s" if trouble == "silence" else "refused the connection"):
        kv.read(client_of(proxy, SHORT, lambda: announced.append(1)), "key")
    assert announced == []


def test_verification_of_the_server_can_be_turned_off(tls):
    server, variables = tls
    left = {**variables, "CONSUL_CACERT": "", "CONSUL_HTTP_SSL_VERIFY": "false"}
    assert kv.read(client_of(f"https://127.0.0.1:{server.https_port}", **left), "tls").value == b"x"


def test_plain_http_to_a_tls_port_is_told(tls):
    server, _ = tls
    with pytest.raises((Refused, Garbled, Unreachable)):
        kv.read(client_of(f"127.0.0.1:{server.https_port}"), "tls")


def test_ipv6_address(consul, config_key):
    consul.put(config_key, "x")
    assert kv.read(client_of(f"[::1]:{consul.http_port}"), config_key).value == b"x"


# Faults of the network.


def test_refused_connection(config_key):
    port = free_port()
    with fails(Unreachable, saying=f"Consul at http://127.0.0.1:{port} refused the connection"):
        kv.read(client_of(f"127.0.0.1:{port}"), config_key)


def test_unknown_host_name(config_key):
    with fails(Unreachable, saying="http://no-such-host.invalid:8500"):
        kv.read(client_of("no-such-host.invalid"), config_key)


def test_connection_that_is_never_accepted_ends_after_the_connect_timeout(config_key):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as waiting:
        for _ in range(8):  # fills the backlog: the kernel drops what comes now
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        began = time.monotonic()
        with fails(Unreachable, saying="0.5 s"):
            kv.read(client_of(f"127.0.0.1:{full.getsockname()[1]}", SHORT), config_key)
        assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("used_before", [False, True], ids=["new connection", "connection used before"])
@pytest.mark.parametrize("name", NAMES)
def test_silent_agent_ends_after_the_read_timeout(consul, config_key, new_proxy, name, used_before):
    proxy = new_proxy(consul.http_port)
    client = client_of(proxy, SHORT)
    if used_before:
        client.agent.self()
    proxy.silence()
    began = time.monotonic()
    with fails(Unreachable, saying="no answer"):
        operations(client, config_key)[name]()
    wait = 17 / 16 if name == "blocking query" else 0
    assert 0.4 + wait < time.monotonic() - began < 5


def test_answer_that_drips_ends_as_well(config_key):
    """Each byte comes before the time-out; all of them together never would."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.suppress(ConsulError):
        threading.Thread(target=drip, args=[listener], daemon=True).start()
        began = time.monotonic()
        with fails(Unreachable):
            kv.read(client_of(f"127.0.0.1:{listener.getsockname()[1]}", SHORT), config_key)
        assert time.monotonic() - began < 5


def drip(listener):
    connection, _ = listener.accept()
    with contextlib.suppress(OSError), connection:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b"[")
            time.sleep(0.1)


def test_connection_cut_before_the_answer(consul, config_key, new_proxy):
    proxy = new_proxy(consul.http_port)
    proxy.lose_replies()
    with fails(Unreachable):
        kv.read(client_of(proxy), config_key)


def test_answer_that_is_cut_off(config_key, new_proxy):
    proxy = new_proxy(target_port=1)
    proxy.answer(b"HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nContent-Length: 500\r\n\r\n[{")
    with fails(Unreachable, saying="cut off its answer"):
        kv.read(client_of(proxy), config_key)


def test_write_whose_answer_was_lost_is_not_repeated(consul, config_key, new_proxy):
    proxy = new_proxy(consul.http_port)
    proxy.lose_replies(to=b"PUT")
    with fails(Unreachable):
        client_of(proxy).kv.put(config_key, b"x")
    assert proxy.seen.count(b"PUT /v1/kv/") == 1


def test_idle_connection_that_the_agent_closed_is_replaced(consul, config_key, new_proxy):
    consul.put(config_key, "x")
    proxy = new_proxy(consul.http_port)
    client = client_of(proxy)
    kv.read(client, config_key)
    proxy.cut()
    assert kv.read(client, config_key).value == b"x"


def test_client_works_again_when_the_agent_is_back(own_consul, config_key):
    client = client_of(own_consul)
    own_consul.kill()
    with fails(Unreachable, saying="refused"):
        kv.read(client, config_key)
    own_consul.start()
    own_consul.put(config_key, "x")
    assert kv.read(client, config_key).value == b"x"


# Answers that are not Consul's.


def test_redirect_is_not_followed(consul, config_key, new_proxy):
    """It could carry the token elsewhere."""
    proxy, elsewhere = new_proxy(consul.http_port), new_proxy(consul.http_port)
    for status in ("301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"):
        proxy.answer_http(status, Location=f"http://{elsewhere.address}/v1/kv/{config_key}")
        with fails(Garbled, saying="redirect"):
            kv.read(client_of(proxy, CONSUL_HTTP_TOKEN=GUARD.new("a token")), config_key)
    assert elsewhere.connections == 0


INDEX = {"X-Consul-Index": "7"}
ENTRY = '[{"Key": "k", "Value": "eA==", "ModifyIndex": 7, "Flags": 0}]'


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        ("200 OK", "<html>Please log in</html>", {"Content-Type": "text/html"}),
        ("200 OK", "<html>Please log in</html>", INDEX),
        ("200 OK", "", INDEX),
        ("200 OK", "null", INDEX),
        ("200 OK", "{}", INDEX),
        ("200 OK", "[{}]", INDEX),
        ("200 OK", "[null]", INDEX),
        ("200 OK", "[[]]", INDEX),
        ("200 OK", "true", INDEX),
        ("200 OK", '"text"', INDEX),
        ("200 OK", "[" * 100_000, INDEX),
        ("200 OK", ENTRY.replace("eA==", "e"), INDEX),
        ("200 OK", ENTRY.replace('"eA=="', "5"), INDEX),
        ("200 OK", ENTRY.replace('"ModifyIndex": 7', '"ModifyIndex": "x"'), INDEX),
        ("200 OK", ENTRY.replace('"ModifyIndex": 7', '"ModifyIndex": null'), INDEX),
        ("200 OK", ENTRY, {}),
        ("200 OK", ENTRY, {"X-Consul-Index": "many"}),
        ("404 Not Found", "<html>No such page</html>", {}),
        ("204 No Content", "", {}),
        ("200 OK", "not gzip", {"Content-Encoding": "gzip", **INDEX}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_answer_that_is_not_consuls_is_told_as_garbled(config_key, new_proxy, status, body, headers):
    proxy = new_proxy(target_port=1)
    proxy.answer_http(status, body, **{name.replace("-", "_"): value for name, value in headers.items()})
    with fails(TooLong if len(body) >= 100_000 else Garbled, saying=f"http://{proxy.address}"):
        kv.read(client_of(proxy), config_key)


def test_answer_that_is_too_long_is_told_as_such(config_key, new_proxy):
    proxy = new_proxy(target_port=1)
    proxy.answer_http("200 OK", "x" * 20 * 1024 * 1024, X_Consul_Index="7")
    with fails(TooLong, saying=f"http://{proxy.address}"):
        kv.read(client_of(proxy), config_key)


@pytest.mark.parametrize(
    "reply",
    [
        b"\x00\xff\x00\xff\r\n\r\n",
        b"-ERR unknown command 'GET'\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
    ],
    ids=["bytes", "Redis", "a status that is no number", "an endless header"],
)
def test_peer_that_speaks_no_http_is_told_as_garbled(config_key, new_proxy, reply):
    proxy = new_proxy(target_port=1)
    proxy.answer(reply)
    with fails(Garbled, saying=f"http://{proxy.address}"):
        kv.read(client_of(proxy), config_key)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"write", "register", "deregister"}))
def test_html_in_place_of_any_answer_is_told_as_garbled(config_key, new_proxy, name):
    proxy = new_proxy(target_port=1)
    proxy.answer_http("200 OK", "<html>Please log in</html>")
    with fails(Garbled):
        operations(client_of(proxy), config_key)[name]()


@pytest.mark.parametrize("status", ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable"])
def test_server_error_is_told_as_unreachable_with_its_words(config_key, new_proxy, status):
    proxy = new_proxy(target_port=1)
    proxy.answer_http(status, "No cluster leader")
    with fails(Unreachable, saying="No cluster leader"):
        kv.read(client_of(proxy), config_key)


def test_other_refusal_is_told_with_consuls_words(consul, config_key):
    with fails(Refused, saying="too large"):
        client_of(consul).kv.put(config_key, b"x" * 600 * 1024)

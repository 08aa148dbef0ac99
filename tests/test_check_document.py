"""`manage.py check_document`: what it says of a document, to CI and Git hooks, and that it needs no Consul."""

import json

import pytest

from demo_site.document.parsing import MAX_BYTES, DocumentInvalid, parse
from tests.support.documents import SMALLEST, document, raw
from tests.support.files import ENDLESS
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.secrets import GUARD
from tests.support.site import Site

pytestmark = pytest.mark.slow
INVALID, MISSING = 78, 66


@pytest.fixture(scope="module")
def agent():
    """Where Consul should be: nobody answers, and nobody asks."""
    with Proxy(free_port()) as proxy:
        proxy.silence()
        yield proxy
        assert not proxy.seen


@pytest.fixture(scope="module")
def site(agent):
    with Site({"CONSUL_HTTP_ADDR": agent.address}) as site:
        yield site


@pytest.fixture
def check(site, tmp_path):
    """Check this document, an object or bytes, in a file."""

    def run(value, *options, **variables):
        path = tmp_path / "document.json"
        path.write_bytes(value if isinstance(value, bytes) else raw(value))
        return site.command("check_document", str(path), *options, **variables)

    return run


def test_valid_document_passes(check, tmp_path):
    done = check(SMALLEST)
    assert (done.status, done.stdout, done.stderr) == (0, f"{tmp_path / 'document.json'}: valid.\n", "")


def test_every_fault_is_told_as_the_start_and_the_admin_do(check):
    secret = GUARD.new("password in a broken document", separator="@")
    config = {"redis_host": "", "redis_port": "6379", "redis_db": -1, "redis_password": [secret], "x": [1e999] * 30}
    value = json.dumps({"redis_config": config, "show_message": 5}).encode()
    with pytest.raises(DocumentInvalid) as caught:
        parse(value)
    assert len(caught.value.faults) == 35
    done = check(value)
    assert done.status == INVALID
    assert done.stderr.splitlines()[1:] == [f"  {fault}" for fault in caught.value.faults]
    assert "document.json is invalid:" in done.stderr
    assert done.stdout == ""


def test_members_that_are_ignored_are_named_without_a_secret(check):
    secret = GUARD.new("password that is a name, too")
    config = SMALLEST["redis_config"] | {"redis_passwort": "x", "redis_password": secret, secret: 1}
    done = check({**SMALLEST, "redis_config": config})
    assert done.status == 0
    assert "redis_config.redis_passwort" in done.stderr


def test_standard_input_is_read_up_to_a_limit(site, tmp_path):
    (tmp_path / "given").write_bytes(raw(SMALLEST))
    with (tmp_path / "given").open() as given:
        done = site.command("check_document", "-", stdin=given)
    assert (done.status, done.stdout) == (0, "standard input: valid.\n")
    with open("/dev/zero") as endless:  # noqa: PTH123 (a device)
        done = site.command("check_document", "-", stdin=endless)
    assert done.status == INVALID
    assert f"Consul's limit is {MAX_BYTES}" in done.stderr


@pytest.mark.parametrize("kind", ["missing", *ENDLESS])
def test_what_cannot_be_read_is_told(site, tmp_path, kind):
    path = tmp_path / "a\x1b[31mdocument"
    if kind != "missing":
        ENDLESS[kind](path)
    done = site.command("check_document", str(path))
    assert done.status == (INVALID if kind == "huge file" else MISSING)
    assert "cannot be read" in done.stderr
    assert "\x1b" not in done.stderr and "Traceback" not in done.stderr


def test_probe_tries_the_redis_as_a_worker_does(check, redis):
    done = check(document(redis), "--probe")
    assert (done.status, done.stderr) == (0, "")
    assert "valid, and its Redis can count." in done.stdout
    wrong = document(redis)
    wrong["redis_config"] |= {"redis_db": 999}
    done = check(wrong, "--probe")
    assert done.status == INVALID
    assert "is valid, but would be rejected:\n  redis_config.redis_db: " in done.stderr


def test_probe_of_a_service_asks_consul_where_it_is(check):
    config = {"redis_db": 0, "redis_service": "redis"}
    done = check({**SMALLEST, "redis_config": config}, "--probe", CONSUL_HTTP_ADDR=f"127.0.0.1:{free_port()}")
    assert done.status == INVALID
    assert "redis_config.redis_service: " in done.stderr and "refused the connection" in done.stderr

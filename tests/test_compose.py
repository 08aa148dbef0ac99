"""compose.yaml: it is what the specification allows, its secrets are files, and its Consul is prepared for the site."""

import json
import re
import stat
import subprocess
import sys

import pytest
import redis
import yaml
from compose_spec import PyCompose

from demo_site.environment import TABLE
from demo_site.identity import KEY, NAME
from tests.support.binaries import PROJECT, redis_binary
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.policies import DNS, EDIT, FLEET, POLICIES, PUBLISH, REGISTER, START
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

import make_secrets
import prepare
import release

COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service["image"] == NAME}

CONFIGURATIONS = {"consul_acl.hcl", "database_url", "redis.conf"}  # of ordinary words, around secrets of other files


@pytest.fixture
def secrets_made(tmp_path):
    """The folder with the secrets, as it is made."""
    folder = tmp_path / "secrets"
    make_secrets.make(folder)
    for path in folder.iterdir():
        if path.name not in CONFIGURATIONS:
            GUARD.register(path.name, path.read_text())
    return folder


def test_it_is_what_the_specification_allows():
    PyCompose.from_json(json.dumps(COMPOSE))
    with pytest.raises(ValueError, match="read_onyl"):
        PyCompose.from_json(json.dumps(COMPOSE).replace("read_only", "read_onyl"))


def test_what_it_mounts_and_waits_for_is_there():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (PROJECT / source).exists(), f"{name}: {volume}"
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]
        assert set(service.get("depends_on", [])) <= set(SERVICES)


def test_every_image_has_a_version_and_consul_is_that_of_make_run():
    for service in SERVICES.values():
        assert service["image"] == NAME or re.search(r":\d+(\.\d+)*(-alpine)?$", service["image"])
    assert SERVICES["consul"]["image"] == f"hashicorp/consul:{release.OFFICIAL_CONSUL.version}"


def test_no_variable_of_the_site_is_a_secret_and_each_exists():
    known = {variable.name for variable in TABLE if not variable.secret} | {"WEB_CONCURRENCY"}
    for name in ("site1", "site2", "migrate"):
        assert set(SERVICES[name]["environment"]) <= known
    assert {"DJANGO_SECRET_KEY_FILE", "DATABASE_URL_FILE", "CONSUL_HTTP_TOKEN_FILE"} <= set(
        SERVICES["site1"]["environment"]
    )


def test_haproxy_is_told_what_its_configuration_reads():
    read = set(re.findall(r"\$\{(\w+)\}", (PROJECT / "deploy" / "haproxy" / "haproxy.cfg").read_text()))
    assert read - set(SERVICES["haproxy"]["environment"]) == {"HAPROXY_CERT"}
    assert set(SERVICES["haproxy"]["environment"]) <= read


@pytest.mark.parametrize("name", OWN)
def test_the_image_runs_without_rights_on_a_file_system_that_is_read_only(name):
    service = OWN[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_secret_is_made_and_for_whoever_may_enter_the_folder(secrets_made):
    wanted = {secret["file"].removeprefix("secrets/") for secret in COMPOSE["secrets"].values()}
    assert {path.name for path in secrets_made.iterdir()} == wanted
    assert stat.S_IMODE(secrets_made.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets_made.iterdir()} == {0o444}
    password = (secrets_made / "postgres_password").read_text()
    assert (secrets_made / "database_url").read_text() == f"postgres://{NAME}:{password}@postgres/{NAME}\n"


def test_secrets_that_are_there_stay(secrets_made):
    before = (secrets_made / "redis_password").read_text()
    with pytest.raises(FileExistsError):
        make_secrets.make(secrets_made)
    assert (secrets_made / "redis_password").read_text() == before


def test_neither_git_nor_the_image_gets_them():
    assert "/secrets/" in (PROJECT / ".gitignore").read_text().splitlines()
    assert (PROJECT / ".dockerignore").read_text().splitlines()[1] == "*"


@pytest.mark.slow
def test_redis_asks_for_the_password_of_the_file(secrets_made):
    port = free_port()
    with ServerProcess("redis-of-compose") as server:
        command = [redis_binary(), secrets_made / "redis.conf", "--port", port, "--dir", server.directory]
        server.launch(command, environment=clean_environment(server.directory))
        password = (secrets_made / "redis_password").read_text()
        with redis.Redis(port=port, password=password) as client:
            wait_until(client.ping, ignoring=(redis.ConnectionError,))
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


# Consul.


def prepared(consul, folder):
    """What `prepare.py` prints, as it is started in its container."""
    environment = {**clean_environment(folder), "CONSUL_HTTP_ADDR": consul.address, "SECRETS": str(folder)}
    command = [sys.executable, PROJECT / "deploy" / "compose" / "prepare.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)  # noqa: S603 (our own command)
    GUARD.check(done.stdout + done.stderr, "the output of prepare.py")
    return done


def test_rules_are_those_of_the_page():
    """`write` in place of `read` where a part needs it."""
    rules = set(prepare.SITE.strip().splitlines())
    documented = {line.partition(" #")[0].strip() for part in (EDIT, PUBLISH, REGISTER) for line in POLICIES[part]}
    assert rules == documented
    weaker = {line for part in (START, FLEET) for line in POLICIES[part]}
    assert {line.partition(" #")[0].strip().replace('"read"', '"write"') for line in weaker} - rules == {
        'node_prefix "" { policy = "write" }'
    }
    assert prepare.DNS.strip().splitlines() == POLICIES[DNS]


@pytest.mark.slow
def test_the_site_starts_registers_and_publishes_with_the_token_that_is_prepared(secrets_made, new_site, redis):
    with ConsulServer(acl=True) as consul:
        (secrets_made / "consul_management_token").chmod(0o600)
        (secrets_made / "consul_management_token").write_text(consul.management_token)
        first = prepared(consul, secrets_made)
        assert (first.returncode, first.stdout) == (0, "The document was stored.\n"), first.stderr
        shipped = json.loads((PROJECT / "deploy/compose/document.json").read_text())
        assert json.loads(consul.get(KEY)) == shipped
        consul.put(KEY, document(redis))
        assert prepared(consul, secrets_made).stdout == "The document stays as it is.\n"
        token = str(secrets_made / "consul_site_token")
        site = new_site({"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_TOKEN_FILE": token, "CONSUL_REGISTER": "1"})
        site.gunicorn()
        consul.wait_registered(NAME, passing=True)
        wait_until(lambda: f"{site.port}: 1 of 1" in site.command("effective_config", "--fleet").stdout)
        assert site.get("/").ok


def test_a_consul_that_refuses_is_told_in_one_line(secrets_made, consul):
    """The one of the tests has no ACLs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "SECONDS", 0)
        with pytest.raises(prepare.Refused, match="Consul is not ready"):
            prepare.prepare(consul.address, "a", "b", b"{}")

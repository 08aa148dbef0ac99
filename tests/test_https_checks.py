"""Consul's checks of an instance that speaks HTTPS, and of one that is reached by a name."""

import pytest

from demo_site.environment import Environment
from demo_site.identity import KEY
from demo_site.registration.definition import DefinitionInvalid, define
from tests.support.binaries import consul_version
from tests.support.certificates import make_certificates
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.membership import check_statuses, seconds_until_passing
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def own_consul(certificates):
    """Its checks trust the authority of these tests."""
    with ConsulServer(trusts=certificates.authority) as server:
        yield server


@pytest.fixture
def new_member(own_consul, redis, new_site):
    """Make instances that register themselves."""
    own_consul.put(KEY, document(redis))
    variables = {"CONSUL_HTTP_ADDR": own_consul.address, "CONSUL_REGISTER": "1", "SERVICE_CHECK_INTERVAL": "1s"}
    yield lambda **more: new_site(variables | more)
    own_consul.deregister_all()


@pytest.fixture
def start_tls(new_member):
    """Start an instance that speaks HTTPS with these certificates."""

    def start(certificates, **variables):
        site = new_member(**variables)
        site.url = f"https://{site.address}"
        site.is_alive = lambda: True  # the certificate may have another name
        pair = ("--certfile", str(certificates.server_certificate), "--keyfile", str(certificates.server_key))
        return site.gunicorn(*pair)

    return start


def outputs(consul):
    """What the checks got, as the agent has it: the catalog hears of it later where the status is as before."""
    return " ".join(check["Output"] for check in consul.api("GET", "/v1/agent/checks").json().values())


def test_instance_that_speaks_https_is_checked_by_https(start_tls, own_consul, certificates):
    start_tls(certificates)
    seconds_until_passing(own_consul)
    wait_until(lambda: "HTTP GET https://127.0.0.1:" in outputs(own_consul), message="a check")


def test_certificate_of_another_name_is_not_accepted(start_tls, own_consul, certificates):
    start_tls(certificates.misnamed)
    wait_until(lambda: "x509" in outputs(own_consul), message="a check")
    wait_until(lambda: check_statuses(own_consul) == {"ready": "critical", "alive": "critical"}, message="critical")


def test_certificate_may_go_unverified(start_tls, own_consul, certificates):
    start_tls(certificates.misnamed, SERVICE_CHECK_TLS_SKIP_VERIFY="1")
    seconds_until_passing(own_consul)
    wait_until(lambda: "HTTP GET https://127.0.0.1:" in outputs(own_consul), message="a check")
    assert check_statuses(own_consul) == {"ready": "passing", "alive": "passing"}


def test_certificate_may_have_the_name_that_is_set(start_tls, own_consul, certificates):
    """An agent of 1.8 does not know the field, and says so."""
    site = start_tls(certificates.misnamed, SERVICE_CHECK_TLS_SERVER_NAME="other.example")
    if consul_version() >= (1, 10):
        wait_until(lambda: "HTTP GET https://127.0.0.1:" in outputs(own_consul), message="a check")
        assert check_statuses(own_consul) == {"ready": "passing", "alive": "passing"}
    else:
        site.wait_logged('unknown field "TLSServerName"')


def test_instance_that_speaks_https_reports_its_own_verdict(start_tls, own_consul, certificates):
    start_tls(certificates.misnamed, SERVICE_CHECK="ttl")
    seconds_until_passing(own_consul)


def test_check_asks_for_the_host_that_is_set(new_member, new_proxy, own_consul):
    site = new_member(SERVICE_CHECK_HOST="www.example.org:8443")
    proxy = new_proxy(site.port)
    site.environment |= {"SERVICE_ADDRESS": "127.0.0.1", "SERVICE_PORT": str(proxy.port)}
    site.gunicorn()
    seconds_until_passing(own_consul)
    wait_until(lambda: b"Host: www.example.org:8443\r\n" in proxy.seen, message="a check")
    assert b"Host: 127.0.0.1" not in proxy.seen


def checks(**variables):
    return define(Environment({f"SERVICE_CHECK_{name}": value for name, value in variables.items()})).payload()[
        "Checks"
    ]


def test_only_what_is_set_is_sent():
    """Agents refuse what their version does not know."""
    for check in (*checks(), *checks(SCHEME="https"), *checks(TLS_SERVER_NAME="a.example")):
        assert not {"Header", "TLSServerName", "TLSSkipVerify"} & check.keys()
    for check in checks(SCHEME="https", TLS_SERVER_NAME="a.example", TLS_SKIP_VERIFY="1", HOST="b.example"):
        assert check["HTTP"].startswith("https://127.0.0.1:8000/")
        assert (check["TLSServerName"], check["TLSSkipVerify"]) == ("a.example", True)
        assert check["Header"] == {"Host": ["b.example"]}


def test_each_of_them_is_told_in_the_notes_which_the_entry_is_compared_by():
    every = [
        checks(),
        checks(SCHEME="https"),
        checks(SCHEME="https", TLS_SERVER_NAME="a.example"),
        checks(SCHEME="https", TLS_SKIP_VERIFY="1"),
        checks(HOST="a.example"),
    ]
    assert len({check["Notes"] for pair in every for check in pair}) == 2 * len(every)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SCHEME", "tcp"), ("TLS_SERVER_NAME", "a b"), ("TLS_SERVER_NAME", "a:1"), ("HOST", "a/b"), ("HOST", "a\r\nB: c")],
)
def test_invalid_value_is_named(name, value):
    with pytest.raises(DefinitionInvalid, match=f"check-{name.lower().replace('_', '-')}: must be"):
        checks(**{name: value})

"""A real Consul agent on free loopback ports, and the tests' direct requests to it."""

import base64
import json
import uuid

import requests

from tests.support.binaries import consul_binary, consul_version
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until

ANONYMOUS = "00000000-0000-0000-0000-000000000002"
PORTS = ("http", "https", "dns", "server", "serf_lan")


class ConsulServer(ServerProcess):
    """One agent: server and leader in itself, unless it `joins` another as a client agent.

    `keep_state`: a restart finds keys and registrations again (it takes about 1.5 s; without, 0.3 s).
    `acl`: nothing is allowed without a token; `management_token` may do everything.
    `joins`: a server with `acl`. Without an `agent_token` this agent has no ACLs of its own: it takes every
    registration, and it passes on to the server's catalog what a token (the caller's, else its own, which it lacks)
    allows. With one, it checks every request, and that token is its own.
    `certificates`: HTTPS on `https_port`, for clients with a certificate of the same authority only. What a client
    needs for that is in `https_environment`.
    `trusts`: the file of the authority that its checks take certificates of.
    """

    def __init__(
        self,
        *,
        keep_state=False,
        acl=False,
        joins=None,
        agent_token=None,
        certificates=None,
        trusts=None,
        most_connections=None,
    ):
        super().__init__("consul")
        self.most_connections = most_connections  # from one address; None: as many as Consul takes by itself
        self.advertised = "127.0.0.1"  # the address that it tells others; a change takes effect with `restart`
        self.keep_state, self.acl, self.joins, self.certificates = keep_state, acl, joins, certificates
        self.agent_token, self.trusts = agent_token, trusts
        self.ports = {name: free_port() for name in PORTS}
        self.http_port, self.https_port, self.dns_port = (self.ports[name] for name in ("http", "https", "dns"))
        self.management_token = joins and joins.management_token
        if acl:
            self.management_token = GUARD.register("management token", str(uuid.uuid4()))
        self.node = f"node-{self.http_port}"
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.address = f"127.0.0.1:{self.http_port}"

    def __enter__(self):
        return self.start()

    def start(self):
        """Start the agent and wait until it has a leader and keeps keys."""
        self.start_process()
        self.wait_ready(self._keeps_keys, ignoring=(requests.RequestException,))
        return self

    def start_process(self):
        config_path = self.directory / "agent.json"
        config_path.write_text(json.dumps(self._config()))
        command = [consul_binary(), "agent", *self._mode(), f"-config-file={config_path}"]
        trusted = {"SSL_CERT_FILE": str(self.trusts)} if self.trusts else {}
        self.launch(command, environment=clean_environment(self.directory) | trusted)

    def _mode(self):
        directory = f"-data-dir={self.directory / 'data'}"
        if self.joins:
            return [directory, f"-retry-join=127.0.0.1:{self.joins.ports['serf_lan']}"]
        return ["-server", "-bootstrap-expect=1", directory] if self.keep_state else ["-dev"]

    def restart(self):
        """Stop and start again on the same ports; empty unless `keep_state`."""
        self.kill()
        return self.start()

    def _keeps_keys(self):
        return self.api("PUT", "/v1/kv/is-ready", data=b"").ok and self.api("DELETE", "/v1/kv/is-ready").ok

    def _config(self):
        config = {
            "node_name": self.node,
            "bind_addr": "127.0.0.1",
            "advertise_addr": self.advertised,
            "client_addr": "127.0.0.1 ::1",
            "ports": self._port_config(),
            "performance": {"raft_multiplier": 1},
            "disable_update_check": True,
            "connect": {"enabled": False},
        }
        if self.most_connections:
            config["limits"] = {"http_max_conns_per_client": self.most_connections}
        return {**config, **self._acl_config(), **self._tls_config()}

    def _port_config(self):
        unused = {"serf_wan": -1, "grpc": -1}
        if consul_version() >= (1, 14):
            unused["grpc_tls"] = -1
        return {**self.ports, **unused, "https": self.https_port if self.certificates else -1}

    def _acl_config(self):
        if self.agent_token:
            return {"acl": {"enabled": True, "default_policy": "deny", "tokens": {"agent": self.agent_token}}}
        if not self.acl:
            return {}
        management = "initial_management" if consul_version() >= (1, 11) else "master"
        tokens = {management: self.management_token, "agent": self.management_token}
        return {"acl": {"enabled": True, "default_policy": "deny", "tokens": tokens}}

    def _tls_config(self):
        if not self.certificates:
            return {}
        files = {
            "ca_file": str(self.certificates.authority),
            "cert_file": str(self.certificates.server_certificate),
            "key_file": str(self.certificates.server_key),
        }
        if consul_version() >= (1, 12):
            return {"tls": {"https": {**files, "verify_incoming": True}}}
        return {**files, "verify_incoming_https": True}

    @property
    def https_environment(self):
        """The variables of a client that speaks HTTPS with it."""
        return {
            "CONSUL_HTTP_ADDR": f"https://127.0.0.1:{self.https_port}",
            "CONSUL_CACERT": str(self.certificates.authority),
            "CONSUL_CLIENT_CERT": str(self.certificates.client_certificate),
            "CONSUL_CLIENT_KEY": str(self.certificates.client_key),
        }

    def api(self, method, path, **options):
        """One request by the test itself, with all rights, without the product's client."""
        with requests.Session() as session:
            session.trust_env = False
            if self.management_token:
                session.headers["X-Consul-Token"] = self.management_token
            return session.request(method, self.url + path, timeout=10, **options)

    def _answer(self, method, path, **options):
        response = self.api(method, path, **options)
        response.raise_for_status()
        return response.json()

    def put(self, key, value):
        """Write a key: bytes and text as they are, anything else as JSON."""
        raw = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
        assert self._answer("PUT", f"/v1/kv/{key}", data=raw) is True

    def get(self, key):
        """The key's bytes, or None."""
        entry = self._entry(key)
        return entry and base64.b64decode(entry["Value"] or "")

    def index(self, key):
        """The key's ModifyIndex."""
        return self._entry(key)["ModifyIndex"]

    def _entry(self, key):
        response = self.api("GET", f"/v1/kv/{key}")
        return None if response.status_code == 404 else response.json()[0]

    def delete(self, key):
        self._answer("DELETE", f"/v1/kv/{key}")

    def register(self, service, **members):
        """Register a service by hand, as another program would."""
        assert self.api("PUT", "/v1/agent/service/register", json={"Name": service, **members}).ok

    def agent_services(self):
        """The services that the agent knows, by id."""
        return self._answer("GET", "/v1/agent/services")

    def catalog(self, service):
        """The entries of the service in the catalog."""
        return self._answer("GET", f"/v1/catalog/service/{service}")

    def health(self, service, *, passing=False):
        """The instances of the service with their checks; with `passing`, the healthy ones only."""
        return self._answer("GET", f"/v1/health/service/{service}", params={"passing": "true"} if passing else {})

    def deregister_all(self):
        """Remove every service from the agent."""
        for service_id in self.agent_services():
            self.api("PUT", f"/v1/agent/service/deregister/{service_id}")

    def token(self, *rules):
        """A new token with exactly the rights of these rules (HCL or JSON), a policy for each."""
        made = self._answer("PUT", "/v1/acl/token", json={"Policies": [self._policy(each) for each in rules]})
        return GUARD.register(f"Consul token for {' '.join(rules)}", made["SecretID"])

    def revoke(self, token):
        """Delete a token. The server knows that at once, another agent when its cache expires (30 s)."""
        found = requests.get(f"{self.url}/v1/acl/token/self", headers={"X-Consul-Token": token}, timeout=10).json()
        assert self.api("DELETE", f"/v1/acl/token/{found['AccessorID']}").ok

    def allow_anybody(self, rules):
        """Give these rights to requests without a token."""
        self._answer("PUT", f"/v1/acl/token/{ANONYMOUS}", json={"Policies": [self._policy(rules)]})

    def _policy(self, rules):
        name = str(uuid.uuid4())
        self._answer("PUT", "/v1/acl/policy", json={"Name": name, "Rules": rules})
        return {"Name": name}

    def wait_registered(self, service, *, passing=False, bound=30):
        """Wait until the catalog holds the service (healthy, with `passing`) and return its instances."""
        state = "passing" if passing else "registered"
        return wait_until(lambda: self.health(service, passing=passing), bound, f"{service} to be {state}")

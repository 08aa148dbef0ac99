"""The least policies of docs/policies.md, and for each part a trial that says what a token lacks for it."""

import re

import dns.exception
import dns.resolver

from demo_site import identity
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client
from demo_site.fleet.publisher import Publisher
from demo_site.fleet.worker import Worker, key
from tests.support.admin import PATH, AdminSite
from tests.support.binaries import PROJECT
from tests.support.consul import ConsulServer
from tests.support.documents import document
from tests.support.readme import renamed
from tests.support.waiting import wait_until

START, EDIT, PUBLISH = (
    "Start and follow the document",
    "Edit and roll back in the admin",
    "Publish what each worker runs",
)
PUBLISH, REGISTER = "Publish what each worker runs", "Register, keep and deregister"
FLEET, SERVICES = "Show the fleet", "List services"
AGENT, DNS, PROMETHEUS = "The agent's own token", "DNS with the anonymous token", "Prometheus"
ON_TOP = (EDIT, PUBLISH, REGISTER)  # of START
PARTS = (START, EDIT, PUBLISH, REGISTER, FLEET, SERVICES)


def _policies():
    """The rules of each part, a line for each."""
    text = renamed((PROJECT / "docs" / "policies.md").read_text())
    found = re.findall(r"^### ([^\n]+)\n\n```hcl\n(.+?)```", text, re.MULTILINE | re.DOTALL)
    return {part: rules.strip().splitlines() for part, rules in found}


POLICIES = _policies()
RULES = [(part, rule) for part in PARTS for rule in POLICIES[part]]


def right(rule):
    """The right that a rule gives, as messages name it: `key:read`."""
    return re.sub(r'^(\w+?)(?:_prefix)? ".*" { policy = "(\w+)" }.*$', r"\1:\2", rule)


def guarded_site(consul, token, **variables):
    """A site that speaks HTTPS with this agent, not started; the token is in its `token_file`."""
    site = AdminSite({"DEMO_CONFIG_KEY": identity.KEY, **consul.https_environment, **variables})
    site.token_file = site.directory / "token"
    site.token_file.write_text(token)
    site.environment["CONSUL_HTTP_TOKEN_FILE"] = str(site.token_file)
    return site


class Datacenter:
    """A Consul server, and the site's agent: HTTPS for known clients only, everything denied that no policy allows."""

    def __init__(self, certificates, redis, stack):
        self.server = stack.enter_context(ConsulServer(acl=True))
        self.server.put(identity.KEY, document(redis))
        self.server.allow_anybody("\n".join(POLICIES[DNS]))
        self.agent = self.new_agent(certificates, POLICIES[AGENT], stack)
        self._stack = stack

    def new_agent(self, certificates, rules, stack):
        """An agent whose own token has these rules."""
        token = self.server.token("\n".join(rules))
        return stack.enter_context(ConsulServer(joins=self.server, agent_token=token, certificates=certificates))

    def token(self, *parts):
        """A token with the policies of these parts, as the page has them."""
        return self.server.token(*("\n".join(POLICIES[part]) for part in parts))

    def site(self, token, **variables):
        """A site of this agent, not started; the token is in its `token_file`."""
        return self._stack.enter_context(guarded_site(self.agent, token, **variables))

    def whole(self):
        """A site with the policies of all parts: registered, healthy and published."""
        variables = {"CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0", "SERVICE_CHECK_INTERVAL": "1s"}
        site = self.site(self.token(*PARTS), **variables).gunicorn()
        self.server.wait_registered(identity.NAME, passing=True)
        workers = f"/v1/kv/{identity.KEY}.workers/?keys"
        wait_until(lambda: self.server.api("GET", workers).ok, message="a published worker")
        return site

    def services(self):
        """What DNS answers for the service, to anybody: port by port."""
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], self.agent.dns_port, 5
        try:
            return [record.port for record in resolver.resolve(f"{identity.NAME}.service.consul", "SRV")]
        except dns.exception.DNSException:
            return []


class Trials:
    """What a token lacks for each part, in the words of that part; "" where it suffices.

    `whole` is a running site that is registered and published; `edited` one whose token may change.
    """

    def __init__(self, datacenter, whole, edited):
        self._datacenter, self._whole, self._edited = datacenter, whole, edited
        self._session = edited.session("keeper")

    def complaint(self, part, token):
        tried = {
            START: self._start,
            EDIT: self._edit,
            PUBLISH: self._publish,
            REGISTER: self._register,
            FLEET: self._fleet,
            SERVICES: self._services,
        }
        return tried[part](token)

    def _command(self, token, *arguments, expect=""):
        done = self._whole.command(*arguments, CONSUL_HTTP_TOKEN=token, CONSUL_HTTP_TOKEN_FILE="")
        return "" if done.status == 0 and expect in done.stdout else done.stdout + done.stderr

    def _start(self, token):
        return self._command(token, "check")

    def _edit(self, token):
        self._edited.token_file.write_text(token)
        page = self._session.get(f"{self._edited.url}{PATH}edit/", timeout=30).text
        refusal = re.search(r'id="refusal">(.*?)</div>', page, re.DOTALL)
        return refusal[1] if refusal else ("" if "show_message" in page else page)

    def _publish(self, token):
        address = AgentAddress.from_environ({**self._datacenter.agent.https_environment, "CONSUL_HTTP_TOKEN": token})
        worker = Worker("trial", 4711, 1, "current", None, "2026-01-01T00:00:00+00:00", "", 1, False)
        publisher = Publisher(lambda: worker, lambda limits: Client(address, limits), key(identity.KEY, "trial", 4711))
        next(publisher.steps())
        trouble = publisher.trouble
        publisher.leave()
        return trouble or ""

    def _register(self, token):
        arguments = ("--id", "trial", "--port", "1")
        complaint = self._command(token, "consul_register", *arguments, expect="agent and catalog show it")
        self._datacenter.agent.api("PUT", "/v1/agent/service/deregister/trial")
        return complaint

    def _fleet(self, token):
        return self._command(token, "effective_config", "--fleet", expect=": 1 of 1 workers, passing")

    def _services(self, token):
        return self._command(token, "consul_services", expect=identity.NAME) or self._command(
            token, "consul_services", identity.NAME, expect="passing"
        )

"""How Consul, Redis, the document and the registration are: each with since when, and what to do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from .. import redis_cache
from ..config.live import Live
from ..config.masking import Masker
from ..config.source import QUICK
from ..config.status import CURRENT, FILE, REJECTED, SNAPSHOT, STALE
from ..consul_agent import kv, services
from ..consul_agent.client import Client
from ..consul_agent.errors import ConsulError
from ..consul_agent.services import AgentCheck, AgentEntry
from ..instance import transitions
from ..messages import Message, _, joined
from ..registration import membership, other_nodes
from ..registration.definition import DefinitionInvalid, instance_id
from .health import redis_error

_TITLES = {"Document": _("Configuration"), "Registration": _("Registration")}
_REMEDIES: Mapping[str, Message] = {
    REJECTED: _("Correct the document or roll it back; the value in force stays until a good one comes."),
    STALE: _("See Consul. The value in force stays until the document can be read again."),
    SNAPSHOT: _("See Consul. The site follows the document again by itself."),
}


@dataclass(frozen=True)
class Line:
    """`what` is Consul, Redis, Document or Registration, `level` one of good, note, bad; `remedy` is what to do.

    `since` is when it became so, or with `seen` when this instance, whichever worker, first saw it so. `brief` is a
    long text in a few words.
    """

    what: str
    level: str
    text: Message
    remedy: Message | None = None
    since: datetime | None = None
    seen: bool = False
    brief: Message | None = None

    @property
    def title(self) -> str:
        return _TITLES.get(self.what, self.what)

    @property
    def good(self) -> bool:
        return self.level != "bad"


_MOST_OUTPUTS = 3  # of failing checks, in a line
_REGISTRATION_UNKNOWN = Line("Registration", "note", _("not known while Consul is out of reach"))


def lines(live: Live) -> tuple[list[Line], int | None]:
    """Ask Consul, its agent and Redis now, each for a second at most; also the index that Consul's key has, if any."""
    with live.start.open_client(QUICK) as client:
        consul, index = _consul(live, client)
        registration = _registration(live, client) if consul.level == "good" else _REGISTRATION_UNKNOWN
    return [*map(_remembered, (consul, _redis(live))), _document(live), _remembered(registration)], index


def _remembered(line: Line) -> Line:
    """The line with the moment since when it was seen to be as it is."""
    return replace(line, since=transitions.seen(line.what, line.level), seen=True)


def _consul(live: Live, client: Client) -> tuple[Line, int | None]:
    try:
        _index, entry = kv.query(client, live.start.key)
    except ConsulError as error:
        remedy = _("The configuration in force stays as it is. Start Consul or check CONSUL_HTTP_ADDR.")
        return Line("Consul", "bad", error.message, remedy), None
    line = Line("Consul", "good", _("reachable at %(url)s", url=client.address.url))
    return line, entry.modify_index if entry else None


def _redis(live: Live) -> Line:
    from ..redis_cache.diagnosis import diagnose  # redis-py takes 0.15 s to import
    from ..redis_cache.probe import what_is_wrong

    in_force = live.in_force
    error, place = redis_error(in_force), redis_cache.place(in_force.document, in_force.client.server)
    masks, unfollowed = Masker(live.start.environment, in_force.document), live.unfollowed
    if error is None and unfollowed is None:
        return Line("Redis", "good", _("counts at %(place)s", place=place))
    if error is None:
        known = {"place": place, "reason": masks.clean(unfollowed)}
        return Line(
            "Redis",
            "note",
            _("counts at %(place)s; the one that the document means cannot be used: %(reason)s", **known),
        )
    remedy = _("Pages answer 503 until it is mended, or the configuration names another one.")
    diagnosis, text = diagnose(error), masks.clean(what_is_wrong(error, place))
    return Line("Redis", "bad", text, joined([diagnosis.remedy, remedy], " ") if diagnosis.remedy else remedy)


def _document(live: Live) -> Line:
    revision, status = live.in_force.revision, live.status
    if status.state in (CURRENT, FILE):
        text = joined([status.state, revision.origin])
        return Line("Document", "good", text, since=max(status.since, revision.loaded_at))
    known = {"state": status.state, "reason": status.reason or "", "origin": revision.origin}
    remedy = _REMEDIES.get(status.state)
    if status.rejected and status.state == REJECTED:
        text = _("%(reason)s; in force: %(origin)s", **known)
        brief = _("Version %(index)s is rejected", index=status.rejected.index)
        return Line("Document", "bad", text, remedy, status.since, brief=brief)
    return Line("Document", "bad", _("%(state)s: %(reason)s; in force: %(origin)s", **known), remedy, status.since)


def _registration(live: Live, client: Client) -> Line:
    """What the agent says of this instance, and on which other nodes the catalog has it."""
    try:
        service_id = instance_id(live.start.environment)
    except DefinitionInvalid as error:
        return Line("Registration", "bad", error.message, _("Correct the SERVICE_ variables."))
    member = membership.current
    if member and (trouble := member.trouble):
        text = _("%(id)s cannot be kept registered: %(reason)s", id=service_id, reason=trouble)
        return Line("Registration", "bad", text)
    try:
        entry = services.agent_entry(client, service_id)
        name = entry.service.name if entry else live.start.environment["SERVICE_NAME"]
        others = other_nodes.find(client, name, service_id, entry)
    except ConsulError as error:
        return Line("Registration", "note", error.message)
    line = _at_the_agent(live, service_id, entry) if entry or not others else _at_another_agent(service_id)
    if not others:
        return line
    text = joined([line.text, *map(other_nodes.described, others)], "; ")
    remedies = [line.remedy] if line.remedy else []
    remedy = joined([*remedies, other_nodes.remedy(others[0])], " ")
    return replace(line, level="bad" if line.level == "bad" else "note", text=text, remedy=remedy)


def _at_another_agent(service_id: str) -> Line:
    remedy = _("CONSUL_HTTP_ADDR leads to another agent than the one that it was registered with.")
    return Line("Registration", "note", _("%(id)s is not registered with this agent", id=service_id), remedy)


def _at_the_agent(live: Live, service_id: str, entry: AgentEntry | None) -> Line:
    if entry is None and membership.current:
        return Line("Registration", "note", _("%(id)s is about to be registered", id=service_id))
    if entry is None:
        text = _("%(id)s is not registered with this agent: nobody finds it by name", id=service_id)
        remedy = _("Run `manage.py consul_register`, or start with CONSUL_REGISTER=1.")
        return Line("Registration", "note", text, remedy)
    failing = [check for check in entry.checks or [] if check.status != services.PASSING]
    place = {"id": service_id, "address": f"{entry.service.address}:{entry.service.port}"}
    if not failing:
        return Line("Registration", "good", _("%(id)s at %(address)s, all checks passing", **place))
    checks = joined((_("%(name)s: %(status)s", name=c.name, status=Message(c.status)) for c in failing), ", ")
    text = _("%(id)s at %(address)s gets no traffic: %(checks)s", **place, checks=checks)
    return Line("Registration", "bad", text, _what_they_say(live, failing))


def _what_they_say(live: Live, failing: Iterable[AgentCheck]) -> Message:
    outputs = dict.fromkeys(check.output for check in failing if check.output)
    if not outputs:
        return _("See what the check asks.")
    masks = Masker(live.start.environment, live.in_force.document)
    said = joined((masks.clean(output) for output in outputs), most=_MOST_OUTPUTS)
    return _("What the check says: %(output)s", output=said)

"""How Consul, Redis, the document and the registration are: each with since when, and what to do."""

from dataclasses import dataclass, replace
from datetime import datetime

from django.utils.translation import gettext as _

from ..config.live import Live
from ..consul_agent import kv, services
from ..consul_agent.client import Client, Timeouts
from ..consul_agent.errors import ConsulError
from ..fleet import this_worker
from ..instance import transitions
from ..registration.definition import DefinitionInvalid
from ..wording import localized
from .effective import Masker
from .health import redis_state

QUICK = Timeouts(connect=0.5, read=1.0)  # a page must come up while Consul hangs


@dataclass(frozen=True)
class Line:
    """`what` is Consul, Redis, Document or Registration, `level` one of good, note, bad; `remedy` is what to do.

    `since` is when it became so, or with `seen` when this instance, whichever worker, first saw it so.
    """

    what: str
    level: str
    text: str
    remedy: str = ""
    since: datetime | None = None
    seen: bool = False

    @property
    def title(self) -> str:
        """`what`, for people."""
        return {"Document": _("Configuration"), "Registration": _("Registration")}.get(self.what, self.what)

    @property
    def good(self) -> bool:
        """Whether nobody needs to do anything."""
        return self.level != "bad"


def lines(live: Live) -> tuple[list[Line], int | None]:
    """Ask Consul, its agent and Redis now, each for a second at most; also the index that Consul's key has, if any."""
    client = Client(live.start.address, QUICK)
    try:
        consul, index = _consul(live, client)
        registration = _registration(live, client) if consul.level == "good" else _registration_unknown()
    finally:
        client.close()
    return [*map(_remembered, (consul, _redis(live))), _document(live), _remembered(registration)], index


def _remembered(line: Line) -> Line:
    """The line with the moment since when it was seen to be as it is."""
    return replace(line, since=transitions.seen(line.what, line.level), seen=True)


def _consul(live: Live, client: Client) -> tuple[Line, int | None]:
    try:
        _index, entry = kv.query(client, live.start.environment["DEMO_CONFIG_KEY"])
    except ConsulError as error:
        remedy = _("The configuration in force stays as it is. Start Consul or look at CONSUL_HTTP_ADDR.")
        return Line("Consul", "bad", localized(str(error)), remedy), None
    line = Line("Consul", "good", _("reachable at %(url)s") % {"url": client.address.url})
    return line, entry.modify_index if entry else None


def _redis(live: Live) -> Line:
    state = redis_state(live.in_force)
    config = live.in_force.document.redis_config
    place = f"{config.redis_host}:{config.redis_port}"
    where = {"place": place, "database": config.redis_db}
    if state["ok"]:
        return Line("Redis", "good", _("reachable at %(place)s, database %(database)s") % where)
    text = _("out of reach at %(place)s, database %(database)s: %(why)s")
    remedy = _("Pages answer 503. Start Redis, or name another one in the configuration.")
    return Line("Redis", "bad", text % {**where, "why": _masked(live, state)}, remedy)


def _masked(live: Live, state: dict[str, str]) -> str:
    password = live.in_force.document.redis_config.redis_password
    return str(Masker([password.get_secret_value()] if password else []).clean(state["error"]))


def _document(live: Live) -> Line:
    loaded, state = live.in_force.loaded, live.status
    origin = localized(loaded.origin)
    if state.state in ("current", "file"):
        return Line("Document", "good", f"{localized(state.state)}; {origin}", since=max(state.since, loaded.loaded_at))
    known = {"state": localized(state.state), "why": localized(state.reason or ""), "origin": origin}
    text = _("%(state)s: %(why)s; in force: %(origin)s") % known
    remedies = {
        "rejected": _("Correct the document or roll it back; the value in force stays until a good one comes."),
        "stale": _("See Consul. The value in force stays until the document can be read again."),
        "snapshot": _("See Consul. The site follows the document again by itself."),
    }
    return Line("Document", "bad", text, remedies.get(state.state, ""), state.since)


def _registration(live: Live, client: Client) -> Line:
    """What the agent says of this instance."""
    try:
        service_id = this_worker.service_id(live.start.environment)
        entry = services.agent_entry(client, service_id)
    except DefinitionInvalid as error:
        return Line("Registration", "bad", localized(str(error)), _("Correct the SERVICE_ variables."))
    except ConsulError as error:
        return Line("Registration", "note", localized(str(error)))
    if entry is None:
        text = _("%(id)s is not registered with this agent: nobody finds it by name") % {"id": service_id}
        return Line(
            "Registration", "note", text, _("Run `manage.py consul_register`, or start with CONSUL_REGISTER=1.")
        )
    failing = [check for check in entry.checks.values() if check.get("Status") != "passing"]
    place = {"id": service_id, "address": f"{entry.service.get('Address')}:{entry.service.get('Port')}"}
    if not failing:
        return Line("Registration", "good", _("%(id)s at %(address)s, all checks passing") % place)
    names = ", ".join(f"{check.get('Name')}: {localized(str(check.get('Status')))}" for check in failing)
    text = _("%(id)s at %(address)s gets no traffic: %(checks)s") % {**place, "checks": names}
    return Line("Registration", "bad", text, _("See what the check asks; Consul's own page shows its output."))


def _registration_unknown() -> Line:
    return Line("Registration", "note", _("not known while Consul is out of reach"))

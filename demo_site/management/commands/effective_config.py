import json
from argparse import ArgumentParser
from collections import Counter
from contextlib import closing
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from ...config.status import initial
from ...consul_agent import kv
from ...consul_agent.client import Timeouts
from ...consul_agent.errors import ConsulError
from ...fleet.instances import Instance, overview
from ...fleet.worker import prefix
from ...messages import Message, _, joined
from ...monitoring import effective
from ..errors import command_error
from ..table import table


class Command(BaseCommand):
    help = "Show the effective configuration and where each value came from. Works when the site cannot start."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("table", "json"), default="table")
        parser.add_argument("--fleet", action="store_true", help="show what every worker runs instead")

    def handle(self, **options: Any) -> None:
        as_json = options["format"] == "json"
        if options["fleet"]:
            instances = _instances()
            rows = [worker.as_dict() for instance in instances for worker in instance.workers]
            self.stdout.write(_json(rows) if as_json else _fleet_table(rows, instances))
        else:
            rows = [row.as_dict() for row in effective.rows(settings.CONFIGURATION, _state())]
            self.stdout.write(_json(rows) if as_json else table(rows, ["setting", "value", "origin", "feeds"]))


def _json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows, ensure_ascii=False, indent=2)


def _state() -> Message | None:
    """The state of the document in this process, which does not follow it; None if it could not be loaded."""
    live = settings.CONFIGURATION
    if live.start.error:
        return None
    revision = live.in_force.revision
    if revision.kind != "consul":
        return initial(revision).message
    known = _("valid, as Consul has it now; its Redis was not asked")
    workers = _workers(revision.index)
    return joined([known, _("workers: %(workers)s", workers=workers)]) if workers else known


def _workers(stored_index: int | None) -> str:
    """A summary of what the workers run; empty if Consul does not answer, because the rows matter more."""
    start = settings.CONFIGURATION.start
    try:
        with closing(start.open_client(Timeouts(connect=0.5, read=1.0))) as client:
            instances = overview(client, start.key, start.environment["SERVICE_NAME"], stored_index)
    except ConsulError:
        return ""
    counts = Counter((worker.state, worker.index) for instance in instances for worker in instance.workers)
    return ", ".join(f"{count} {state} with ModifyIndex {index}" for (state, index), count in counts.items())


def _instances() -> list[Instance]:
    start = settings.CONFIGURATION.start
    try:
        with closing(start.open_client()) as client:
            _index, stored = kv.query(client, start.key)
            index = stored.modify_index if stored else None
            return overview(client, start.key, start.environment["SERVICE_NAME"], index)
    except ConsulError as error:
        raise command_error(error) from error


def _fleet_table(rows: list[dict[str, Any]], instances: list[Instance]) -> str:
    """The workers, then a line for each instance, because a missing worker has no row."""
    columns = ["instance", "pid", "index", "state", "reason", "started_at", "seen_at"]
    # With a space between date and time, a narrow column can break them.
    shown = [row | {name: row[name].replace("T", " ")[:19] for name in ("started_at", "seen_at")} for row in rows]
    parts = [table(shown, columns)] if shown else []
    return "\n".join([*parts, *map(_sentence, instances)]) or _none()


def _none() -> str:
    where = prefix(settings.CONFIGURATION.start.key)
    return (
        "No worker has published itself, or this token may not read it (`key:read`).\n"
        f"A worker needs `session:write` and `key:write` on `{where}`; if it lacks one, its log says so."
    )


def _sentence(instance: Instance) -> str:
    """Such as "NAME-web1-8000: 1 of 2 workers (1 MISSING: ...), passing"."""
    missing = f" ({instance.missing} MISSING: dead, hanging, or cut off from Consul)" if instance.missing else ""
    absent = "NOT REGISTERED, but it should be" if instance.lost else "not registered"
    return f"{instance.name}: {instance.count} workers{missing}, {instance.health or absent}"

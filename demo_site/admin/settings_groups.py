"""The overview's settings in groups, with what the rows of a group have in common said once, and who answered."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..config.live import Live
from ..messages import Message
from ..monitoring.effective import DEFAULT, ENVIRONMENT, Row, by_source
from ..registration.definition import known_instance_id


@dataclass(frozen=True)
class Group:
    """Settings under one heading. A row says where it came from and when only where that differs from its group."""

    name: str
    rows: list[Row]
    origin: str
    loaded_at: str | None


@dataclass(frozen=True)
class Answerer:
    """The process whose settings these are. No instance where its service definition is invalid: a row says why."""

    instance: str | None
    pid: int
    started_at: datetime


def shown(live: Live) -> dict[str, Any]:
    """What the template of the settings needs."""
    answerer = Answerer(known_instance_id(live.start.environment), os.getpid(), live.process_started_at)
    return {"groups": _groups(live), "answerer": answerer}


def _groups(live: Live) -> list[Group]:
    """The document with the defaults in force, the variables that are set, and whatever nobody has set."""
    document, variables = by_source(live, Message.of(live.status.state))  # why, the status says
    valued, unvalued = _split(document, lambda row: row.value is not None or row.origin != DEFAULT)
    # Words in place of a value, such as what is wrong with it, are not folded away.
    given, missing = _split(variables, lambda row: row.origin != DEFAULT or isinstance(row.value, Message))
    groups = [
        Group("document", valued, document[0].origin, document[0].loaded_at),
        Group("environment", given, ENVIRONMENT, variables[0].loaded_at),
        Group("unset", unvalued + missing, DEFAULT, variables[0].loaded_at),
    ]
    return [group for group in groups if group.rows]


def _split(rows: list[Row], belongs: Callable[[Row], bool]) -> tuple[list[Row], list[Row]]:
    return [row for row in rows if belongs(row)], [row for row in rows if not belongs(row)]

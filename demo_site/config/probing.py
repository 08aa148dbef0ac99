"""What must hold before a valid document may rule, beyond its own text: each group's probe, as its model names it."""

from importlib import import_module
from typing import Any

from pydantic import SecretStr

from ..document.fields import Group, groups, values
from ..document.model import Document
from ..document.parsing import Fault
from ..messages import MASK, Message, unforeseen
from .masking import replaced


def faults(document: Document, in_force: Document | None = None) -> list[Fault]:
    """Why the document may not rule; empty when it may. What is in force already is not probed again."""
    known = dict(groups(in_force)) if in_force else {}
    return [
        fault
        for prefix, group in groups(document)
        if type(group).__probe__ and group != known.get(prefix)
        for fault in _faults(prefix, group, document)
    ]


def _faults(prefix: str, group: Group, document: Document) -> list[Fault]:
    module, _dot, function = type(group).__probe__.rpartition(".")
    try:
        found = getattr(import_module(module), function)(group)  # now: redis-py takes 0.15 s to import
        return [Fault((prefix + path).rstrip("."), _without_secrets(problem, document)) for path, problem in found]
    except Exception as error:
        return [Fault(prefix.rstrip("."), unforeseen(error))]


def _without_secrets(problem: Message, document: Document) -> Message:
    """What a library says may repeat what the probe gave it, and a member may have another one's secret."""
    secrets = [value.get_secret_value() for value in values(document).values() if isinstance(value, SecretStr)]

    def hide(value: Any) -> Any:
        for secret in secrets if isinstance(value, str) else ():
            value = replaced(value, secret, lambda _secret: MASK)
        return value

    return problem.replaced(hide)

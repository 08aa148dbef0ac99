"""What must hold before a valid document may rule, beyond its own text: each group's probe, as its model names it."""

from importlib import import_module

from ..document.fields import Group, groups
from ..document.model import Document
from ..document.parsing import Fault
from ..messages import Message, unforeseen


def faults(document: Document, in_force: Document | None = None) -> list[Fault]:
    """Why the document may not rule; empty when it may. What is in force already is not probed again."""
    known = dict(groups(in_force)) if in_force else {}
    return [
        fault
        for prefix, group in groups(document)
        if type(group).__probe__ and group != known.get(prefix)
        for fault in _faults(prefix, group)
    ]


def _faults(prefix: str, group: Group) -> list[Fault]:
    module, _dot, function = type(group).__probe__.rpartition(".")
    try:  # imported now: redis-py takes 0.15 s
        found: list[tuple[str, Message]] = getattr(import_module(module), function)(group)
    except Exception as error:
        found = [("", unforeseen(error))]
    return [Fault((prefix + path).rstrip("."), problem) for path, problem in found]

"""What people are told: an English sentence that remembers what it was made of. Knows no Django.

    raise Unreachable(_("Consul at %(place)s refused the connection.", place=url))

Logs, JSON and comparisons see plain English; a page shows the sentence in its visitor's language. `makemessages` finds
the templates, because they are the first argument of `_`.
"""

import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

LONGEST_TEXT = 500  # characters of one parameter: another program may say anything
MASK = "••••••••"  # in place of a secret
_PACKAGE = Path(__file__).parent
# Texts of our own by the names of their parameters: places in the document, moments, bounds, types of exceptions.
_OWN = frozenset(("path", "time", "state", "type", "expected", "pattern", "other", "others"))
_NAME = re.compile(r"%\(([a-z_0-9]+)\)s")


class Message(str):
    """A template with named parameters: numbers, texts, or other messages.

    A text loses its control characters and is cut to `LONGEST_TEXT` characters. It is never translated.
    """

    template: str
    parameters: Mapping[str, Any]

    def __new__(cls, template: str, /, **parameters: Any) -> "Message":
        shown = {name: _plain(value) for name, value in parameters.items()}
        message = super().__new__(cls, template % shown if shown else template)
        message.template, message.parameters = template, shown
        return message

    @classmethod
    def of(cls, text: Any) -> "Message":
        """`text`, if it is a message, else one that consists of it: the words of another program."""
        return text if isinstance(text, Message) else cls("%(text)s", text=text)

    def translated(self, gettext: Callable[[str], str]) -> str:
        """The sentence in another language; `gettext` translates a template."""
        template = gettext(self.template) if self.template else ""
        parameters = {name: translated(value, gettext) for name, value in self.parameters.items()}
        return template % parameters if parameters else template

    def replaced(self, replace: Callable[[Any], Any]) -> "Message":
        """The same sentence with each parameter replaced, those of the messages inside it included."""
        parameters = {
            name: value.replaced(replace) if isinstance(value, Message) else replace(value)
            for name, value in self.parameters.items()
        }
        return Message(self.template, **parameters)

    def outline(self) -> "Message":
        """The same sentence for strangers: an ellipsis for each text in it that is not the site's own."""
        return Message(self.template, **{name: _outlined(name, value) for name, value in self.parameters.items()})

    def as_json(self) -> dict[str, Any]:
        parameters = {n: v.as_json() if isinstance(v, Message) else v for n, v in self.parameters.items()}
        return {"template": str(self.template), "parameters": parameters}

    @classmethod
    def from_json(cls, value: Any, depth: int = 5) -> "Message":
        """The message that another process has written as JSON. Raises `ValueError` for anything else.

        Each parameter may stand in the template once, so the sentence is no longer than what was read.
        """
        found = _Json.model_validate(value)
        if not depth or sorted(_NAME.findall(found.template)) != sorted(found.parameters):
            raise ValueError("too deep, or the parameters are not those of the template")
        parameters = found.parameters.items()
        inner = {name: cls.from_json(v, depth - 1) if isinstance(v, _Json) else v for name, v in parameters}
        return cls(found.template, **inner)


class _Json(BaseModel):
    template: Annotated[str, Field(max_length=1000, pattern=r"^(?:[^%]|%%|%\([a-z_0-9]+\)s)*$")]
    parameters: "dict[str, str | int | float | _Json | None]"


_ = Message


class MessageError(Exception):
    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.message = message


def translated(value: Any, gettext: Callable[[str], str]) -> Any:
    """A message in another language; anything else as it is."""
    return value.translated(gettext) if isinstance(value, Message) else value


def joined(parts: Iterable[str], separator: str = "; ", most: int | None = None) -> Message:
    """Several messages as one, `most` of them at most; what is no message is a text like any other parameter."""
    every = list(parts)
    shown = every[:most] + ([_("and %(count)s more", count=len(every) - most)] if most and len(every) > most else [])
    named = {f"part_{number}": part for number, part in enumerate(shown)}
    return Message(separator.join(f"%({name})s" for name in named), **named)


def unforeseen(error: Exception) -> Message:
    """An exception that no code expected: its type and place. Not its text, which may contain a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents] or frames
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    return _("an unexpected %(type)s at %(place)s", type=type(error).__name__, place=place)


def trace(error: Exception) -> str:
    """Where an exception was raised, for a log. Without its text as well."""
    return "".join(traceback.format_tb(error.__traceback__))


def escaped(text: str) -> str:
    """Control characters, terminal escapes and writing directions as Python writes them; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def _outlined(name: str, value: Any) -> Any:
    if isinstance(value, Message):
        return value.outline()
    is_own = not isinstance(value, str) or (name in _OWN and "/" not in value)  # a path of a file is not
    return value if is_own else "…"


def _plain(value: Any) -> Any:
    if isinstance(value, (Message, int, float)) or value is None:
        return value
    text = str(value)[: LONGEST_TEXT + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "..."


# What other programs wrote, as it is parsed: on one line, without control characters. The first is refused when it is
# longer than `LONGEST_TEXT`, the second is cut.
Line = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_plain)]
CutLine = Annotated[str, AfterValidator(_plain)]

"""Template filters of the configuration's pages."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django import template
from django.template.defaultfilters import truncatechars
from django.utils.html import format_html, format_html_join
from django.utils.text import capfirst
from django.utils.translation import gettext

from ..messages import Message, translated

register = template.Library()
_LINE_CHARACTERS = 50
_CODE = re.compile(r"`([^`]+)`")
_PARAMETER = re.compile(r"%\((\w+)\)s")
# By level, a shape and a colour: whoever does not see the one sees the other.
_ICONS = {
    "good": '<circle cx="8" cy="8" r="7" fill="#2b7a4b"/>',
    "note": '<path d="M8 1l8 14H0z" fill="#c98a00"/>',
    "bad": '<path d="M1 1h14v14H1z" fill="#ba2121"/>',
}


@register.filter
def words(value: Any) -> Any:
    """A message in the visitor's language, with what stands in backticks as code; whatever else as it is."""
    if not isinstance(value, str):
        return value
    return _with_code(translated(value, gettext))


def _with_code(text: str) -> Any:
    parts = enumerate(_CODE.split(text))  # every other one stood in backticks
    return format_html_join("", "{}", ((format_html("<code>{}</code>", part) if n % 2 else part,) for n, part in parts))


@register.filter
def plain(value: Any) -> str:
    """A setting's value as text: true or false as JSON has them, a list as lines; a message as `words` has it."""
    if value in ("", []):
        return gettext("(empty)")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return str(translated(value, gettext))


@register.filter
def one_line(text: str) -> str:
    """As much of a text as has room on a line beside others."""
    return truncatechars(" ".join(text.split()), _LINE_CHARACTERS)


@register.filter
def sentence(value: Any) -> Any:
    """As `words`, with a capital letter where it begins with a word of ours: a name of something stays as it is."""
    return _with_code(capfirst(translated(value, gettext))) if _is_own(value) else words(value)


@register.filter
def plain_sentence(value: Any) -> str:
    """As `plain`, in the same way."""
    return str(capfirst(plain(value))) if _is_own(value) else plain(value)


def _is_own(value: Any) -> bool:
    while isinstance(value, Message):
        first = _PARAMETER.match(gettext(value.template) if value.template else "")
        if first is None:
            return True
        value = value.parameters[first[1]]
    return False


@register.filter
def icon(level: str) -> str:
    """The page's icon, as the address of an image."""
    image = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{_ICONS[level]}</svg>'
    return f"data:image/svg+xml,{quote(image)}"


@register.filter
def moment(value: datetime | str) -> str:
    """A moment in UTC, to the second; text is ISO 8601. What cannot be read stays as it is."""
    try:
        at = (value if isinstance(value, datetime) else datetime.fromisoformat(value)).astimezone(UTC)
    except (ValueError, OverflowError):  # the second of the year 1, elsewhere on earth
        return str(value)
    return format_html('<time datetime="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S} UTC")

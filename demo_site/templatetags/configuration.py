"""Template filters of the configuration's pages."""

from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.translation import gettext

from ..messages import translated

register = template.Library()


@register.filter
def words(value: Any) -> Any:
    """A message in the visitor's language; whatever else as it is."""
    return translated(value, gettext)


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
def moment(value: datetime | str) -> str:
    """A moment in UTC, to the second; text is ISO 8601. What cannot be read stays as it is."""
    try:
        at = (value if isinstance(value, datetime) else datetime.fromisoformat(value)).astimezone(UTC)
    except (ValueError, OverflowError):  # the second of the year 1, elsewhere on earth
        return str(value)
    return format_html('<time datetime="{}">{}</time>', f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S} UTC")

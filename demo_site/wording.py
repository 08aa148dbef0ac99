"""Sentences of the parts that know no Django, in the visitor's language."""

import re
from typing import NamedTuple

from django.utils.translation import gettext, gettext_noop


class _Sentence(NamedTuple):
    """`pattern` finds the sentence; its named groups fill `text`, which is translated."""

    pattern: str
    text: str


_PROBE = r"the Redis at (?P<place>\S+) "
_AGENT = r"Consul at (?P<place>\S+) "
_SENTENCES = (
    _Sentence(r"must not be empty", gettext_noop("must not be empty")),
    _Sentence(r"is missing", gettext_noop("is missing")),
    _Sentence(
        r"must be a host name or an IP address, without a port",
        gettext_noop("must be a host name or an IP address, without a port"),
    ),
    _Sentence(
        r"must be a host name or an IP address \(letters, digits, dots, hyphens\)",
        gettext_noop("must be a host name or an IP address (letters, digits, dots, hyphens)"),
    ),
    _Sentence(
        r"holds half of a surrogate pair, which is no text",
        gettext_noop("holds half of a surrogate pair, which is no text"),
    ),
    _Sentence(r"should be a valid integer", gettext_noop("should be a whole number")),
    _Sentence(r"should be a valid string", gettext_noop("should be text")),
    _Sentence(r"should be a JSON object", gettext_noop("should be a JSON object")),
    _Sentence(r"should be less than or equal to (?P<most>\d+)", gettext_noop("should be at most %(most)s")),
    _Sentence(r"should be greater than or equal to (?P<least>\d+)", gettext_noop("should be at least %(least)s")),
    _Sentence(r"is empty", gettext_noop("is empty")),
    _Sentence(r"is not JSON: (?P<why>.*)", gettext_noop("is not JSON: %(why)s")),
    _Sentence(r"must be a JSON object", gettext_noop("must be a JSON object")),
    _Sentence(_PROBE + r"refuses it \((?P<why>.*)\)", gettext_noop("the Redis at %(place)s refuses it (%(why)s)")),
    _Sentence(_PROBE + r"answers (?P<why>.*)", gettext_noop("the Redis at %(place)s answers: %(why)s")),
    _Sentence(
        _PROBE + r"does not answer \((?P<why>.*)\)", gettext_noop("the Redis at %(place)s does not answer (%(why)s)")
    ),
    _Sentence(_AGENT + r"refused the connection\.", gettext_noop("Consul at %(place)s refused the connection.")),
    _Sentence(
        _AGENT + r"accepted the connection and gave no answer within (?P<time>\S+) s\.",
        gettext_noop("Consul at %(place)s accepted the connection and gave no answer within %(time)s s."),
    ),
    _Sentence(
        _AGENT + r"did not accept a connection within (?P<time>\S+) s\.",
        gettext_noop("Consul at %(place)s did not accept a connection within %(time)s s."),
    ),
    _Sentence(
        _AGENT + r"closed the connection without an answer\.",
        gettext_noop("Consul at %(place)s closed the connection without an answer."),
    ),
    _Sentence(_AGENT + r"answered (?P<why>.*)", gettext_noop("Consul at %(place)s answered: %(why)s")),
    _Sentence(
        _AGENT + r"denied permission: (?P<why>.*)", gettext_noop("Consul at %(place)s denied permission: %(why)s")
    ),
    _Sentence(
        r"Consul key (?P<key>.+), ModifyIndex (?P<index>\d+)", gettext_noop("Consul key %(key)s, ModifyIndex %(index)s")
    ),
    _Sentence(
        r"snapshot of Consul key (?P<key>.+), ModifyIndex (?P<index>\d+)",
        gettext_noop("snapshot of Consul key %(key)s, ModifyIndex %(index)s"),
    ),
    _Sentence(r"file (?P<path>.+)", gettext_noop("file %(path)s")),
    _Sentence(r"default", gettext_noop("default")),
    _Sentence(r"environment", gettext_noop("environment")),
    _Sentence(r"gunicorn bind (?P<place>.+)", gettext_noop("gunicorn bind %(place)s")),
    _Sentence(r"rejected: (?P<why>.*)", gettext_noop("rejected: %(why)s")),
    _Sentence(r"stale: (?P<why>.*)", gettext_noop("stale: %(why)s")),
    _Sentence(r"snapshot: (?P<why>.*)", gettext_noop("snapshot: %(why)s")),
    _Sentence(r"not loaded", gettext_noop("not loaded")),
    _Sentence(r"passing", gettext_noop("passing")),
    _Sentence(r"warning", gettext_noop("warning")),
    _Sentence(r"critical", gettext_noop("critical")),
    _Sentence(r"current", gettext_noop("current")),
    _Sentence(r"rejected", gettext_noop("rejected")),
    _Sentence(r"stale", gettext_noop("stale")),
    _Sentence(r"snapshot", gettext_noop("snapshot")),
    _Sentence(r"missing", gettext_noop("missing")),
    _Sentence(r"Consul client", gettext_noop("Consul client")),
    _Sentence(r"configuration document", gettext_noop("configuration document")),
    _Sentence(r"service registration", gettext_noop("service registration")),
    _Sentence(r"SHOW_MESSAGE, the page", gettext_noop("SHOW_MESSAGE, the page")),
    _Sentence(
        r"nothing: not a member this version knows",
        gettext_noop("nothing: not a member this version knows"),
    ),
    _Sentence(
        r"the document at index (?P<index>\d+) was rejected: (?P<why>.*)",
        gettext_noop("the document at index %(index)s was rejected: %(why)s"),
    ),
    _Sentence(r"the key `(?P<key>.+)` was deleted", gettext_noop("the key `%(key)s` was deleted")),
    _Sentence(
        r"running on a snapshot of (?P<time>.+)",
        gettext_noop("running on a snapshot of %(time)s"),
    ),
)


def localized(text: str) -> str:
    """The sentence in the language of the request; one that is not known stays as it is."""
    for sentence in _SENTENCES:
        if found := re.fullmatch(sentence.pattern, text, re.DOTALL):
            groups = found.groupdict()
            if "why" in groups:
                groups["why"] = _inner(groups["why"])
            return gettext(sentence.text) % groups if groups else gettext(sentence.text)
    return text


def _inner(text: str) -> str:
    """What stands inside of a sentence: one of its own, or faults with their paths."""
    whole = localized(text)
    return whole if whole != text else "; ".join(map(_part, text.split("; ")))


def _part(text: str) -> str:
    fault = re.fullmatch(r"([\w.\[\]()]+: )(.*)", text, re.DOTALL)
    return fault[1] + localized(fault[2]) if fault else localized(text)

"""Sentences of the parts that know no Django, in the visitor's language."""

import re
from typing import NamedTuple

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as noop


class _Sentence(NamedTuple):
    """`pattern` finds the sentence; its named groups fill `text`, which is translated."""

    pattern: str
    text: str


_PROBE = r"the Redis at (?P<place>\S+) "
_AGENT = r"Consul at (?P<place>\S+) "
_SENTENCES = (
    _Sentence(r"must not be empty", noop("must not be empty")),
    _Sentence(r"is missing", noop("is missing")),
    _Sentence(
        r"must be a host name or an IP address, without a port",
        noop("must be a host name or an IP address, without a port"),
    ),
    _Sentence(
        r"must be a host name or an IP address \(letters, digits, dots, hyphens\)",
        noop("must be a host name or an IP address (letters, digits, dots, hyphens)"),
    ),
    _Sentence(
        r"holds half of a surrogate pair, which is no text",
        noop("holds half of a surrogate pair, which is no text"),
    ),
    _Sentence(_PROBE + r"refuses it \((?P<why>.*)\)", noop("the Redis at %(place)s refuses it (%(why)s)")),
    _Sentence(_PROBE + r"answers (?P<why>.*)", noop("the Redis at %(place)s answers: %(why)s")),
    _Sentence(_PROBE + r"does not answer \((?P<why>.*)\)", noop("the Redis at %(place)s does not answer (%(why)s)")),
    _Sentence(_AGENT + r"refused the connection\.", noop("Consul at %(place)s refused the connection.")),
    _Sentence(
        _AGENT + r"accepted the connection and gave no answer within (?P<time>\S+) s\.",
        noop("Consul at %(place)s accepted the connection and gave no answer within %(time)s s."),
    ),
    _Sentence(
        _AGENT + r"did not accept a connection within (?P<time>\S+) s\.",
        noop("Consul at %(place)s did not accept a connection within %(time)s s."),
    ),
    _Sentence(
        _AGENT + r"closed the connection without an answer\.",
        noop("Consul at %(place)s closed the connection without an answer."),
    ),
    _Sentence(_AGENT + r"answered (?P<why>.*)", noop("Consul at %(place)s answered: %(why)s")),
    _Sentence(_AGENT + r"denied permission: (?P<why>.*)", noop("Consul at %(place)s denied permission: %(why)s")),
    _Sentence(r"Consul key (?P<key>.+), ModifyIndex (?P<index>\d+)", noop("Consul key %(key)s, ModifyIndex %(index)s")),
    _Sentence(
        r"snapshot of Consul key (?P<key>.+), ModifyIndex (?P<index>\d+)",
        noop("snapshot of Consul key %(key)s, ModifyIndex %(index)s"),
    ),
    _Sentence(r"file (?P<path>.+)", noop("file %(path)s")),
    _Sentence(r"default", noop("default")),
    _Sentence(r"environment", noop("environment")),
    _Sentence(r"not loaded", noop("not loaded")),
    _Sentence(r"current", noop("current")),
    _Sentence(r"rejected", noop("rejected")),
    _Sentence(r"stale", noop("stale")),
    _Sentence(r"snapshot", noop("snapshot")),
    _Sentence(r"missing", noop("missing")),
    _Sentence(r"Consul client", noop("Consul client")),
    _Sentence(r"configuration document", noop("configuration document")),
    _Sentence(r"service registration", noop("service registration")),
    _Sentence(r"SHOW_MESSAGE, the page", noop("SHOW_MESSAGE, the page")),
    _Sentence(
        r"nothing: not a member this version knows",
        noop("nothing: not a member this version knows"),
    ),
    _Sentence(
        r"the document at index (?P<index>\d+) was rejected: (?P<why>.*)",
        noop("the document at index %(index)s was rejected: %(why)s"),
    ),
    _Sentence(r"the key `(?P<key>.+)` was deleted", noop("the key `%(key)s` was deleted")),
    _Sentence(
        r"running on a snapshot of (?P<time>.+)",
        noop("running on a snapshot of %(time)s"),
    ),
)


def localized(text: str) -> str:
    """The sentence in the language of the request; one that is not known stays as it is."""
    for sentence in _SENTENCES:
        if found := re.fullmatch(sentence.pattern, text, re.DOTALL):
            groups = found.groupdict()
            # What stands inside may be a sentence of its own.
            if "why" in groups:
                groups["why"] = localized(groups["why"])
            return gettext(sentence.text) % groups if groups else gettext(sentence.text)
    return text

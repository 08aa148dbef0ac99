"""Sentences of the parts that know no Django, in the visitor's language."""

import re
from functools import cache, lru_cache
from itertools import islice

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_noop as _  # marks what is translated; a visitor's language comes later

# As the code says them. A name stands for what a sentence was made with; at `why` stands another one of these.
_SENTENCES = (
    # What is wrong with a document.
    _("must not be empty"),
    _("is missing"),
    _("is there more than once"),
    _("must be a host name or an IP address, without a port"),
    _("must be a host name or an IP address (letters, digits, dots, hyphens)"),
    _("must be a host name: 1 to 63 characters between its dots"),
    _("must be a finite number (NaN and Infinity are not JSON)"),
    _("holds half of a surrogate pair, which is no text"),
    _("should be a whole number"),
    _("should be text"),
    _("should be a JSON object"),
    _("should be at most %(most)s"),
    _("should be at least %(least)s"),
    _("is empty"),
    _("has %(bytes)s bytes, Consul's limit is %(limit)s"),
    _("starts with a byte order mark; save it as UTF-8 without one"),
    _("is not UTF-8 (byte %(byte)s)"),
    _("is not JSON: %(why)s (line %(line)s, column %(column)s)"),
    _("Expecting value"),
    _("Expecting property name enclosed in double quotes"),
    _("Expecting ':' delimiter"),
    _("Expecting ',' delimiter"),
    _("Unterminated string starting at"),
    _("Invalid control character at"),
    _("Extra data"),
    _("is nested too deeply"),
    _("is nested too deeply (more than %(levels)s levels)"),
    _("holds a number with too many digits"),
    _("must be a JSON object"),
    _("and %(count)s more"),
    # The Redis that it names.
    _("the Redis at %(place)s refuses it (%(why)s)"),
    _("the Redis at %(place)s answers %(why)s"),
    _("the Redis at %(place)s does not answer (%(why)s)"),
    # The publisher, before Consul: its trouble begins with one of Consul's.
    _("%(why)s The token needs `session:write` on the agent's node and `key:write` on `%(key)s`."),
    _("not published yet"),
    _("this process serves no requests"),
    _("this worker runs on a file and uses no Consul (CONSUL_REGISTER would)"),
    _("this instance has no usable id: %(why)s"),
    _("Another process holds the key `%(key)s`; it is this worker's when that one is gone."),
    _("failed: %(error)s"),
    _("its key does not hold what a worker publishes"),
    # Consul.
    _("Consul at %(place)s refused the connection."),
    _("Consul at %(place)s accepted the connection and gave no answer within %(time)s s."),
    _("Consul at %(place)s did not accept a connection within %(time)s s."),
    _("Consul at %(place)s closed the connection without an answer."),
    _("Consul at %(place)s is out of reach: %(why)s."),
    _("the answer was cut off"),
    _("Consul at %(place)s answered %(status)s: %(why)s."),
    _("Consul at %(place)s denied permission: %(why)s."),
    _("Consul at %(place)s refused the request (%(status)s): %(why)s."),
    _("no reason given"),
    _("Consul at %(place)s has no key `%(key)s`."),
    _("CONSUL_HTTP_TOKEN_FILE %(path)s cannot be read: %(why)s."),
    _("it is not plain ASCII text"),
    _("CONSUL_HTTP_TOKEN_FILE %(path)s holds more than one line."),
    _("What listens at %(place)s is not a Consul agent: it sent %(why)s."),
    _("an answer that is not Consul's (status %(status)s)"),
    _("an answer that is not HTTP"),
    _("more than %(bytes)s bytes"),
    _("a redirect (status %(status)s), which Consul never sends"),
    _("What listens at %(place)s did not take a write: %(why)s."),
    _("no KV entry"),
    _("no KV entries"),
    _("no object"),
    _("no list"),
    _("A transaction holds at most %(count)s operations and %(bytes)s bytes."),
    # Where a value came from.
    _("Consul key %(key)s, ModifyIndex %(index)s"),
    _("snapshot of Consul key %(key)s, ModifyIndex %(index)s"),
    _("file %(path)s"),
    _("default"),
    _("environment"),
    _("gunicorn bind %(place)s"),
    # The state of the configuration, and why.
    _("current"),
    _("rejected"),
    _("stale"),
    _("behind"),
    _("snapshot"),
    _("file"),
    _("unreadable"),
    _("rejected: %(why)s"),
    _("stale: since %(time)s: %(why)s"),
    _("snapshot: %(why)s"),
    _("the document at index %(index)s was rejected: %(why)s"),
    _("the key `%(key)s` was deleted"),
    _("Consul holds ModifyIndex %(index)s"),
    _("this process does not follow the key: gunicorn.conf.py, which starts the watch, was not read"),
    _("running on a snapshot of %(time)s; %(why)s"),
    _("running on a snapshot of %(time)s"),
    _("not loaded"),
    # A check of Consul's.
    _("passing"),
    _("warning"),
    _("critical"),
    # What a setting feeds, and values that are none.
    _("Consul client"),
    _("configuration document"),
    _("service registration"),
    _("SHOW_MESSAGE, the page"),
    _("nothing: not a member this version knows"),
    _("ignored: %(why)s"),
    _("text"),
    _("true or false"),
    _("a number"),
    _("a list"),
    _("an object"),
    _("(the address that the local Consul agent advertises)"),
    # What is wrong with the service's definition.
    _("invalid: %(why)s"),
    _("must be a DNS label (RFC 1123: letters, digits, -)"),
    _("must be one path segment of plain text (letters, digits and . _ : -)"),
    _("must be one that others can reach, not a wildcard"),
    _("must be an IP address or a host name"),
    _("must be 1 to 65535"),
    _("must be at least %(least)s"),
    _("must be printable"),
    _("must be letters, digits, - and _, with a value of at most 512 characters"),
    _("must be http or ttl"),
    _("must be an http URL"),
    _("must be more than nothing"),
    _("%(text)s is no duration; write it like 10s, 500ms or 1m30s"),
)
# Pydantic's words for them, which are less plain.
_SAID = {
    "should be a whole number": "should be a valid integer",
    "should be text": "should be a valid string",
    "should be at most %(most)s": "should be less than or equal to %(most)s",
    "should be at least %(least)s": "should be greater than or equal to %(least)s",
}
_OF_SEVERAL_WORDS = ("why", "key", "path", "time", "text")
# Members of a document may be named anything, so a sentence may hold any number of what divides sentences. What is
# beyond these stays in English.
_LONGEST = 4000  # characters
_MOST_SENTENCES = 50
_MOST_WITHIN = 4  # times that "; " or ": " stands within one sentence
_DEEPEST = 5  # sentences in one another


def localized(text: str) -> str:
    """The sentence in the language of the request; one that is not known stays as it is.

    It may also be a list of them, each with the path of what it is about.
    """
    return _localized(text, get_language(), _DEEPEST)


@lru_cache(maxsize=1024)  # a document that one worker rejects, hundreds do, and the page asks again and again
def _localized(text: str, language: str | None, depth: int) -> str:
    if "\n" in text:
        return "\n".join(_localized(line, language, depth) for line in text.split("\n"))
    parts = text.split("; ")  # sentences, or parts of one
    if not depth or len(text) > _LONGEST or len(parts) > _MOST_SENTENCES:
        return text
    said = []
    while parts:
        for count in (len(parts), *range(1, min(len(parts), _MOST_WITHIN))):
            if known := _known("; ".join(parts[:count]), language, depth):
                break
        else:
            known, count = parts[0], 1
        said.append(known)
        del parts[:count]
    return "; ".join(said)


def _known(text: str, language: str | None, depth: int) -> str:
    """The translation of one sentence, maybe after a path; empty if it is none."""
    paths = re.finditer(": ", text.partition("; ")[0])
    for begin in (0, *(found.end() for found in islice(paths, _MOST_WITHIN))):
        for pattern, sentence in _patterns():
            if found := pattern.fullmatch(text, begin):
                names = found.groupdict()
                if "why" in names:
                    names["why"] = _localized(names["why"], language, depth - 1)
                return text[:begin] + (gettext(sentence) % names if names else gettext(sentence))
    return ""


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """What finds each sentence, with a group for each of its names."""
    return [(re.compile(_pattern(_SAID.get(text, text))), text) for text in _SENTENCES]


def _pattern(said: str) -> str:
    parts = re.split(r"%\((\w+)\)s", said)  # text and names in turn
    names = [f"(?P<{name}>{'.+?' if name in _OF_SEVERAL_WORDS else '[^ ;]+'})" for name in parts[1::2]]
    return "".join(re.escape(part) + name for part, name in zip(parts[::2], [*names, ""], strict=True))

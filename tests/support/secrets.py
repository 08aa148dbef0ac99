"""The secrets of a test run, and the guard that looks for them in everything that came out of it."""

import base64
import re
import secrets as random_source
from dataclasses import dataclass

# Shorter runs of letters and digits stand in ordinary text as well.
SHORTEST_NEEDLE = 8
# As much of a run is looked for where a text may have been cut in the middle of a secret.
_LONGEST_START = 12


@dataclass(frozen=True)
class Leak:
    """A secret that was found where it must not be; says which one and where, never the value."""

    label: str
    place: str

    def __str__(self):
        return f"the secret {self.label!r} appears in {self.place}"


class SecretGuard:
    """Knows the secret values of a run and collects every place where one of them appeared.

    `thorough`: also where only its start did, and where it is written in base64 or hexadecimal digits.
    """

    def __init__(self, thorough=False):
        self._labels = {}
        self._thorough = thorough
        self.leaks = []

    def register(self, label, value):
        """Have every text checked for `value`, in any encoding that keeps letters and digits (URL, HTML, JSON)."""
        needles = [run for run in re.findall(r"[A-Za-z0-9]+", value) if len(run) >= SHORTEST_NEEDLE]
        if not needles:
            raise ValueError(f"the secret {label!r} is too plain to be told from ordinary text")
        if self._thorough:
            needles = [form for run in needles for form in _encoded(run[:_LONGEST_START])]
        self._labels.update(dict.fromkeys(needles, label))
        return value

    def new(self, label, separator=""):
        """A fresh random secret, registered; `separator` stands in its middle (`"@:/%"` needs quoting somewhere)."""
        return self.register(label, random_source.token_hex(8) + separator + random_source.token_hex(8))

    def check(self, text, place):
        """Note a leak for each secret in `text`; return the text, so that a reader can be wrapped."""
        for label in self.found(text):
            leak = Leak(label, place)
            if leak not in self.leaks:
                self.leaks.append(leak)
        return text

    def found(self, text):
        """The labels of the secrets in a text, or in bytes: what is looked for is ASCII."""
        searched = text.decode("latin-1") if isinstance(text, bytes) else text
        return {label for needle, label in self._labels.items() if needle in searched}


def _encoded(run):
    """The run as it is (so in URLs, HTML and JSON), in hexadecimal digits, and inside anything in base64."""
    raw = run.encode()
    yield from (run, raw.hex(), raw.hex().upper())
    for before, first in enumerate((0, 2, 3)):  # bytes before it in a group of three; characters that depend on them
        whole = 8 * (before + len(raw)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + raw).decode()[first:whole]


GUARD = SecretGuard()
LEAKED = 9  # the exit status of a run in which a secret showed: no second try makes that good

"""The secrets of a test run, and the guard that looks for them in everything that came out of it."""

import re
import secrets as random_source
from dataclasses import dataclass

# Shorter runs of letters and digits stand in ordinary text as well.
SHORTEST_NEEDLE = 8


@dataclass(frozen=True)
class Leak:
    """A secret that was found where it must not be; says which one and where, never the value."""

    label: str
    place: str

    def __str__(self):
        return f"the secret {self.label!r} appears in {self.place}"


class SecretGuard:
    """Knows the secret values of a run and collects every place where one of them appeared."""

    def __init__(self):
        self._labels = {}
        self.leaks = []

    def register(self, label, value):
        """Have every text checked for `value`, in any encoding that keeps letters and digits (URL, HTML, JSON)."""
        needles = [run for run in re.findall(r"[A-Za-z0-9]+", value) if len(run) >= SHORTEST_NEEDLE]
        if not needles:
            raise ValueError(f"the secret {label!r} is too plain to be told from ordinary text")
        self._labels.update(dict.fromkeys(needles, label))
        return value

    def new(self, label, separator=""):
        """A fresh random secret, registered; `separator` stands in its middle (`"@:/%"` needs quoting somewhere)."""
        return self.register(label, random_source.token_hex(8) + separator + random_source.token_hex(8))

    def check(self, text, place):
        """Note a leak for each secret in `text`; return the text, so that a reader can be wrapped."""
        for needle, label in self._labels.items():
            if needle in text:
                leak = Leak(label, place)
                if leak not in self.leaks:
                    self.leaks.append(leak)
        return text


GUARD = SecretGuard()

"""What comes from outside is bounded before it is taken in: a file, a body, JSON's depth and count."""

import errno
import os
import stat
from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# Bytes of a request's body: the longest document that fits into Consul with its entry of the history has 196 kB, three
# times as many when each is escaped. Django's parser takes up to 73 bytes of memory for each, whoever sent it.
LONGEST_BODY = 640 * 1024

_STEPS = [(byte in b"[{") - (byte in b"]}") for byte in range(256)]
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_file(path: Path, most_bytes: int) -> bytes:
    """The whole file. Raises `OSError`, also for a longer one, and for a pipe or a device, which may never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # to open a pipe would wait for its writer
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def json_fits(text: bytes, most_values: int, most_depth: int) -> bool:
    """Whether JSON has no more values than that, and none deeper, by its punctuation: linear, and nothing is built.

    Python takes up to 240 bytes for a value, which may be two bytes of text.
    """
    if _opening(text) <= most_depth and _values(text) <= most_values:
        return True
    text = text.replace(rb"\\", b"").replace(rb"\"", b"")
    if text.count(b'"') > 4 * (most_values + 1):  # a member has two strings at most
        return False
    text = b"".join(text.split(b'"')[::2])  # what stands outside of strings
    brackets = text.translate(None, _NO_BRACKETS)[: 2 * most_values]
    depth = max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)
    return _values(text) <= most_values and depth <= most_depth


def remembering(count: int, longest: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """A decorator for what reads a text: the last `count` results are kept, of texts up to `longest` each.

    Pages that are asked for every few seconds mostly find what they found before. A result is shared: do not change it.
    """

    def decorate(read: Callable[..., T]) -> Callable[..., T]:
        known = lru_cache(count)(read)

        @wraps(read)
        def remembered(text: bytes | str, *more: Any) -> T:
            return (known if len(text) <= longest else read)(text, *more)

        return remembered

    return decorate


def _opening(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{")


def _values(text: bytes) -> int:
    """At least as many as there are: an object or a list opens each group of them, a comma separates them."""
    return _opening(text) + text.count(b",")

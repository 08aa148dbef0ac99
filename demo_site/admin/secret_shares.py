"""A typed secret on its way from one page to the next, cut in two: neither half tells anything about it.

Not even its length, up to 255 bytes; of a longer one, how many blocks of 256 bytes it takes.

One half stays in the visitor's session on the server, the other is in the page's form. So no page, no browser and no
table holds a secret, and an operator need not type it again when a preview or an error comes in between.
"""

import secrets
from collections.abc import MutableMapping
from typing import Any

_KEY = "configuration_halves"
_BLOCK = 256
_MOST = 20  # of one session; the oldest are forgotten


def cut(session: MutableMapping[str, Any], secret: str) -> str:
    """Keep one half in the session and return the other, with its number."""
    plain = _padded(secret.encode())
    pad = secrets.token_bytes(len(plain))
    number = secrets.token_hex(8)
    kept = dict(list(session.get(_KEY, {}).items())[1 - _MOST :])
    session[_KEY] = kept | {number: pad.hex()}
    return f"{number}.{_xor(plain, pad).hex()}"


def join(session: MutableMapping[str, Any], half: str) -> str | None:
    """The secret, or None when the session has no half that fits."""
    number, _, rest = half.partition(".")
    try:
        pad, other = bytes.fromhex(session.get(_KEY, {}).get(number, "")), bytes.fromhex(rest)
        return _unpadded(_xor(pad, other)).decode() or None
    except ValueError:  # no hexadecimal digits, halves of different lengths, or no text
        return None


def forget(session: MutableMapping[str, Any]) -> None:
    session.pop(_KEY, None)


def _padded(plain: bytes) -> bytes:
    return plain + b"\1" + bytes(-(len(plain) + 1) % _BLOCK)


def _unpadded(padded: bytes) -> bytes:
    return padded.rpartition(b"\1")[0]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))

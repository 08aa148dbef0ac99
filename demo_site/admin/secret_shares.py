"""A typed secret on its way from one page to the next, split into two shares: neither tells anything about it.

Not even its length, up to 255 bytes; of a longer one, how many blocks of 256 bytes it takes.

One share stays in the session on the server, the other is in the page's form. So no page, no browser and no
table holds a secret, and an operator need not type it again when a preview or an error comes in between.
"""

import secrets
from collections.abc import MutableMapping
from typing import Any

_KEY = "configuration_halves"
_BLOCK = 256
_MOST = 20  # of one session; the oldest are forgotten


def cut(session: MutableMapping[str, Any], secret: str) -> str:
    """Store one share in the session and return the other, with its number."""
    plain = secret.encode() + b"\1"
    plain += bytes(-len(plain) % _BLOCK)
    pad = secrets.token_bytes(len(plain))
    number = secrets.token_hex(8)
    others = dict(list(session.get(_KEY, {}).items())[1 - _MOST :])
    session[_KEY] = others | {number: pad.hex()}
    return f"{number}.{_xor(plain, pad).hex()}"


def join(session: MutableMapping[str, Any], share: str) -> str | None:
    """The secret, or None when the session has no share that fits."""
    number, _, rest = share.partition(".")
    try:
        pad, other = bytes.fromhex(session.get(_KEY, {}).get(number, "")), bytes.fromhex(rest)
        return _xor(pad, other).rpartition(b"\1")[0].decode() or None
    except ValueError:  # no hexadecimal digits, shares of different lengths, or no text
        return None


def forget(session: MutableMapping[str, Any]) -> None:
    session.pop(_KEY, None)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))

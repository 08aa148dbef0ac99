"""Django's own handler for all paths but the lean ones, for a limited number of requests at once."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Any

from django.core.handlers.asgi import ASGIHandler

from . import lean, logins

# Each holds a thread and a connection to the database, and asks Consul, which allows 200 connections for one address. A
# page takes milliseconds, or a second or two while Consul hangs: then eight still serve every operator there is.
MOST_AT_ONCE = 8
MOST_LOGINS = 2  # of these: one whose password is being hashed, and the next

Message = dict[str, Any]


class DjangoRequests:
    """The ASGI application for them. A slot is held while Django works, never while a client sends or receives."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)
        self._logins = asyncio.Semaphore(MOST_LOGINS)

    @cached_property
    def _django(self) -> Callable[..., Awaitable[None]]:
        """Made when first asked for: WhiteNoise looks at every static file, and most workers never serve one."""
        return ASGIHandler()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _read(receive)
        if body is None:  # the client has gone
            return
        is_login = scope["method"] == "POST" and scope["path"] == logins.PATH
        if is_login and self._logins.locked():
            await lean.respond(scope, send, logins.busy)
            return
        answer: list[Message] = []
        async with self._logins if is_login else contextlib.nullcontext(), self._slots:
            await self._django(scope, _Replay(body), _collector(answer))
        for message in answer:
            await send(message)


async def _read(receive: Any) -> list[Message] | None:
    """All of the body, whose size the protocol bounds."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        message = await receive()
        if message["type"] != "http.request":
            return None
        messages.append(message)
    return messages


class _Replay:
    """What Django receives: the body, and no word of a client that goes away, because a thread cannot be stopped."""

    def __init__(self, body: list[Message]) -> None:
        self._body = iter(body)

    async def __call__(self) -> Message:
        for message in self._body:
            return message
        await asyncio.Event().wait()
        raise AssertionError("nothing sets this event")


def _collector(answer: list[Message]) -> Callable[[Message], Awaitable[None]]:
    async def collect(message: Message) -> None:
        answer.append(message)

    return collect

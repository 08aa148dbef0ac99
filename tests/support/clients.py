"""Clients that hold a connection and do not get on: many at once, on an event loop of their own."""

import asyncio
import contextlib
import resource
import threading
import time
from dataclasses import dataclass


@dataclass
class Held:
    """What became of one connection: the answer before it was closed, and the seconds until then."""

    answer: bytes
    seconds: float

    @property
    def status(self):
        """The answer's status; 0 without an answer."""
        return int(self.answer.split()[1]) if self.answer else 0


class Drippers:
    """`count` clients that send `first`, and then one byte of `drip` each second for as long as they are let."""

    def __init__(self, site, count, first=b"", drip=b"x"):
        self._address, self._count, self._first, self._drip = ("127.0.0.1", site.port), count, first, drip
        self.held = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._thread.join()

    @property
    def are_all_cut(self):
        return len(self.held) == self._count

    async def _all(self):
        await asyncio.gather(*(self._one() for _ in range(self._count)))

    async def _one(self):
        began, answer = time.monotonic(), b""
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(*self._address)
            dripping = asyncio.create_task(self._send(writer))
            with contextlib.suppress(OSError):
                answer = await asyncio.wait_for(reader.read(), 120)
            dripping.cancel()
            writer.close()
        self.held.append(Held(answer, time.monotonic() - began))

    async def _send(self, writer):
        with contextlib.suppress(OSError):
            writer.write(self._first)
            while self._drip:
                await asyncio.sleep(1)
                writer.write(self._drip)
                await writer.drain()

"""Visitors through the load balancer, looks at each instance, and rude clients: on an event loop of their own."""

import asyncio
import contextlib
import itertools
import json
import random
import socket
import struct
import threading
import time

from tests.chaos.record import CUT, TIMEOUT, Answer, Look
from tests.support.workers import NUMBER

VISITORS = 8
PAUSE = 0.02  # of a visitor between two requests
LOOK_PAUSE = 0.25
RUDE_PAUSE = 0.5
PATIENCE = 15.0  # of a visitor: no answer is later
_TICK = 0.01


class Load:
    """Until the block ends. Everything goes to `parts.record`."""

    def __init__(self, parts):
        self._parts, self._record = parts, parts.record
        self._over, self._late_total = False, 0.0  # seconds that this loop was held up, so far
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc_info):
        self._over = True
        self._thread.join()

    async def _all(self):
        jobs = [self._visit(client) for client in range(VISITORS)]
        if self._parts.is_site:
            jobs += [self._look(each, path) for each in self._parts.instances for path in ("/livez", "/readyz")]
            jobs += [self._be_rude(each) for each in self._parts.instances]
        tick = asyncio.create_task(self._measure())
        await asyncio.gather(*jobs)
        tick.cancel()

    # Visitors.

    async def _visit(self, client):
        connection = None
        while not self._over:
            began, message, number, why = self._parts.now(), "", None, ""
            late = self._late_total
            try:
                async with asyncio.timeout(PATIENCE):
                    connection = connection or await asyncio.open_connection("127.0.0.1", self._parts.balancer.port)
                    status, body, lasts = await request(connection, "/")
                if status == 200:
                    message, number = _page(body)
            except TimeoutError:
                status, lasts = TIMEOUT, False
            except (OSError, EOFError, ValueError) as error:
                status, lasts, why = CUT, False, repr(error)[:200]
            ended, late = self._parts.now(), self._late_total - late
            self._record.answers.append(Answer(client, began, ended, status, message, number, late, why))
            if not lasts:
                connection = _closed(connection)
            await asyncio.sleep(PAUSE if number else PAUSE * 5)
        _closed(connection)

    # Looks, each on a connection of its own: any of the workers may answer.

    async def _look(self, instance, path):
        while not self._over:
            began, connection, body = self._parts.now(), None, b""
            late = self._late_total
            try:
                async with asyncio.timeout(PATIENCE):
                    connection = await asyncio.open_connection("127.0.0.1", instance.port)
                    status, body, _lasts = await request(connection, path)
            except TimeoutError:
                status = TIMEOUT
            except (OSError, EOFError, ValueError):
                status = CUT
            _closed(connection)
            said = _said(body) if path == "/readyz" and body else {}
            ended, late = self._parts.now(), self._late_total - late
            self._record.looks.append(Look(instance.name, path, began, ended, status, late=late, **said))
            await asyncio.sleep(LOOK_PAUSE)

    async def _measure(self):
        """How long this loop was kept from running: other threads, a busy machine."""
        while True:
            due = time.monotonic() + _TICK
            await asyncio.sleep(_TICK)
            self._late_total += max(0.0, time.monotonic() - due - 0.002)

    # Slow and rude clients, which never send a whole `GET /`.

    async def _be_rude(self, instance):
        rng = random.Random(instance.name)  # noqa: S311 (no secret)
        pending = set()
        for manner in itertools.cycle((_drip, _reset, _babble, _read_nothing, _send_half)):
            if self._over:
                break
            task = asyncio.create_task(self._rudely(manner, instance, rng))
            pending.add(task)
            task.add_done_callback(pending.discard)
            await asyncio.sleep(RUDE_PAUSE)
        for task in pending:
            task.cancel()

    async def _rudely(self, manner, instance, rng):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", instance.port)
            try:
                await manner(reader, writer, rng)
            finally:
                writer.close()


async def _drip(reader, writer, rng):
    for byte in b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 30:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def _reset(reader, writer, rng):
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await writer.drain()
    linger = struct.pack("ii", 1, 0)  # close() sends a reset
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


async def _babble(reader, writer, rng):
    writer.write(rng.randbytes(2000))
    await writer.drain()
    await reader.read(1000)


async def _read_nothing(reader, writer, rng):
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
    await asyncio.sleep(5)


async def _send_half(reader, writer, rng):
    writer.write(b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nusername=")
    await writer.drain()
    await asyncio.sleep(5)


# HTTP, as little as it takes: a library would hide what came, and when.


async def request(connection, path):
    """Status, body, and whether the connection lasts. Raises EOFError or OSError for an answer that is not whole."""
    reader, writer = connection
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    body = await (reader.readexactly(int(length)) if length else reader.read())
    return status, body, bool(length) and "connection: close" not in head


def _page(body):
    found = NUMBER.match(body.decode())
    if not found:
        raise ValueError("no page")
    return found[1], int(found[2])


def _said(body):
    try:
        said = json.loads(body)
        return {"pid": said["pid"], "state": said["config"]["state"], "index": said["config"]["index"]}
    except (ValueError, KeyError):
        return {}


def _closed(connection):
    if connection:
        connection[1].close()

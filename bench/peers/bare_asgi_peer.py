"""An ASGI callable whose waiting requests share an INCRBY, sent in one thread, and no more."""

import asyncio
import threading
from queue import SimpleQueue

from plain_redis import client

batches = SimpleQueue()
waiting, thread = [], None


def work():
    while True:
        loop, batch = batches.get()
        last = client.incrby("hits", len(batch))
        loop.call_soon_threadsafe(done, loop, batch, last)


def send_batch(loop):
    global waiting
    batch, waiting = waiting, []
    batches.put((loop, batch))


def done(loop, batch, last):
    global is_busy
    if waiting:
        send_batch(loop)
    else:
        is_busy = False
    for position, future in enumerate(batch):
        if not future.done():
            future.set_result(last - position)


is_busy = False


async def app(scope, receive, send):
    global is_busy, thread
    loop = asyncio.get_running_loop()
    if thread is None:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
    future = loop.create_future()
    waiting.append(future)
    if not is_busy:
        is_busy = True
        send_batch(loop)
    body = f"bench! I have been seen {await future} times.\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

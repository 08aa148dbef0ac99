"""Processes write shared memory and are killed (SIGKILL) at any moment: `python -m tests.support.shared_storm N`.

A program of its own, because it forks: the memory of a shared is shared by forked processes only. Prints, as JSON,
how many writers were killed, how many readings were made, and how many of them were torn or found nothing.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime

from demo_site.config.revision import parsed
from demo_site.config.shared import SharedRevision
from demo_site.document.parsing import parse
from tests.support.documents import SMALLEST, raw

WRITERS = 4


def document(writer, number):
    """A document of any size whose message says its own length, so that a reader can tell a torn one."""
    filler = "x" * random.choice((0, 100, 5_000, 100_000))  # noqa: S311 (no secret)
    return raw(SMALLEST | {"show_message": f"{writer}:{number}:{len(filler)}:{filler}"})


def is_whole(value):
    message = parse(value.raw).show_message
    _, _, length, filler = message.split(":")
    again = raw(SMALLEST | {"show_message": message})
    return value.kind == "consul" and len(filler) == int(length) and value.raw == again


def write_for_ever(shared, writer):
    number = 0
    while True:
        number += 1
        value = parsed(document(writer, number), "consul", "config", number, datetime.now(UTC))
        with shared.locked():
            shared.write(value)


def fork_writer(shared, writer):
    if pid := os.fork():
        return pid
    try:
        write_for_ever(shared, writer)
    finally:
        os._exit(1)


def storm(kills):
    shared = SharedRevision()
    writers = {number: fork_writer(shared, number) for number in range(WRITERS)}
    try:
        return kill_writers(shared, writers, kills)
    finally:
        for pid in writers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def kill_writers(shared, writers, kills):
    readings = torn = lost = 0
    for number in range(kills):
        time.sleep(random.uniform(0, 0.004))  # noqa: S311 (no secret)
        victim = random.randrange(WRITERS)  # noqa: S311 (no secret)
        os.kill(writers[victim], signal.SIGKILL)
        os.waitpid(writers[victim], 0)
        with shared.locked():  # a lock of the dead is free
            value = shared.read()
        readings += 1
        torn += value is not None and not is_whole(value)
        lost += value is None and number > 50
        writers[victim] = fork_writer(shared, victim)
    return {"killed": kills, "readings": readings, "torn": torn, "lost": lost}


if __name__ == "__main__":
    print(json.dumps(storm(int(sys.argv[1]))))

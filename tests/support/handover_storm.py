"""Processes that write a handover and are killed (SIGKILL) at any moment: `python -m tests.support.handover_storm N`.

A program of its own, because it forks: the memory of a handover is shared by forked processes only. Prints, as JSON,
how many writers were killed, how many readings were made, and how many of them were torn or found nothing.
"""

import json
import os
import random
import signal
import sys
import time
from datetime import UTC, datetime

from demo_site.config.revision import loaded
from demo_site.config.shared import Handover
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


def write_for_ever(handover, writer):
    number = 0
    while True:
        number += 1
        value = loaded(document(writer, number), "consul", "config", number, datetime.now(UTC))
        with handover.locked():
            handover.write(value)


def fork_writer(handover, writer):
    if pid := os.fork():
        return pid
    try:
        write_for_ever(handover, writer)
    finally:
        os._exit(1)


def storm(kills):
    handover = Handover()
    writers = {number: fork_writer(handover, number) for number in range(WRITERS)}
    try:
        return kill_writers(handover, writers, kills)
    finally:
        for pid in writers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def kill_writers(handover, writers, kills):
    readings = torn = lost = 0
    for number in range(kills):
        time.sleep(random.uniform(0, 0.004))  # noqa: S311 (no secret)
        victim = random.randrange(WRITERS)  # noqa: S311 (no secret)
        os.kill(writers[victim], signal.SIGKILL)
        os.waitpid(writers[victim], 0)
        with handover.locked():  # a lock of the dead is free
            value = handover.read()
        readings += 1
        torn += value is not None and not is_whole(value)
        lost += value is None and number > 50
        writers[victim] = fork_writer(handover, victim)
    return {"killed": kills, "readings": readings, "torn": torn, "lost": lost}


if __name__ == "__main__":
    print(json.dumps(storm(int(sys.argv[1]))))

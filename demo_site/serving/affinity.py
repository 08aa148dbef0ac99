"""Which CPU a worker keeps to: what nginx calls `worker_cpu_affinity auto`.

The threads of one interpreter take turns at its lock. Where the kernel spreads them over the CPUs, nearly every turn
wakes another CPU; on one CPU it is a switch between threads. docs/performance.md has what that is worth.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable

MOST_EACH = 4  # workers for a CPU: of more, some always wait for one, and the kernel knows which is free


def choose(workers: int, taken: Iterable[int | None]) -> int | None:
    """A CPU for one worker more of `workers`; `taken` are those of its siblings. None: let it move.

    Only where each CPU gets as many workers as the others. Whatever else runs there can move away from them, another
    instance of the site has the same number on each CPU, and no CPU is left to idle while another one has a queue.
    """
    if not hasattr(os, "sched_getaffinity"):  # only Linux has it
        return None
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1 or workers % len(cpus) or workers > MOST_EACH * len(cpus):
        return None
    load = Counter(taken)
    return min(cpus, key=lambda cpu: load[cpu])


def keep_to(cpu: int | None) -> None:
    """Keep this thread, and those that it starts, to `cpu`, if the system allows it."""
    if cpu is not None:
        with contextlib.suppress(OSError):  # a sandbox forbids it, or the CPU was taken away since it was chosen
            os.sched_setaffinity(0, {cpu})

"""The CPU affinity of the workers, as with nginx's `worker_cpu_affinity auto`.

The threads of an interpreter take turns at its lock. If the kernel spreads them over the CPUs, nearly every turn wakes
another CPU; on one CPU, it only switches threads. docs/performance.md shows the gain.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable

MOST_EACH = 4  # workers for a CPU: if there are more, some always wait, and the kernel knows which CPU is free


def choose(workers: int, taken: Iterable[int | None]) -> int | None:
    """A CPU for one more of `workers`, given those `taken` by its siblings. None: the kernel chooses.

    The workers are pinned only if each CPU gets the same number. Then other processes can move away from them, another
    instance of the site has as many workers on each CPU, and no CPU idles while another one has a queue.
    """
    if not hasattr(os, "sched_getaffinity"):  # only Linux has it
        return None
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) == 1 or workers % len(cpus) or workers > MOST_EACH * len(cpus):
        return None
    load = Counter(taken)
    return min(cpus, key=lambda cpu: load[cpu])


def pin_to(cpu: int | None) -> None:
    """Pin this thread, and those that it starts, to `cpu`, if the system allows it."""
    if cpu is not None:
        with contextlib.suppress(OSError):  # a sandbox forbids it, or the CPU was removed since
            os.sched_setaffinity(0, {cpu})

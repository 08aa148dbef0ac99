"""Which faults come when, from a seed: every kind before any comes again, some of them two at once."""

import random
from collections.abc import Iterator

from tests.chaos.faults import KINDS, Fault

_PAIRS = 0.3  # of the steps have two faults


def steps(seed: int) -> Iterator[tuple[list[Fault], float]]:
    """Without end: faults at the same time, and the seconds that they last."""
    rng = random.Random(seed)  # noqa: S311 (no secret)
    while True:
        waiting = rng.sample(KINDS, len(KINDS))
        while waiting:
            kinds = [waiting.pop()]
            other = next((kind for kind in reversed(waiting) if not kind.touches & kinds[0].touches), None)
            if other and rng.random() < _PAIRS:
                waiting.remove(other)
                kinds.append(other)
            faults = [kind(random.Random(rng.random())) for kind in kinds]  # noqa: S311 (no secret)
            yield faults, max(rng.uniform(*kind.seconds) for kind in kinds)

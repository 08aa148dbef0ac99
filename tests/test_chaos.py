"""A short run of `make chaos`: the same for everybody, by a fixed seed."""

import pytest

from tests.chaos import checker
from tests.chaos.run import run

SEED, SECONDS = 58, 60
# Other tests use the machine as well.
BOUNDS = checker.Bounds(livez=2.0, answer=3.0, recovery=20.0, state=20.0)


@pytest.mark.slow
def test_invariants_hold_while_everything_breaks():
    record = run(SEED, seconds=SECONDS)
    found = "\n".join(map(str, checker.violations(record, BOUNDS)))
    assert not found, f"{found}\nTo repeat it: CHAOS_SECONDS={SECONDS} make chaos ARGS='--seed {SEED}'"
    assert len(record.steps) > 5
    assert len(record.answers) > 500

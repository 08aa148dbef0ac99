"""Changes that would break a promise, and what finds each: `python -m tests.chaos.mutants` makes them one by one.

Each is made in a copy of the project. What finds it is a test, or the short run in `tests/test_chaos.py`.
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.binaries import PROJECT

SHORT_RUN = "tests/test_chaos.py"


@dataclass(frozen=True)
class Mutant:
    """`old` becomes `new` in `file`, once; `found_by` is given to pytest and must fail."""

    title: str
    file: str
    old: str
    new: str
    found_by: str

    def apply(self, folder):
        path = folder / self.file
        path.write_text(path.read_text().replace(self.old, self.new, 1))


MUTANTS = [
    Mutant(
        "an INCR whose reply was lost is sent again",
        "counter/hits.py",
        "    return exchange, partial(_counted, in_force.client, in_force.document, exchange.reply)\n",
        "    def reply():\n"
        "        try:\n"
        "            return exchange.reply()\n"
        "        except RedisConnectionError:\n"
        "            return redis.incrby(COUNTER_KEY, hits)\n\n"
        "    return exchange, partial(_counted, in_force.client, in_force.document, reply)\n",
        SHORT_RUN,
    ),
    Mutant(
        "no deadline on the probe, or on any exchange with Redis",
        "demo_site/redis_cache/pool.py",
        "        self._deadline = time.monotonic() + EXCHANGE_TIMEOUT\n",
        "        self._deadline = time.monotonic() + 600\n",
        "tests/test_redis_bounds.py",
    ),
    Mutant(
        "an overtaken answer of Consul is believed",
        "demo_site/config/follower.py",
        "        return self._took_over and not (entry and self._has_in_force(entry))\n",
        "        return False\n",
        "tests/test_watch.py",
    ),
    Mutant(
        "no drain",
        "demo_site/instance/leaving.py",
        "max(seconds, 0.001)",
        "0.001",
        "tests/test_leaving.py::test_sigterm_leaves_the_catalog_then_drains_then_stops",
    ),
    Mutant(
        "a HUP ends the old workers before the new ones have started",
        "demo_site/serving/worker.py",
        "_HANDOVER_SECONDS if is_replaced else 0",
        "0",
        "tests/test_leaving.py::test_hup_leaves_nobody_waiting_for_the_new_workers",
    ),
    Mutant(
        "the pool of the former Redis is kept after a swap",
        "demo_site/config/live.py",
        "InForce(revision, old.client) if is_same else self._of(revision)",
        "InForce(revision, old.client)",
        "tests/test_live.py",
    ),
    Mutant(
        "two visitors of a batch get the same number",
        "counter/group_commit.py",
        "committed.last - position",
        "committed.last - position // 2",
        SHORT_RUN,
    ),
    Mutant(
        "a state lasts, whatever became of its watch",
        "demo_site/config/live.py",
        "        if proof is None or time.monotonic() <= proof.until:\n",
        "        if True:\n",
        "tests/test_proof.py",
    ),
    Mutant(
        "a document rules though its Redis cannot count",
        "demo_site/config/follower.py",
        "        if faults:\n",
        "        if False:\n",
        "tests/test_stateful.py",
    ),
    Mutant(
        "a registration that was changed by hand is left",
        "demo_site/registration/register.py",
        "    is_due = again or entry is None or not is_desired(entry, definition)\n",
        "    is_due = again or entry is None\n",
        "tests/test_stateful.py",
    ),
    Mutant(
        "a save overwrites what somebody else saved",
        "demo_site/config/repository.py",
        "    operations = [txn.compare_and_set(key, raw, entry.replaced_index), ",
        "    operations = [txn.compare_and_set(key, raw, read(client, key).index), ",
        "tests/test_stateful.py",
    ),
    Mutant(
        "visitors wait for a Redis that is away, each time",
        "counter/breaker.py",
        "            self._closed_from = now + self._rest\n",
        "            pass\n",
        "tests/test_metrics.py",
    ),
    Mutant(
        "a rejected document puts the state to current",
        "demo_site/config/follower.py",
        "        return self.live.become(rejected.status)\n",
        "        return self.live.become(Status(CURRENT))\n",
        "tests/test_stateful.py",
    ),
]


def is_found(mutant):
    """Whether what should find it fails in a copy of the project that has it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(".git", ".venv*", ".local", "__pycache__"))
        for name in (".venv", ".local"):
            (folder / name).symlink_to(PROJECT / name)
        mutant.apply(folder)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutant.found_by]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603 (our own command)
        lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "E   "))]
        return done.returncode == 1, lines


def main():
    """The exit status: 0 if every mutant is found."""
    missed = 0
    for mutant in MUTANTS:
        if len(sys.argv) > 1 and not any(word in mutant.title for word in sys.argv[1:]):
            continue
        found, lines = is_found(mutant)
        missed += not found
        print(f"{'found' if found else 'MISSED'}: {mutant.title} ({mutant.found_by})", flush=True)
        print("\n".join(f"    {line[:150]}" for line in lines[-3:]), flush=True)
    return min(missed, 1)


if __name__ == "__main__":
    sys.exit(main())

"""`make chaos`: the site, and then its predecessor, under the same schedule.

It says what did not hold, and how to repeat it.
`--write` puts the results into docs/reliability.md, with the JSON and the chart beside it.
"""

import argparse
import json
import os
import platform
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.chaos import checker, report
from tests.chaos.run import run
from tests.support.binaries import PROJECT
from tests.support.secrets import GUARD

PAGE = PROJECT / "docs" / "reliability.md"
RESULTS = PROJECT / "docs" / "reliability.json"
CHART = PROJECT / "docs" / "images" / "reliability.svg"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Real faults under load, from a seed.")
    parser.add_argument("--seed", type=int, action="append", help="repeatable; by default one that nobody chose")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("CHAOS_SECONDS") or 180))
    parser.add_argument("--without-predecessor", action="store_true")
    parser.add_argument("--record", type=Path, help="a file for every answer, look, write and step of the last seed")
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md and what is beside it")
    options = parser.parse_args()
    peer = None if options.without_predecessor else os.environ.get("BENCH_PYTHON")
    runs, failed = [], False
    for seed in options.seed or [random.randrange(1000)]:  # noqa: S311 (no secret)
        done, violations = _both(seed, options, peer)
        runs.append(done)
        failed = failed or bool(violations)
        if options.write:  # after each: what is measured stays measured, whatever becomes of the next
            _write({"machine": _machine(), "seconds": options.seconds, "runs": runs})
    return 1 if failed else 0


def _write(results):
    RESULTS.write_text(json.dumps(results) + "\n")
    CHART.write_text(report.svg(results["runs"][0]))
    PAGE.write_text(report.updated(PAGE.read_text(), results))


def _both(seed, options, peer):
    print(f"==> seed {seed}: the site", flush=True)
    record = run(seed, seconds=options.seconds)
    if options.record:
        record.save(options.record)
    found = [*checker.violations(record), *(f"a leak of a secret: {leak}" for leak in GUARD.leaks)]
    for violation in found:
        print(f"==> VIOLATION: {violation}", flush=True)
    if found:
        folder = PROJECT / ".local" / f"chaos-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        record.save(folder / "record.jsonl")
        for name, log in record.logs.items():
            (folder / f"{name}.log").write_text(log)
        print(f"==> the record and the logs: {folder}")
        print(f"==> to repeat it: CHAOS_SECONDS={options.seconds:.0f} make chaos ARGS='--seed {seed}'", flush=True)
    done = {"seed": seed, "site": report.summary(record)}
    if peer:
        print(f"==> seed {seed}: the predecessor", flush=True)
        done["predecessor"] = report.summary(run(seed, count=len(record.steps), predecessor=peer))
    print(json.dumps({name: _short(side) for name, side in done.items()}, indent=2), flush=True)
    return done, found


def _short(side):
    if isinstance(side, int):
        return side
    return {name: value for name, value in side.items() if name not in ("steps", "pages_per_second")}


def _machine():
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    sys.exit(main())

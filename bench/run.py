"""`make bench`: measures, prints the tables, writes bench/results.json, docs/performance.md's tables and its chart."""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(PROJECT), str(PROJECT / "deploy/local")]

from bench import chart, costs, tables, throughput  # noqa: E402
from bench.parts import PYTHON, backends  # noqa: E402

_VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""
RESULTS = PROJECT / "bench/results.json"
CHART = PROJECT / "docs/images/performance.svg"
PAGE = PROJECT / "docs/performance.md"


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of the site and its peers, on loopback.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; writes nothing")
    parser.add_argument("--only", choices=("throughput", "costs"), help="measure one half; the other stays as it is")
    options = parser.parse_args()
    halves = {"throughput": _throughput, "costs": _costs}
    results = {"machine": _machine()}
    with backends() as parts:
        for name in [options.only] if options.only else halves:
            results[name] = halves[name](parts, options.quick)
            if not options.quick:
                _write(results)  # each half by itself: what is measured stays measured, whatever happens to the other
    print(tables.text(results))


def _write(measured: dict) -> None:
    results = json.loads(RESULTS.read_text()) | measured
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    CHART.write_text(chart.svg(results["throughput"]))
    PAGE.write_text(tables.updated(PAGE.read_text(), results))


def _throughput(parts, quick: bool) -> dict:
    rounds, seconds = (3, 2) if quick else (9, 2)  # wrk takes whole seconds
    return {
        setting.name: _told(setting.title, throughput.measure(parts, setting, rounds, seconds))
        for setting in throughput.SETTINGS
    }


def _costs(parts, quick: bool) -> dict:
    return {
        "start_up": _told("start-up", costs.start_up(parts, 3 if quick else 7)),
        "memory": _told("memory", costs.memory(parts)),
        "idle": _told("idle", costs.idle(parts, 130 if quick else 260)),
        "propagation": _told("propagation", costs.propagation(parts, [1, 4, 16, 64], 5 if quick else 20)),
        "swap": _told("swap", costs.swap(parts, 5 if quick else 20)),
        "admin_page": _told("admin page", costs.admin_page(parts, 5 if quick else 20)),
    }


def _told(title: str, result: dict) -> dict:
    print(f"measured: {title}", file=sys.stderr, flush=True)
    return result


def _machine() -> dict:
    packages = (
        "django",
        "django-redis",
        "redis",
        "gunicorn",
        "uvicorn",
        "starlette",
        "fastapi",
        "flask",
        "python-consul",
    )
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": json.loads(subprocess.check_output([PYTHON, "-c", _VERSIONS, *packages])),  # noqa: S603 (our own command)
        "load_average": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    main()

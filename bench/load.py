"""Load by wrk, on loopback, bounded in time."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """One round: requests per second, latencies in microseconds, and how many requests failed."""

    rate: float
    p50: float
    p99: float
    requests: int
    failed: int


def run(url: str, connections: int, seconds: int) -> Load:
    """Keep `connections` connections busy for `seconds`. Fails when any request does."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("wrk is missing: apt-get install wrk")
    command = [wrk, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
    command += ["--timeout", "10s", "--script", str(SCRIPT), "--header", "Accept: text/plain", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 (our own command)
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    result = json.loads(line.removeprefix("RESULT "))
    rate = result["requests"] / result["microseconds"] * 1e6
    return Load(rate, result["p50"], result["p99"], result["requests"], result["failed"])

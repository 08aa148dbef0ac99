"""The tables of docs/performance.md, written from the results: they stand between comments that name them."""

import re

from bench.parts import NAMES
from bench.throughput import SETTINGS


def updated(text: str, results: dict) -> str:
    """`text` with every table replaced."""
    tables = {"page": _page(results["throughput"]), "costs": _costs(results["costs"]), "machine": _machine(results)}
    for name, lines in tables.items():
        block = f"<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- end of {name} -->"
        text, found = re.subn(rf"<!-- {name} -->.*?<!-- end of {name} -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise SystemExit(f"docs/performance.md has {found} places for the table `{name}`")
    return text


def _page(throughput: dict) -> list[str]:
    lines = [
        "| load | server | requests/s | lowest to highest | p50, ms | p99, ms | Redis commands | x Flask | x bare |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for setting in SETTINGS:
        servers, title = throughput[setting.name], setting.title
        for kind, found in servers.items():
            ratios = [f"{found['rate'] / servers[to]['rate']:.2f}" if to in servers else "" for to in ("flask", "bare")]
            lines.append(
                f"| {title} | {NAMES[kind]} | {found['rate']:,.0f} "
                f"| {found['rate_low']:,.0f} to {found['rate_high']:,.0f} "
                f"| {found['p50_us'] / 1000:.2f} | {found['p99_us'] / 1000:.1f} | {found['commands_per_hit']:.2f} "
                f"| {' | '.join(ratios)} |"
            )
            title = ""
    return lines


def _costs(costs: dict) -> list[str]:
    start, memory, idle, swap = costs["start_up"], costs["memory"], costs["idle"], costs["swap"]
    rows = [
        (
            "start-up, from starting Python to the first answer, Consul asked; an empty Django project with the admin",
            f"{start['site_s']:.2f} s; {start['empty_s']:.2f} s ({start['ratio']:.2f} times)",
        ),
        (
            "memory of a worker, shared pages counted once, 2 workers and their master; the same empty project",
            f"{memory['site_mib']:.1f} MiB; {memory['empty_mib']:.1f} MiB ({memory['ratio']:.2f} times)",
        ),
        ("CPU of an idle worker", f"{idle['cpu_percent']:.3f} %"),
        (
            "requests of an idle worker to Consul in an hour: to follow the key; to publish its state",
            f"{idle['following_per_hour']:.0f}; {idle['publishing_per_hour']:.0f}",
        ),
    ]
    one = costs["propagation"]["1"]["p50_ms"]
    for workers, found in costs["propagation"].items():
        rows.append(
            (
                f"a change in force in {workers} worker{'s'[: workers != '1']}, from sending the PUT: p50, highest; "
                "CPU for it in each worker, its new state published",
                f"{found['p50_ms']:.1f} ms ({found['p50_ms'] / one:.1f} times), {found['max_ms']:.1f} ms; "
                f"{found['cpu_ms']:.2f} ms",
            )
        )
    rows += [
        (
            "in force in one worker: another message; another Redis, probed and swapped",
            f"{swap['message_ms']:.1f} ms; {swap['redis_ms']:.1f} ms",
        ),
        (
            "the admin's page of the effective configuration, Consul and Redis asked each time",
            f"{costs['admin_page']['p50_ms']:.0f} ms",
        ),
    ]
    return ["| what | figure |", "| --- | --- |", *(f"| {what} | {figure} |" for what, figure in rows)]


def _machine(results: dict) -> list[str]:
    machine = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return [
        f"Measured on {machine['measured_at'][:10]}: {machine['processors']} processors, {machine['system']}, "
        f"Python {machine['python']},",
        f"{packages}.",
    ]

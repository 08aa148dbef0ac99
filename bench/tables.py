"""The results as tables: for the terminal, and in docs/performance.md between comments that name them."""

import re
from collections.abc import Iterator

from bench.parts import NAMES
from bench.throughput import SETTINGS

Rows = list[tuple[str, ...]]  # the first has the headings


def text(results: dict) -> str:
    """The results for the terminal; a half that was not measured is left out."""
    return "\n\n".join(_aligned(rows) for rows in _tables(results).values())


def updated(page: str, results: dict) -> str:
    """`page` with every table replaced."""
    blocks = {name: _markdown(rows) for name, rows in _tables(results).items()} | {"machine": _machine(results)}
    for name, block in blocks.items():
        block = f"<!-- {name} -->\n{block}\n<!-- end of {name} -->"
        page, found = re.subn(rf"<!-- {name} -->.*?<!-- end of {name} -->", lambda _: block, page, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise SystemExit(f"docs/performance.md has {found} places for the table `{name}`")
    return page


def _tables(results: dict) -> dict[str, Rows]:
    made = {"throughput": _throughput, "costs": _costs}
    return {half: list(make(results[half])) for half, make in made.items() if half in results}


def _aligned(rows: Rows) -> str:
    columns = list(zip(*rows, strict=True))
    to_side = [str.rjust if _is_of_numbers(column) else str.ljust for column in columns]
    widths = [max(map(len, column)) for column in columns]
    lines = ([put(cell, width) for put, cell, width in zip(to_side, row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _markdown(rows: Rows) -> str:
    rule = tuple("---:" if _is_of_numbers(column) else "---" for column in zip(*rows, strict=True))
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _is_of_numbers(column: tuple[str, ...]) -> bool:
    return not any(re.search("[a-z]", cell.replace(" to ", "")) for cell in column[1:])


def _throughput(throughput: dict) -> Iterator[tuple[str, ...]]:
    yield (
        "load",
        "server",
        "requests/s",
        "lowest to highest",
        "p50, ms",
        "p99, ms",
        "Redis commands",
        "x Flask",
        "x Starlette",
        "x bare ASGI",
    )
    for setting in SETTINGS:
        servers, title = throughput[setting.name], setting.title
        for kind, found in servers.items():
            yield (
                title,
                NAMES[kind],
                f"{found['rate']:,.0f}",
                f"{found['rate_low']:,.0f} to {found['rate_high']:,.0f}",
                f"{found['p50_us'] / 1000:.2f}",
                f"{found['p99_us'] / 1000:.1f}",
                f"{found['commands_per_hit']:.2f}",
                *(_ratio(found, servers.get(to)) for to in ("flask", "starlette", "bare_loop")),
            )
            title = ""


def _ratio(found: dict, peer: dict | None) -> str:
    return f"{found['rate'] / peer['rate']:.2f}" if peer else ""


def _costs(costs: dict) -> Iterator[tuple[str, ...]]:
    start, memory, idle, swap = costs["start_up"], costs["memory"], costs["idle"], costs["swap"]
    yield "what", "figure"
    yield (
        "start-up, from starting Python to the first answer, reading Consul included; an empty Django project with the "
        "admin",
        f"{start['site_s']:.2f} s; {start['empty_s']:.2f} s ({start['ratio']:.2f} times)",
    )
    yield (
        "memory of a worker, shared pages counted once, 2 workers and their master; the same empty project",
        f"{memory['site_mib']:.1f} MiB; {memory['empty_mib']:.1f} MiB ({memory['ratio']:.2f} times)",
    )
    yield "CPU of an idle worker", f"{idle['cpu_percent']:.3f} %"
    yield (
        "requests to Consul from an idle worker per hour: to follow the key; to publish its state",
        f"{idle['following_per_hour']:.0f}; {idle['publishing_per_hour']:.0f}",
    )
    yield from _propagation(costs["propagation"])
    yield (
        "time until a change is in force in one worker: another message; another Redis, probed and swapped",
        f"{swap['message_ms']:.1f} ms; {swap['redis_ms']:.1f} ms",
    )
    yield (
        "the admin page of the effective configuration, Consul and Redis queried each time",
        f"{costs['admin_page']['p50_ms']:.0f} ms",
    )


def _propagation(propagation: dict) -> Iterator[tuple[str, ...]]:
    one = propagation["1"]["p50_ms"]
    for workers, found in propagation.items():
        yield (
            f"a change in force in {workers} worker{'s'[: workers != '1']}, from sending the PUT: p50, highest; "
            "CPU time for it per worker, publishing its new state included",
            f"{found['p50_ms']:.1f} ms ({found['p50_ms'] / one:.1f} times), {found['max_ms']:.1f} ms; "
            f"{found['cpu_ms']:.2f} ms",
        )


def _machine(results: dict) -> str:
    machine = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"Measured on {machine['measured_at'][:10]}: {machine['processors']} processors, {machine['system']}, "
        f"Python {machine['python']},\n{packages}."
    )

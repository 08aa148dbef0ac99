"""What runs found: as JSON, as the tables of docs/reliability.md between comments that name them, and as a chart."""

import re
from collections import Counter, defaultdict
from html import escape

from tests.chaos import checker
from tests.chaos.record import Record
from tests.support.figures import percentile

SIDES = {"site": "this site", "predecessor": "the predecessor"}
_COLOURS = {"site": "#0b6b50", "predecessor": "#8a5a00"}
_MEANING = {
    "a number twice": "numbers shown twice",
    "a lost hit": "acknowledged increments that Redis lacks in the end",
    "an unexplained hit": "increments counted without a request to explain them",
    "a number that shrinks": "a smaller number for the same client's next request",
    "an unclean answer": "answers that are neither a page nor a whole 503; requests of a killed process left out",
    "a late answer": "answers after more than a second; requests of a killed or stopped process left out",
    "a slow /livez": "`/livez` above 250 ms, or not 200",
    "a wrong state": "states that Consul contradicted for more than 7 s",
    "a state that goes back": "an older document in force after a newer one, in one process",
    "a wrong page": "seconds in which pages showed a document replaced more than 7 s before",
    "a slow recovery": "faults without recovery within 5 s of their end",
    "a leak": "memory, sockets, threads, tasks, Consul keys not given back",
}
_NOT_ASKED = {"a slow /livez", "a wrong state", "a state that goes back", "a leak"}  # of the predecessor: it has none


def summary(record: Record) -> dict:
    """One side of one run, as JSON."""
    found = Counter(violation.kind for violation in checker.violations(record))
    began, ended = record.load
    pages = Counter(int(answer.ended - began) for answer in record.answers if answer.number is not None)
    return {
        "requests": len(record.answers),
        "pages": sum(pages.values()),
        "failed_503": sum(answer.status == 503 for answer in record.answers),
        "cut": checker.cut_answers(record),
        "restarts": record.restarts,
        "violations": {kind: found[kind] for kind in checker.KINDS},
        "failovers": {
            "twice": checker.counted_twice_after_failovers(record),
            "lost": checker.lost_in_failovers(record),
        },
        "livez_max_ms": round(1000 * max((look.ended - look.began for look in _livez(record)), default=0)),
        "steps": [_step(record, step) for step in record.steps],
        "pages_per_second": [pages[second] for second in range(int(ended - began))],
    }


def _livez(record):
    return [look for look in record.looks if look.path == "/livez" and not checker.is_excused(record.steps, look)]


def _step(record, step):
    """`failed`: of the requests that ended between its begin and its recovery."""
    end = step.ended + (step.recovered or 0.0)
    during = [answer for answer in record.answers if step.began <= answer.ended <= end]
    return {
        "faults": list(step.faults),
        "began": round(step.began - record.load[0], 2),
        "seconds": round(step.ended - step.began, 2),
        "recovered": None if step.recovered is None else round(step.recovered, 2),
        "requests": len(during),
        "failed": sum(answer.number is None for answer in during),
    }


# The page.


def updated(page: str, results: dict) -> str:
    """`page` with every table replaced."""
    blocks = {"chaos": _about(results), "invariants": _invariants(results), "faults": _faults(results)}
    for name, block in blocks.items():
        block = f"<!-- {name} -->\n{block}\n<!-- end of {name} -->"
        page, found = re.subn(rf"<!-- {name} -->.*?<!-- end of {name} -->", lambda _: block, page, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise SystemExit(f"docs/reliability.md has {found} places for `{name}`")
    return page


def _about(results):
    machine, runs = results["machine"], results["runs"]
    steps = [len(run["site"]["steps"]) for run in runs]
    faults = [sum(len(step["faults"]) for step in run["site"]["steps"]) for run in runs]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    beside = ", ".join(str(run["seed"]) for run in runs if "predecessor" in run)
    only = "" if beside in ("", seeds) else f" The predecessor: {beside}."
    return (
        f"Measured on {machine['measured_at'][:10]}: {machine['processors']} processors, {machine['system']}, "
        f"Python {machine['python']}. {results['seconds']:.0f} s for each seed: {seeds}.{only}\n"
        f"Faults: {', '.join(map(str, faults))}; two at once in {', '.join(_pairs(runs))} of "
        f"{', '.join(map(str, steps))} steps."
    )


def _pairs(runs):
    return [str(sum(len(step["faults"]) > 1 for step in run["site"]["steps"])) for run in runs]


def _invariants(results):
    lines = ["| what was counted | this site | the predecessor |", "| --- | ---: | ---: |"]
    for title, told in _COUNTS.items():
        lines.append(f"| {title} | {_of(results, 'site', told)} | {_of(results, 'predecessor', told)} |")
    for kind in checker.KINDS:
        counts = {side: _of(results, side, lambda found, kind=kind: found["violations"][kind]) for side in SIDES}
        other = "-" if kind in _NOT_ASKED else counts["predecessor"]
        lines.append(f"| {_MEANING[kind]} | {counts['site']} | {other} |")
    return "\n".join(lines)


_COUNTS = {
    "requests": lambda found: found["requests"],
    "503": lambda found: found["failed_503"],
    "ended with a killed process, or in another way": lambda found: found["cut"],
    "instances that had to be restarted by hand": lambda found: found["restarts"],
    "numbers twice after a Sentinel failover, which may be": lambda found: found["failovers"]["twice"],
    "increments that a Sentinel failover lost, which may be": lambda found: found["failovers"]["lost"],
}


def _of(results, side, told):
    sides = [run[side] for run in results["runs"] if side in run]
    return f"{sum(map(told, sides)):,}" if sides else "-"


def _faults(results):
    lines = ["| fault | times | lasted, s | failed | recovered after, s | failed | recovered after, s |"]
    lines[0] = lines[0].replace("| failed |", "| this site: failed |", 1)
    head, tail = lines[0].rsplit("| failed |", 1)
    lines = [f"{head}| the predecessor: failed |{tail}", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    by_side = {side: _by_fault(results, side) for side in SIDES}
    for name, steps in sorted(by_side["site"].items()):
        other = by_side["predecessor"].get(name, [])
        lasted = f"{percentile([step['seconds'] for step in steps], 0.5):.1f}"
        lines.append(
            f"| {name} | {len(steps)} | {lasted} | {_failed_and_recovered(steps)} | {_failed_and_recovered(other)} |"
        )
    return "\n".join(lines)


def _by_fault(results, side):
    found = defaultdict(list)
    for run in results["runs"]:
        for step in run.get(side, {"steps": []})["steps"]:
            for name in step["faults"]:
                found[name].append(step)
    return found


def _failed_and_recovered(steps):
    if not steps:
        return "- | -"
    failed, requests = (sum(step[name] for step in steps) for name in ("failed", "requests"))
    times = [float("inf") if step["recovered"] is None else step["recovered"] for step in steps]
    told = ["never" if value == float("inf") else f"{value:.1f}" for value in (percentile(times, 0.5), max(times))]
    return f"{failed:,} of {requests:,} | {told[0]} / {told[1]}"


# The chart.

_LEFT, _WIDTH, _HEIGHT, _TOP = 50, 960, 120, 30


def svg(run: dict) -> str:
    """Pages per second over time, for each side, with the faults behind: hover over one for its name."""
    lines, top = [], _TOP
    highest = max(max(run[side]["pages_per_second"], default=1) for side in SIDES if side in run) or 1
    for side, title in SIDES.items():
        if side in run:
            lines += _panel(run[side], top, highest, title, _COLOURS[side])
            top += _HEIGHT + 55
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top - 20}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#1c2430" role="img">\n'
        f"<title>Pages per second while things break</title>\n"
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _panel(found, top, highest, title, colour):
    series = found["pages_per_second"]
    across = (_WIDTH - _LEFT - 10) / max(len(series), 1)
    bottom = top + _HEIGHT
    yield f'<text x="{_LEFT}" y="{top - 8}" font-weight="600">{title}, pages per second</text>'
    for step in found["steps"]:
        x, width = _LEFT + step["began"] * across, max(step["seconds"] * across, 1)
        name = escape(" + ".join(step["faults"]))
        place = f'x="{x:.1f}" y="{top}" width="{width:.1f}" height="{_HEIGHT}"'
        yield f'<rect {place} fill="#f3d3cf"><title>{name}</title></rect>'
    points = " ".join(
        f"{_LEFT + (second + 0.5) * across:.1f},{bottom - pages / highest * _HEIGHT:.1f}"
        for second, pages in enumerate(series)
    )
    yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
    yield f'<line x1="{_LEFT}" y1="{bottom}" x2="{_WIDTH - 10}" y2="{bottom}" stroke="#1c2430"/>'
    yield f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{highest}</text>'
    yield f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'
    for second in range(0, len(series), 60 if len(series) > 120 else 10):
        yield f'<text x="{_LEFT + second * across:.1f}" y="{bottom + 15}">{second} s</text>'

"""The results as text for the terminal."""

from bench.parts import NAMES
from bench.throughput import SETTINGS


def text(results: dict) -> str:
    """Every figure that was measured; ratios are to the Flask peer of the same run."""
    parts = [*_throughput(results.get("throughput", {})), *_costs(results.get("costs", {}))]
    return "\n".join(parts)


def _throughput(results: dict):
    for setting in SETTINGS:
        if setting.name not in results:
            continue
        servers = results[setting.name]
        yield f"\n{setting.title}"
        headings = ("requests/s", "lowest", "highest", "p50 ms", "p99 ms", "Redis/hit", "x Flask")
        yield f"  {'':<28}" + "".join(f"{heading:>11}" for heading in headings)
        for kind, found in servers.items():
            rates = "".join(f"{found[name]:>11,.0f}" for name in ("rate", "rate_low", "rate_high"))
            times = "".join(f"{found[name] / 1000:>11.2f}" for name in ("p50_us", "p99_us"))
            ratio = found["rate"] / servers["flask"]["rate"]
            yield f"  {NAMES[kind]:<28}{rates}{times}{found['commands_per_hit']:>11.2f}{ratio:>11.2f}"


def _costs(costs: dict):
    if not costs:
        return
    start, memory, idle, swap = costs["start_up"], costs["memory"], costs["idle"], costs["swap"]
    yield "\nOther costs"
    yield f"  start-up: {start['site_s']:.2f} s, an empty project {start['empty_s']:.2f} s: {start['ratio']:.2f} times"
    yield (
        f"  memory per worker: {memory['site_mib']:.1f} MiB, an empty project {memory['empty_mib']:.1f} MiB: "
        f"{memory['ratio']:.2f} times"
    )
    yield (
        f"  an idle worker: {idle['cpu_percent']:.3f} % CPU, {idle['following_per_hour']:.0f} requests to Consul "
        f"per hour to follow, {idle['publishing_per_hour']:.0f} to publish its state"
    )
    for workers, found in costs["propagation"].items():
        yield (
            f"  a change reaches {workers:>2} workers: p50 {found['p50_ms']:.1f} ms, highest {found['max_ms']:.1f} ms, "
            f"{found['cpu_ms']:.2f} ms of CPU per worker"
        )
    message, redis = swap["message_ms"], swap["redis_ms"]
    yield f"  in force in one worker: a message after {message:.1f} ms, another Redis, probed, after {redis:.1f} ms"
    yield f"  the admin's page: {costs['admin_page']['p50_ms']:.1f} ms"

"""The make targets that test, measure and check: each installs what it needs on a fresh machine, then runs it."""

import functools
import json
import os
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Mapping
from pathlib import Path

import catalogs
import debian
import environment
import locks
from axe import find_axe
from private import keep_private
from processes import Failed
from servers import ServerNotFound, find_consul, find_redis

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".local" / "cache"
REQUIREMENTS = ["requirements.txt", "tests/requirements.txt"]

# For each Debian package the names of its program, on Debian or elsewhere.
QUICK_PROGRAMS = {"gnupg": ("gpg",), "gettext": ("msgfmt",)}
PROGRAMS = QUICK_PROGRAMS | {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "chromium-driver": ("chromedriver",),
    "npm": ("npm",),
    "postgresql": ("initdb",),
    "prometheus": ("prometheus", "promtool"),
    "victoria-metrics": ("vmagent",),  # reads `consul_sd_configs`, which Debian's Prometheus lacks
    "bubblewrap": ("bwrap",),
    "haproxy": ("haproxy",),
    "systemd": ("systemd-analyze",),
}
BENCH_PROGRAMS = {"wrk": ("wrk",)}
CHAOS_PROGRAMS = {"haproxy": PROGRAMS["haproxy"]}

# Tests mostly wait for servers, so more processes than two cores. A module's tests share servers, and stay together.
IN_PARALLEL = ["-n", "3", "--dist", "loadfile"]
# Where so many run on so little, the machine stalls for a second at times, and the site's own deadlines end what a test
# asked for, as they should. More failures than these are no such accident.
MOST_TRIED_AGAIN = 5
LAST_FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"


def test(python: Path, arguments: list[str]) -> None:
    """Provides every part, then runs pytest in several processes. Raises Failed, ServerNotFound."""
    _run_tests(python, _provided(), [], arguments)


def quick(python: Path, arguments: list[str]) -> None:
    """Runs pytest without the slow tests and what only those need. Raises Failed, ServerNotFound."""
    servers = _find_servers()
    _install_programs(QUICK_PROGRAMS)
    _run_tests(python, servers, ["-m", "not slow"], arguments)


def soak(python: Path, arguments: list[str]) -> None:
    """Becomes pytest with the long tests, in the order of docs/reliability.md. Raises Failed, ServerNotFound."""
    _become([str(python), "-m", "pytest", "-p", "no:randomly", "tests/soak", *arguments], _provided())


def bench(python: Path, arguments: list[str]) -> None:
    """Becomes the benchmark. The servers that it compares run in an environment without the tests' tools."""
    servers = _find_servers()
    _install_programs(BENCH_PROGRAMS)
    _become([str(python), "bench/run.py", *arguments], servers | {"BENCH_PYTHON": str(_peers())})


def chaos(python: Path, arguments: list[str]) -> None:
    """Becomes the run of real faults; the predecessor beside the site has the benchmark's environment."""
    servers = _find_servers()
    _install_programs(CHAOS_PROGRAMS)
    _become([str(python), "-m", "tests.chaos", *arguments], servers | {"BENCH_PYTHON": str(_peers())})


def _peers() -> Path:
    """The Python of what is compared with the site."""
    lists = ["requirements.txt", "bench/requirements.txt"]
    return environment.provide(ROOT, locks.current(ROOT, lists), say, ".venv-bench")


def _run_tests(python: Path, servers: Mapping[str, str], selection: list[str], arguments: list[str]) -> None:
    """Becomes pytest with these arguments.

    Without any, a few tests that failed are tried once more, with nothing beside them; both outcomes are printed.
    """
    command = [str(python), "-m", "pytest"]
    if arguments:
        _become([*command, *IN_PARALLEL, *selection, *arguments], servers)
        return
    status = _status([*command, *IN_PARALLEL, *selection, "--cache-clear"], servers)
    failed = json.loads(LAST_FAILED.read_text()) if status == 1 and LAST_FAILED.exists() else ()
    if not 0 < len(failed) <= MOST_TRIED_AGAIN:
        sys.exit(status)
    say("\n".join(["These failed beside other tests, and are tried once more, alone:", *failed]))
    _become([*command, "-p", "no:randomly", "--last-failed", "-v"], servers)


def _provided() -> dict[str, str]:
    """Every part that a test needs; the variables that say where the servers are."""
    servers = _find_servers()
    _install_programs(PROGRAMS)
    find_axe(CACHE, say)
    return servers


def check(python: Path, arguments: list[str]) -> None:
    """Runs ruff and bandit, then becomes mypy. Raises Failed."""
    bandit = ["bandit", "--quiet", "--recursive", "demo_site", "counter", "deploy", "manage.py", "gunicorn.conf.py"]
    for command in (["ruff", "check"], ["ruff", "format", "--check"], bandit):
        say(" ".join(command))
        started = [str(python), "-m", *command]
        if subprocess.call(started):  # noqa: S603 (one of the tools above)  # nosec B603
            raise Failed(f"`{' '.join(command)}` found faults.")
    say("mypy")
    # mypy's Django plugin loads the settings, which then read this file instead of Consul.
    document = Path(__file__).with_name("document.json")
    _become([str(python), "-m", "mypy"], {"DEMO_CONFIG_FILE": str(document)})


def messages(python: Path, arguments: list[str]) -> None:
    """Updates the catalogs, and prints how many messages are untranslated. Raises Failed."""
    _install_programs({"gettext": PROGRAMS["gettext"]})
    untranslated = catalogs.update(ROOT, python)
    say(f"Messages that are not translated yet: {untranslated}")


def lock(python: Path, arguments: list[str]) -> None:
    """Writes the locks anew; `--upgrade` among the arguments takes newer versions. Raises Failed."""
    locks.renew(ROOT, python, arguments)
    say("The locks are those of the lists.")


def audit(python: Path, arguments: list[str]) -> None:
    """Asks whether what the locks name has known vulnerabilities. Raises Failed, also where nobody answers."""
    if found := locks.audit(ROOT, python):
        raise Failed("\n".join(["These packages have known vulnerabilities:", *found]))
    say("No known vulnerabilities in what the locks name.")


def _find_servers() -> dict[str, str]:
    keep_private(CACHE.parent)
    return {"CONSUL_BIN": str(find_consul(CACHE, say)), "REDIS_SERVER_BIN": str(find_redis(CACHE, say))}


def _install_programs(programs: Mapping[str, tuple[str, ...]]) -> None:
    which = functools.partial(shutil.which, path=debian.search_path())
    missing = [package for package, names in programs.items() if not any(map(which, names))]
    if not missing:
        return
    try:
        debian.install(missing, say)
    except debian.Unavailable as reason:
        raise Failed(f"Please install what Debian calls {', '.join(missing)}. ({reason})") from reason


def _become(command: list[str], variables: Mapping[str, str]) -> None:
    keep_private(CACHE.parent)  # what was fetched, too; without a umask, because tests build packages for everybody
    os.execve(command[0], command, {**os.environ, **variables})  # noqa: S606 (a task above)  # nosec B606


def _status(command: list[str], variables: Mapping[str, str]) -> int:
    """Run a tool to its end, and return its exit status."""
    keep_private(CACHE.parent)
    with subprocess.Popen(command, env={**os.environ, **variables}) as running:  # noqa: S603 (as above)  # nosec B603
        while True:
            try:
                return running.wait()
            except KeyboardInterrupt:
                continue  # the tool has the Ctrl-C too: it ends, and says how far it came


def say(text: str) -> None:
    print(f"==> {text}", flush=True)


TASKS = {task.__name__: task for task in (test, quick, soak, bench, chaos, check, messages)}
ABOUT_LOCKS = {task.__name__: task for task in (lock, audit)}


def _run(task: str, arguments: list[str]) -> None:
    if task in ABOUT_LOCKS:
        # As locked before: a lock that is old is what `make lock` mends.
        python = environment.provide(ROOT, [locks.lock_of(locks.TOOLS)], say, ".venv-locks")
        ABOUT_LOCKS[task](python, arguments)
    else:
        TASKS[task](environment.provide(ROOT, locks.current(ROOT, REQUIREMENTS), say), arguments)


def main(arguments: list[str]) -> int:
    """The exit status, unless this process becomes a tool with its own."""
    os.chdir(ROOT)
    try:
        _run(arguments[0], arguments[1:])
        return 0
    except (Failed, ServerNotFound) as reason:
        print(f"==> FAILED: {reason}", file=sys.stderr)
        return reason.status if isinstance(reason, Failed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

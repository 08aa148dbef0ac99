"""The Dockerfile's steps without an engine: each COPY and RUN in a folder that stands for the image's file system.

What is run sees the machine's programs and libraries read-only, a few folders of the image in their places, and runs as
the image's user. Needs bubblewrap.
"""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.binaries import PROJECT, first_on_path
from tests.support.processes import clean_environment

USER = "10001"
_OF_THE_MACHINE = ("/usr", "/etc", "/lib", "/lib64", "/bin", "/sbin", "/opt", sys.base_prefix)


def instructions(text):
    """Each instruction with its arguments, comments left out and continued lines joined."""
    lines = "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
    return [tuple(line.split(maxsplit=1)) for line in re.sub(r"\\\n\s*", " ", lines).splitlines()]


def exec_form(arguments):
    """The command of a RUN, a CMD or a HEALTHCHECK, which must not be a shell's."""
    return json.loads(re.sub(r"^(--\S+ )*(CMD )?", "", arguments))


def stages(text):
    """The instructions of each stage, by its name or number."""
    found = {}
    for name, arguments in instructions(text):
        if name == "FROM":
            _image, *alias = arguments.split()
            current = found[alias[1] if alias else str(len(found))] = []
        current.append((name, arguments))
    return found


class Context:
    """What an engine would be sent: the files that git has, without those of .dockerignore."""

    def __init__(self):
        listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        found = subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True)  # noqa: S603 (our own command)
        lines = (PROJECT / ".dockerignore").read_text().splitlines()
        self._rules = [line for line in lines if line and not line.startswith("#")]
        self.files = [file for file in found.stdout.splitlines() if self._is_sent(file)]

    def _is_sent(self, file):
        """By the last rule that fits the file or a folder that it is in."""
        paths = [file, *map(str, Path(file).parents)]
        fitting = [rule for rule in self._rules if any(_fits(rule.removeprefix("!"), path) for path in paths)]
        return not fitting or fitting[-1].startswith("!")

    def copy(self, source, target):
        below = [file for file in self.files if file == source or file.startswith(f"{source}/")]
        assert below, f"COPY {source}: .dockerignore leaves it out, or it is not there"
        for file in below:
            place = target / Path(file).relative_to(source) if file != source else target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / file, place)


def _fits(rule, path):
    if rule.startswith("**/"):
        return any(fnmatch.fnmatch(part, rule[3:]) for part in path.split("/"))
    return path not in (".", "") and path.count("/") == rule.count("/") and fnmatch.fnmatch(path, rule)


def _folders_above(*mounts):
    """What makes the folders above the mounts' targets, which bubblewrap would make for their owner alone."""
    targets = [Path(target) for *_, target in mounts]
    above = {folder for target in targets for folder in target.parents} - {Path("/"), *targets}
    return [("--perms", "0755", "--dir", folder) for folder in sorted(above)]


class Stage:
    """A stage of the build at `root`, which holds /app, /tmp and /var/lib of its file system."""

    def __init__(self, root, steps):
        self.root, self.steps = root, steps
        self.environment, self.command, self.healthcheck, self.user = {}, None, None, "0"
        for folder in ("app", "tmp", "var/lib"):
            (root / folder).mkdir(parents=True)
        self._give()

    def _give(self):
        """All that is here to the user, if this process is root and may."""
        if os.geteuid() == 0:
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, int(USER), int(USER), follow_symlinks=False)

    def at(self, path):
        return self.root / path.lstrip("/") if path.startswith("/") else self.root / "app" / path

    def build(self, context, others):
        for name, arguments in self.steps:
            if name == "COPY":
                self._copy(context, others, arguments)
            elif name == "RUN":
                done = self.run(exec_form(arguments))
                assert done.returncode == 0, f"RUN {arguments}:\n{done.stdout}{done.stderr}"
            elif name == "ENV":
                self.environment |= dict(pair.split("=", 1) for pair in arguments.split())
            elif name == "USER":
                self.user = arguments
            elif name == "CMD":
                self.command = exec_form(arguments)
            elif name == "HEALTHCHECK":
                self.healthcheck = exec_form(arguments)
            else:
                assert (name, arguments) in (("WORKDIR", "/app"), ("EXPOSE", "8000")) or name == "FROM", name
        return self

    def _copy(self, context, others, arguments):
        options, paths = re.fullmatch(r"((?:--\S+ )*)(.+)", arguments).groups()
        *sources, target = paths.split()
        origin = re.search(r"--from=(\S+)", options)
        for source in sources:
            into = self.at(target.rstrip("/"))
            place = into / Path(source).name if target.endswith("/") else into
            if origin:
                found = others[origin[1]].at(source)
                copy = shutil.copytree if found.is_dir() else shutil.copy2
                copy(found, place, **({"symlinks": True} if found.is_dir() else {}))
            else:
                context.copy(source, place)
        self._give()

    def sandboxed(self, command, *, read_only=False, as_pid_1=False, environment=(), binds=()):
        """The command line that runs this command in the stage's file system."""
        kind = "--ro-bind" if read_only else "--bind"
        places = [(kind, self.root / "app", "/app"), (kind, self.root / "var/lib", "/var/lib")]
        if read_only:
            places += [("--bind", path, f"/{path.relative_to(self.root)}") for path in self.root.glob("var/lib/*")]
        else:
            places.append((kind, self.root / "tmp", "/tmp"))  # noqa: S108 (of the stage)
        places += [("--ro-bind", path, path) for path in binds]
        machine = [("--ro-bind-try", path, path) for path in _OF_THE_MACHINE]
        mounts = [str(part) for mount in (*_folders_above(*machine, *places), *machine, *places) for part in mount]
        search = f"{sys.base_prefix}/bin:/usr/bin:/bin"
        variables = {**clean_environment("/nowhere"), "PATH": search, **self._pip(), **self.environment}
        if "PATH" in self.environment:
            variables["PATH"] = f"{self.environment['PATH']}:{search}"
        setting = [part for pair in {**variables, **dict(environment)}.items() for part in ("--setenv", *pair)]
        own = ["--unshare-pid", "--proc", "/proc", "--dev", "/dev", "--chdir", "/app", "--clearenv"]
        memory = ["--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108 (of the sandbox)
        return [
            first_on_path("bwrap"),
            *own,
            *memory,
            *self._identity(),
            *(["--as-pid-1"] if as_pid_1 else []),
            *mounts,
            *setting,
            "--",
            *self._dropping(),
            *command,
        ]

    def _pip(self):
        """Where this machine gets packages from."""
        return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}

    def _identity(self):
        if os.geteuid():
            return ["--unshare-user", "--uid", USER, "--gid", USER]
        return ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]

    def _dropping(self):
        if os.geteuid():
            return []
        return ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--bounding-set=-all", "--no-new-privs"]

    def run(self, command, **options):
        sandboxed = self.sandboxed(command, **options)
        return subprocess.run(sandboxed, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)  # noqa: S603 (our own command)


def build(directory):
    """The last stage of the project's Dockerfile, built below this directory."""
    context, built = Context(), {}
    for name, steps in stages((PROJECT / "Dockerfile").read_text()).items():
        built[name] = last = Stage(directory / name, steps).build(context, built)
    return last

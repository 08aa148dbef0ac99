"""A process that a test started: its output is kept, and it is stopped by its own pid."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.support.binaries import PROJECT
from tests.support.waiting import wait_until

BOUND = 120  # seconds to start or to end: it takes one or two, and thirty where forty processes want the CPU


class ServerProcess:
    """One server process in a directory of its own; a subclass says how it starts and when it is ready."""

    def __init__(self, label):
        self._directory = tempfile.TemporaryDirectory(prefix=f"{label}-")
        self.directory = Path(self._directory.name)
        self.log_path = self.directory / f"{label}.log"
        self.label = label
        self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def launch(self, arguments, *, environment, stdin=b"", cwd=None, user=None):
        """Start the process with exactly this environment; its standard output and error go to the log."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 (our own command)
                [str(argument) for argument in arguments],
                env=environment,
                cwd=cwd or self.directory,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )
        with contextlib.suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write(stdin)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        """Everything that the process wrote so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_ready(self, is_ready, *, bound=BOUND, ignoring=()):
        """Wait until `is_ready()`; fail at once, with the log, when the process ends before.

        One that does neither is made to end with the stacks of its threads in the log: how else would anybody know
        what a process waited for on a machine that is gone?
        """

        def ready_or_ended():
            return not self.running or is_ready()

        try:
            wait_until(ready_or_ended, bound=bound, message=f"{self.label} to answer", ignoring=ignoring)
        except AssertionError as error:
            self._abort()
            raise AssertionError(f"{error}\n{self.log()[-20_000:]}") from error
        if not self.running:
            raise AssertionError(f"{self.label} ended with status {self.process.returncode}:\n{self.log()[-4000:]}")

    def _abort(self):
        """End the process and its children, one after another so that their last words do not mix."""
        process = psutil.Process(self.pid)
        for each in (*reversed(process.children(recursive=True)), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGABRT)
            psutil.wait_procs([each], timeout=10)

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        """Freeze the process: its sockets stay open and nothing answers."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def stop(self, bound=BOUND):
        """Ask the process to end (SIGTERM) and return its exit status."""
        if self.running:
            self.process.terminate()
        return self.wait(bound)

    def kill(self):
        """End the process as a crash would (SIGKILL)."""
        if self.running:
            self.process.kill()
        return self.wait()

    def wait(self, bound=BOUND):
        """Wait for the end of the process and return its exit status."""
        return self.process.wait(bound) if self.process else None

    def close(self):
        """End the process and everything that it started, orphans included, and remove its directory."""
        if self.process:
            end_group(self.process)
        self._directory.cleanup()


def end_group(process):
    """End a process that was started with `start_new_session`, and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def printed_by(module, *arguments, bound=120):
    """The JSON that a module prints in a process of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = clean_environment(PROJECT)
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=bound)  # noqa: S603 (our own command)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def clean_environment(home):
    """The variables that every process needs, and nothing else of the developer's shell."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8", "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}

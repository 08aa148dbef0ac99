"""Child processes that end together with this one, and with everything that they started."""

import contextlib
import ctypes
import os
import signal
import subprocess  # nosec B404
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

GRACE = 10.0  # seconds between SIGTERM and SIGKILL

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A step failed; the text says which, why, and what to do. `status` is the exit status that it leads to."""

    status = 1


@dataclass(frozen=True)
class Result:
    """The exit status of a command, and what it printed to stdout and stderr."""

    status: int
    output: str


class Process:
    """A server in its own process group, so that Ctrl-C in the terminal reaches only the script that stops it."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        log: Path | None = None,
        stdin: bytes = b"",
    ) -> None:
        """Without a `log` it writes to the stdout and stderr of this process."""
        self.name, self.log = name, log
        self._ended = False
        with log.open("wb") if log else contextlib.nullcontext() as output:
            self._popen = _start(command, environment, directory, stdin=subprocess.PIPE, output=output)
        if self._popen.stdin:
            with contextlib.suppress(BrokenPipeError), self._popen.stdin:
                self._popen.stdin.write(stdin)

    def has_ended(self) -> bool:
        """Whether the process has ended. Then the rest of its group is stopped too."""
        if not self._ended and self._popen.poll() is not None:
            self.stop()
        return self._ended

    def stop(self) -> None:
        """Ends the whole group: SIGTERM, then SIGKILL for those that are left after GRACE."""
        if self._ended:
            return
        self._ended = True
        _end_group(self._popen)

    def log_tail(self, lines: int = 15) -> str:
        """The end of its log, for a message."""
        text = self.log.read_text(errors="replace") if self.log else ""
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


class Session(ExitStack):
    """What was started; it is stopped in reverse order when the session closes."""

    def __init__(self) -> None:
        super().__init__()
        self._running: list[Process] = []

    def start(self, process: Process) -> Process:
        """Adds a process that was just started: it is stopped when the session closes."""
        self.callback(process.stop)
        self._running.append(process)
        return process

    def newly_ended(self) -> list[Process]:
        """The processes that have ended since the last call."""
        ended = [process for process in self._running if process.has_ended()]
        self._running = [process for process in self._running if process not in ended]
        return ended


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    seconds: float = 900.0,
) -> Result:
    """Runs a command to its end; kills it after `seconds`, or when this process is stopped."""
    with _start(command, environment, directory, stdin=subprocess.DEVNULL, output=subprocess.PIPE) as popen:
        try:
            output, _ = popen.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Result(124, f"not finished within {seconds:.0f} s")
        finally:
            _end_group(popen)
    return Result(popen.returncode, output.decode(errors="replace").strip())


def checked(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> None:
    """Runs a command that must succeed. Raises Failed with its output."""
    done = run(command, environment=environment, directory=directory)
    if done.status:
        raise Failed(f"`{' '.join(map(str, command[:4]))}` ended with status {done.status}:\n{done.output}")


def _start(
    command: Sequence[str | Path],
    environment: Mapping[str, str] | None,
    directory: Path | None,
    *,
    stdin: int,
    output: IO[bytes] | int | None,
) -> "subprocess.Popen[bytes]":
    """Without an `output` it writes to the stdout and stderr of this process."""
    return subprocess.Popen(  # noqa: S603 (what `make` starts: lists of arguments, no shell)  # nosec B603
        command,
        env=environment,
        cwd=directory,
        stdin=stdin,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_end_with_parent if _LIBC else None,
    )


def _end_with_parent() -> None:
    """Has the kernel send SIGTERM when the parent dies: a parent that is killed with -9 cannot stop anything."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(popen: "subprocess.Popen[bytes]") -> None:
    """Sends SIGTERM to the group, SIGKILL after GRACE; returns when no member is left."""
    _signal_group(popen.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    # The leader stays a member until it is reaped, which poll() does.
    while popen.poll() is None or _signal_group(popen.pid, 0):
        if time.monotonic() > deadline:
            _signal_group(popen.pid, signal.SIGKILL)
        time.sleep(0.02)


def _signal_group(group: int, number: int) -> bool:
    """Whether the group had a member to signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS raises this for a group of zombies
        return False
    return True

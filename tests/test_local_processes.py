"""What `make run` starts ends in order and in bounded time, together with its own child processes."""

import os
import sys
import time

import psutil
import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_until

import ports
import processes
from processes import Process, Session, run

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
{then}
"""


def start(tmp_path, code, name="server"):
    return Process(name, [sys.executable, "-c", code], log=tmp_path / f"{name}.log")


def pid_in(process):
    return int(wait_until(lambda: process.log.read_text(), message="the pid of the child"))


def is_running(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stopping_ends_the_children_of_the_process_too(tmp_path):
    server = start(tmp_path, PARENT.format(then="time.sleep(600)"))
    child = pid_in(server)
    assert not server.has_ended()
    server.stop()
    assert server.has_ended()
    assert not is_running(child)


@pytest.mark.slow
def test_a_process_that_ends_by_itself_leaves_no_child_behind(tmp_path):
    server = start(tmp_path, PARENT.format(then="sys.exit(3)"))
    child = pid_in(server)
    wait_until(server.has_ended, message="the end of the process")
    assert not is_running(child)


def test_one_that_ignores_sigterm_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 0.5)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    server = start(tmp_path, code)
    pid_in(server)
    began = time.monotonic()
    server.stop()
    assert 0.5 <= time.monotonic() - began < 5


def test_a_session_stops_in_the_opposite_order_and_tells_each_end_once(tmp_path):
    code = "import signal, sys, time\ndef end(*_): print(time.time_ns(), flush=True); sys.exit()\n"
    code += "signal.signal(signal.SIGTERM, end)\nprint(' ', flush=True)\ntime.sleep(600)"
    with Session() as session:
        first, second = (session.start(start(tmp_path, code, name)) for name in ("first", "second"))
        brief = session.start(start(tmp_path, "", "brief"))
        wait_until(lambda: first.log.read_text() and second.log.read_text(), message="both to run")
        wait_until(brief.has_ended, message="the end of the brief one")
        assert session.newly_ended() == [brief]
        assert session.newly_ended() == []
    assert int(second.log.read_text()) < int(first.log.read_text())


def test_its_input_reaches_it_and_the_end_of_its_log_is_shown(tmp_path):
    code = "import sys; print(*range(100), sep='\\n'); print(sys.stdin.read(), file=sys.stderr)"
    server = Process("server", [sys.executable, "-c", code], log=tmp_path / "log", stdin=b"secret")
    wait_until(server.has_ended, message="its end")
    assert server.log_tail(2) == "    99\n    secret"


def test_a_command_is_run_to_its_end():
    done = run([sys.executable, "-c", "import sys; print('out'); sys.stdout.flush(); sys.exit('err')"])
    assert (done.status, done.output) == (1, "out\nerr")


@pytest.mark.slow
def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path):
    note = tmp_path / "pid"
    code = PARENT.format(then=f"open({str(note)!r}, 'w').write(str(child.pid)); time.sleep(600)")
    assert run([sys.executable, "-c", code], seconds=2).status == 124
    assert not is_running(int(note.read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
def test_the_kernel_ends_what_a_killed_parent_left(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1])\nimport processes, time\nfrom pathlib import Path\n"
    code += "p = processes.Process('child', ['sleep', '600'], log=Path(sys.argv[2]))\n"
    code += "print(p._popen.pid, flush=True)\ntime.sleep(600)"
    log = tmp_path / "log"
    arguments = [os.path.dirname(processes.__file__), str(tmp_path / "child.log")]  # noqa: PTH120
    parent = Process("parent", [sys.executable, "-c", code, *arguments], log=log)
    child = pid_in(parent)
    psutil.Process(parent._popen.pid).kill()
    wait_until(lambda: not is_running(child), message="the end of the child")
    parent.stop()


def test_a_free_port_is_taken_as_it_is():
    steps, port = [], free_port()
    assert ports.choose(port, "the server", steps.append) == port
    assert steps == []


def test_a_port_is_given_once():
    steps, port = [], free_port()
    first, second = (ports.choose(port, purpose, steps.append) for purpose in ("one", "two"))
    assert first == port < second
    assert steps == [f"Port {port} is taken: two uses port {second}."]


def test_no_port_above_the_last_one():
    while ports.choose(65_500, "a server", print) < 65_535:
        continue
    with pytest.raises(OSError, match="no free port from 65500"):
        ports.choose(65_500, "a server", print)

"""A wall clock that is set while the site serves ends no worker."""

import time

from tests.support.binaries import PROJECT
from tests.support.waiting import wait_until

# Long enough for a machine that is busy; gunicorn ends a worker of which it has heard nothing for so long.
TIMEOUT = 10  # seconds

# The shipped configuration, in a process whose wall clock is ahead as long as the file is there.
CONFIG = """
import pathlib, time
_time = time.time
time.time = lambda: _time() + 3600 * pathlib.Path({ahead!r}).exists()
exec(compile(pathlib.Path({shipped!r}).read_text(), {shipped!r}, "exec"))
timeout = {timeout}
"""


def test_clock_that_is_set_back_ends_no_worker(environment, new_site):
    site = new_site(environment)
    ahead, config = site.directory / "ahead", site.directory / "conf.py"
    shipped = str(PROJECT / "gunicorn.conf.py")
    config.write_text(CONFIG.format(ahead=str(ahead), shipped=shipped, timeout=TIMEOUT))
    ahead.touch()
    site.gunicorn("--config", str(config), workers=2)
    wait_until(lambda: len(site.worker_pids()) == 2, message="two workers")
    pids = sorted(site.worker_pids())
    time.sleep(TIMEOUT / 2 + 2)  # until gunicorn has heard of them
    ahead.unlink()
    time.sleep(TIMEOUT + 3)
    assert sorted(site.worker_pids()) == pids
    assert "WORKER TIMEOUT" not in site.log()

"""A Redis outage under load, as visitors and health checks see it. Shared by tests and soak."""

import threading
import time
from dataclasses import dataclass, field

import requests

from tests.support.waiting import wait_until


@dataclass
class Seen:
    """One kind of request during the outage: seconds that each took, and the statuses."""

    seconds: list = field(default_factory=list)
    statuses: list = field(default_factory=list)

    def quantile(self, share):
        ordered = sorted(self.seconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


class Load:
    """Asks for `path` so many times a second, each request on its own and at its time, however long others take."""

    def __init__(self, site, path, per_second):
        self._site, self._path, self._interval = site, path, 1 / per_second
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._asking = []
        self.seen = Seen()
        self._clock = threading.Thread(target=self._tick)

    def __enter__(self):
        self._clock.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        self._clock.join()
        for thread in self._asking:
            thread.join()

    def _tick(self):
        due = time.monotonic()
        while not self._stop.is_set():
            thread = threading.Thread(target=self._ask)
            thread.start()
            self._asking.append(thread)
            due += self._interval
            self._stop.wait(max(0, due - time.monotonic()))

    def _ask(self):
        began = time.monotonic()
        status = requests.get(self._site.url + self._path, timeout=30).status_code
        with self._lock:
            self.seen.seconds.append(time.monotonic() - began)
            self.seen.statuses.append(status)


def pause_under_load(site, redis, seconds):
    """Freeze Redis for so long under 50 page views a second.

    Returns what `/` and `/livez` saw meanwhile, and the seconds from the end of the pause to the first page.
    """
    with Load(site, "/", 50) as pages, Load(site, "/livez", 20) as lives:
        time.sleep(0.5)
        redis.pause()
        paused_at = len(pages.seen.statuses), len(lives.seen.statuses)
        time.sleep(seconds)
        redis.resume()
        resumed = time.monotonic()
        page, live = (
            Seen(load.seen.seconds[at:], load.seen.statuses[at:])
            for load, at in zip((pages, lives), paused_at, strict=True)
        )
        wait_until(lambda: requests.get(f"{site.url}/", timeout=30).status_code == 200, 30, "the page", 0.05)
        return page, live, time.monotonic() - resumed

"""gunicorn's gevent worker: works where gevent patches first, and says so where it does not."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.binaries import PROJECT
from tests.support.documents import document
from tests.support.waiting import wait_until


def number_in(text):
    return int(text.split()[-2])


@pytest.mark.parametrize("name", ["gevent", "gunicorn.workers.ggevent.GeventWorker"])
def test_gevent_that_patches_too_late_is_refused(environment, new_site, name):
    result = new_site(environment).failing_gunicorn("--worker-class", name)
    assert result.status == os.EX_CONFIG
    assert "begin gunicorn.conf.py with `from gevent import monkey; monkey.patch_all()`" in result.stderr


def test_gevent_that_patches_first(environment, new_site, consul, config_key, redis, tmp_path):
    configuration = tmp_path / "gunicorn.conf.py"
    shipped = (PROJECT / "gunicorn.conf.py").read_text()
    configuration.write_text(f"from gevent import monkey; monkey.patch_all()\n{shipped}")
    site = new_site(environment).gunicorn("--worker-class", "gevent", "--config", str(configuration), workers=2)
    with ThreadPoolExecutor(32) as pool:
        numbers = list(pool.map(lambda _: number_in(site.get("/", session=requests).text), range(500)))
    assert sorted(numbers) == list(range(1, 501))
    assert redis.hits() == 500
    consul.put(config_key, document(redis, "changed"))
    wait_until(lambda: site.get("/").text.startswith("changed!"), 10, "the change")
    assert site.stop() == 0

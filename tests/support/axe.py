"""axe-core on the page that a browser shows."""

import functools

from tests.support.binaries import CACHE

from axe import find_axe  # deploy/local/axe.py


@functools.cache
def _script():
    return find_axe(CACHE).read_text()


def violations(driver):
    """What axe-core finds on the page: a list of "rule: element"."""
    driver.execute_cdp_cmd("Runtime.evaluate", {"expression": _script()})  # the page's policy forbids a script element
    found = driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run().then(done, error => done({violations: [{id: String(error), nodes: []}]}))"
    )
    return [
        f"{violation['id']}: {node.get('html', '')[:200]} {node.get('failureSummary', '')}"
        for violation in found["violations"]
        for node in violation["nodes"] or [{}]
    ]

"""Wait for a condition instead of sleeping: on a busy machine a test gets slower, but does not fail."""

import time

# What a machine that does other work may add to a bound of the site; `make soak` holds the bounds themselves.
BUSY_SECONDS = 1


def wait_until(condition, bound=30, message="the condition", interval=0.02, ignoring=()):
    """Call `condition` until it returns something true, and return that; fail after `bound` seconds.

    Errors of the types in `ignoring` count as "not yet"; the last of them is the cause of the failure.
    """
    deadline = time.monotonic() + bound
    while True:
        last_error = last_value = None
        try:
            last_value = condition()
        except ignoring as error:
            last_error = error
        if last_value:
            return last_value
        if time.monotonic() > deadline:
            outcome = repr(last_error or last_value)
            raise AssertionError(f"waited {bound} s in vain for {message}; last: {outcome}") from last_error
        time.sleep(interval)

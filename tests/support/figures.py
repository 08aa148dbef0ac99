"""The figures of a soak run, computed and written for people."""

import math


def percentile(values, share):
    """The smallest value that at least `share` of the values do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * share) - 1, 0)]


def milliseconds(seconds):
    return f"{seconds * 1000:.1f} ms"


def three(seconds):
    """Median, 99th percentile and maximum."""
    return " / ".join(milliseconds(percentile(seconds, share)) for share in (0.5, 0.99, 1))


def mebibytes(count):
    return f"{count / 2**20:.1f} MiB"


def http_requests(proxy):
    """How many HTTP requests came through the proxy."""
    return proxy.seen.count(b" HTTP/1.1\r\n")

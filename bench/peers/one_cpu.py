"""gunicorn's configuration for a peer that pins each worker to one CPU, as the site does."""

import os


def post_fork(server, worker):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[worker.age % len(cpus)]})

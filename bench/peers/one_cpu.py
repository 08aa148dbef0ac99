"""gunicorn's configuration for a peer whose workers keep to one CPU each, as the site's do."""

import os


def post_fork(server, worker):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[worker.age % len(cpus)]})

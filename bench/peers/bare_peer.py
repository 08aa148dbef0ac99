"""The limit of this stack: a WSGI callable with one INCR, and nothing else."""

import os

import redis

client = redis.Redis(
    host="127.0.0.1",
    port=int(os.environ["BENCH_REDIS_PORT"]),
    password=os.environ["BENCH_REDIS_PASSWORD"],
    protocol=2,
    driver_info=None,
)


def app(environ, start_response):
    body = f"bench! I have been seen {client.incr('hits')} times.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]

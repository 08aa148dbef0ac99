"""The Redis client of the bare peers: one command to connect, as the site's."""

import os

import redis

client = redis.Redis(
    host="127.0.0.1",
    port=int(os.environ["BENCH_REDIS_PORT"]),
    password=os.environ["BENCH_REDIS_PASSWORD"],
    protocol=2,
    driver_info=None,
)

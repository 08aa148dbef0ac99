"""The demo that this project replaces, in the same spirit: Flask, redis-py, the configuration from Consul at start."""

import json
import os

import consul
import redis
from flask import Flask

app = Flask(__name__)
host, port = os.environ["BENCH_CONSUL"].split(":")
_, entry = consul.Consul(host=host, port=int(port)).kv.get(os.environ["DEMO_CONFIG_KEY"])
config = json.loads(entry["Value"])
server = config["redis_config"]
client = redis.Redis(
    host=server["redis_host"],
    port=server["redis_port"],
    db=server["redis_db"],
    password=server["redis_password"],
)


@app.route("/")
def index():
    number = client.incr("hits")
    text = f"{config['show_message']}! I have been seen {number} times.\n"
    return text, {"Content-Type": "text/plain; charset=utf-8"}

"""The demo that this project replaces, as bench/peers has it, with what it does when something fails."""

import json
import os
import sys
import time

import consul
import redis
from flask import Flask

RETRIES, PAUSE = 5, 0.5
CHECK_INTERVAL = "2s"  # of `/`, which counts

app = Flask(__name__)


def start():
    host, port = os.environ["CONSUL"].split(":")
    agent = consul.Consul(host=host, port=int(port))
    _, entry = agent.kv.get(os.environ["KEY"])
    config = json.loads(entry["Value"])
    server = config["redis_config"]
    client = redis.Redis(
        host=server["redis_host"],
        port=server["redis_port"],
        db=server["redis_db"],
        password=server["redis_password"],
    )
    own_port = int(os.environ["PORT"])
    agent.agent.service.register(
        os.environ["SERVICE"],
        service_id=os.environ["SERVICE_ID"],
        address="127.0.0.1",
        port=own_port,
        check=consul.Check.http(f"http://127.0.0.1:{own_port}/", CHECK_INTERVAL),
    )
    return config, client


try:
    config, client = start()
except Exception:
    sys.exit(0)


def hit():
    tries = RETRIES
    while True:
        try:
            return client.incr("hits")
        except redis.ConnectionError:
            if tries == 0:
                raise
            tries -= 1
            time.sleep(PAUSE)


@app.route("/")
def index():
    text = f"{config['show_message']}! I have been seen {hit()} times.\n"
    return text, {"Content-Type": "text/plain; charset=utf-8"}

"""Prometheus on the files of deploy/monitoring, faster by a factor, and the faults that its alerts are about."""

import contextlib
import http.server
import json
import re
import subprocess
import threading
import time

import requests

from demo_site import identity
from tests.support.binaries import PROJECT, first_on_path
from tests.support.documents import document
from tests.support.ports import free_port
from tests.support.processes import ServerProcess, clean_environment, end_group
from tests.support.proxy import Proxy
from tests.support.readme import PUBLISHED, defaults, documented_metrics
from tests.support.site import Site
from tests.support.waiting import wait_until

FOLDER = PROJECT / "deploy" / "monitoring"
_UNITS = {"s": 1000, "m": 60_000}
_CONSUL_SD = re.compile(r"^ +consul_sd_configs:\n(.*\n)+?(?= +relabel_configs:)", re.MULTILINE)


def shipped(name):
    """A file of deploy/monitoring, with this service's names, as its metrics have them."""
    text = (FOLDER / name).read_text().replace(defaults(PUBLISHED)["SERVICE_NAME"], identity.NAME)
    return re.sub(rf"\b{documented_metrics()[0]}_", f"{identity.METRICS_PREFIX}_", text)


def hastened(text, factor):
    """Rules or a configuration in which every duration is shorter by this factor."""
    return re.sub(r"\b(\d+)(s|m)\b", lambda found: f"{int(found[1]) * _UNITS[found[2]] // factor}ms", text)


def promtool(directory, *arguments):
    """Run promtool there on the shipped files; what it said, after a success."""
    for path in FOLDER.iterdir():
        (directory / path.name).write_text(shipped(path.name))
    command = [first_on_path("promtool"), *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)  # noqa: S603 (our own command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Catalog:
    """What `consul_sd_configs` makes of Consul's catalog, as `http_sd_configs` takes it: Debian's Prometheus lacks the
    former."""

    def __init__(self, consul):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                targets = [_target(entry["Service"]) for entry in consul.health(identity.NAME)]
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(targets).encode())

            def log_message(self, *_arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def _target(service):
    place = f"{service['Address']}:{service['Port']}"
    return {"targets": [place], "labels": {"__meta_consul_service_id": service["ID"]}}


class Prometheus(ServerProcess):
    """A server on the shipped configuration and alerts, which finds the instances in `consul`."""

    def __init__(self, consul, factor):
        super().__init__("prometheus")
        self._catalog, self._factor = Catalog(consul), factor
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self):
        config = hastened(shipped("prometheus.yml"), self._factor)
        found = f"    http_sd_configs: [{{url: '{self._catalog.url}', refresh_interval: {15_000 // self._factor}ms}}]\n"
        config, replaced = _CONSUL_SD.subn(found, config)
        assert replaced == 1
        (self.directory / "prometheus.yml").write_text(config)
        (self.directory / "alerts.yml").write_text(hastened(shipped("alerts.yml"), self._factor))
        options = [f"--web.listen-address={self.url.removeprefix('http://')}", "--config.file=prometheus.yml"]
        options += ["--storage.tsdb.path=data", f"--query.lookback-delta={300_000 // self._factor}ms"]
        environment = clean_environment(self.directory)
        self.launch([first_on_path("prometheus"), *options], environment=environment)
        ready = f"{self.url}/-/ready"
        self.wait_ready(lambda: requests.get(ready, timeout=10).ok, ignoring=(requests.RequestException,))
        return self

    def close(self):
        super().close()
        self._catalog.close()

    def _get(self, path, **parameters):
        return requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10).json()["data"]

    def targets(self):
        """Whether each instance answers, by its name."""
        return {each["labels"]["instance"]: each["health"] for each in self._get("targets")["activeTargets"]}

    def query(self, expression):
        return self._get("query", query=expression)["result"]

    def firing(self):
        """The alerts that fire, each with its instance, if it is about one."""
        alerts = [each for each in self._get("alerts")["alerts"] if each["state"] == "firing"]
        return {(each["labels"]["alertname"], each["labels"].get("instance")) for each in alerts}


class Discovery(ServerProcess):
    """vmagent, of Debian's victoria-metrics: it reads the shipped file as it is, and asks Consul as that says."""

    def __init__(self, consul):
        super().__init__("vmagent")
        self._config = re.sub(r"(?<=server: )\S+", consul.address, shipped("prometheus.yml"))
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self):
        path = self.directory / "prometheus.yml"
        path.write_text(self._config)
        (self.directory / "alerts.yml").write_text(shipped("alerts.yml"))
        options = [f"-httpListenAddr={self.url.removeprefix('http://')}", f"-promscrape.config={path}"]
        options += ["-promscrape.config.strictParse=false"]  # it does not know what Prometheus does with alerts
        options += [f"-remoteWrite.url=http://127.0.0.1:{free_port()}/"]
        self.launch([first_on_path("vmagent"), *options], environment=clean_environment(self.directory))
        health = f"{self.url}/health"
        self.wait_ready(lambda: requests.get(health, timeout=10).ok, ignoring=(requests.RequestException,))
        return self

    def targets(self):
        """The places that it scrapes, by the names of the instances."""
        found = requests.get(f"{self.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
        return {each["labels"]["instance"]: each["scrapeUrl"] for each in found}


LEAKS = """
import pathlib, threading, time
exec(compile(pathlib.Path({original!r}).read_text(), {original!r}, "exec"))
_start = post_worker_init

def post_worker_init(worker):
    _start(worker)
    threading.Thread(target=_hold, daemon=True).start()

def _hold():
    from django_redis import get_redis_connection
    held, wanted = [], pathlib.Path({switch!r})
    while True:
        if wanted.exists() and not held:
            pool = get_redis_connection("default").connection_pool
            held = [pool.get_connection() for _ in range(20)]
        while held and not wanted.exists():
            held[-1].disconnect()
            pool.release(held.pop())
        time.sleep(0.1)
"""


class Fleet:
    """Three instances that register themselves, with visitors; `a` can leak, `c` can lose Consul, all of them Redis."""

    def __init__(self, consul, redis, key):
        self._consul, self._key = consul, key
        self._redis, self._consul_of_c = Proxy(redis.port), Proxy(consul.http_port)
        self._document = document(redis)
        self._document["redis_config"]["redis_port"] = self._redis.port
        consul.put(key, self._document)
        self._done, self._threads = threading.Event(), []
        self.sites = {name: self._site(name) for name in "abc"}
        self.ids = {name: site.environment["SERVICE_ID"] for name, site in self.sites.items()}
        self._leak = self.sites["a"].directory / "leak"

    def _site(self, name):
        return Site(
            {
                "CONSUL_HTTP_ADDR": self._consul_of_c.address if name == "c" else self._consul.address,
                "DEMO_CONFIG_KEY": self._key,
                "CONSUL_REGISTER": "1",
                "SERVICE_ID": f"{identity.NAME}-{name}",
                "SERVICE_CHECK_INTERVAL": "1s",
                "SERVICE_DRAIN_SECONDS": "0.2",
            }
        )

    def __enter__(self):
        for name in self.sites:
            self._start(name, wait=False)
        for site in self.sites.values():
            site.wait_ready(site.is_alive, ignoring=(requests.RequestException,))
            self._in_background(self._visit, site.url)
        return self

    def __exit__(self, *exc_info):
        self._done.set()
        for thread in self._threads:
            thread.join()
        for each in (*self.sites.values(), self._redis, self._consul_of_c):
            each.close() if isinstance(each, Site) else each.refuse()

    def _start(self, name, **options):
        site = self.sites[name]
        config = site.directory / "leaks.conf.py"
        config.write_text(LEAKS.format(original=str(PROJECT / "gunicorn.conf.py"), switch=str(self._leak)))
        site.gunicorn("--config", config, **options)

    def _in_background(self, target, *arguments):
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _visit(self, url):
        with requests.Session() as session:
            session.trust_env = False
            while not self._done.wait(0.1):
                with contextlib.suppress(requests.RequestException):
                    session.get(url, timeout=10)

    # Each makes some faults, yields the alerts that they are to raise, and mends them.

    @contextlib.contextmanager
    def trouble(self):
        self._leak.touch()
        wait_until(lambda: f"{identity.METRICS_PREFIX}_redis_pool_connections 2" in self._metrics("a"), 30, "the leak")
        self._redis.delay(0.3)
        self._consul_of_c.refuse()
        self._consul.put(self._key, self._document | {"show_message": "another"})
        contested = threading.Event()
        self._in_background(self._contest, self.ids["b"], contested)
        a, b, c = self.ids.values()
        self._elsewhere("register", Address="192.0.2.7", Service={"Service": identity.NAME, "ID": a, "Port": 9})
        yield {
            *(("PagesSlow", each) for each in (a, b, c)),
            *(("ConfigurationNotFollowed", c), ("RegistrationNotKept", c), ("InstancesDiffer", None)),
            *(("RegistrationContested", b), ("RedisConnectionsLeak", a), ("RegistrationOnOtherNodes", a)),
        }
        contested.set()
        self._elsewhere("deregister")
        self._leak.unlink()
        self._redis.pass_through()
        self._consul_of_c.pass_through()

    def _elsewhere(self, action, **members):
        """In the catalog, on a node whose agent is none of this test's."""
        asked = {"Node": "elsewhere"} | members
        assert self._consul.api("PUT", f"/v1/catalog/{action}", json=asked).ok

    def _contest(self, service_id, contested):
        """Register the same id again and again, with another tag."""
        port = self.sites["b"].port
        while not (contested.wait(0.2) or self._done.is_set()):
            self._consul.register(identity.NAME, ID=service_id, Address="127.0.0.1", Port=port, Tags=["other"])

    @contextlib.contextmanager
    def outage(self):
        self._redis.refuse()
        self._consul.put(self._key, b"{")
        end_group(self.sites["a"].process)
        a, b, c = self.ids.values()
        yield {("InstanceDown", a)} | {(name, each) for name in ("PagesFail", "DocumentRejected") for each in (b, c)}
        self._redis.pass_through()
        self._consul.put(self._key, self._document)
        self._start("a")

    @contextlib.contextmanager
    def nobody_left(self):
        for site in self.sites.values():
            site.stop()
        yield {("NoInstanceLeft", None)}
        self._start("a")

    def _metrics(self, name):
        return self.sites[name].get("/metrics").text


def raise_every_alert(consul, redis, key, factor, note=lambda what, seconds: None):
    """Make each fault: its alerts fire, and are resolved once it is mended. Returns their names.

    Calls `note` with the seconds that each of them took.
    """
    longest, raised = 60 + 1500 / factor, set()
    with Fleet(consul, redis, key) as fleet, Prometheus(consul, factor) as prometheus:
        everybody = dict.fromkeys(fleet.ids.values(), "up")
        wait_until(lambda: prometheus.targets() == everybody, longest, "the three instances to be scraped")
        wait_until(lambda: not prometheus.firing(), longest, "no alert")
        _look_at(prometheus, factor)
        with Discovery(consul) as discovery:
            places = {fleet.ids[name]: f"{site.url}/metrics" for name, site in fleet.sites.items()}
            wait_until(lambda: discovery.targets() == places, 60, "the shipped configuration to find the instances")
        for fault in (fleet.trouble, fleet.outage, fleet.nobody_left):
            with fault() as expected:
                _follow(expected, lambda each: each in prometheus.firing(), longest, "fires", note)
            _follow(expected, lambda each: each not in prometheus.firing(), longest, "is resolved", note)
            raised |= {name for name, _instance in expected}
    return raised


def _follow(alerts, reached, longest, what, note):
    began, missing = time.monotonic(), set(alerts)
    while missing:
        found = wait_until(lambda left=missing: set(filter(reached, left)), longest, f"each of {missing}: it {what}")
        for name, instance in found:
            note(f"{name} of {instance or 'all'} {what}", time.monotonic() - began)
        missing = missing - found


def _look_at(prometheus, factor):
    """Each panel of the dashboard shows something."""
    board = json.loads(shipped("dashboard.json"))
    names = {"$job": identity.NAME, "$__rate_interval": f"{60_000 // factor}ms"}
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = re.sub(r"\$\w+", lambda found: names[found[0]], target["expr"])
            wait_until(lambda e=expression: prometheus.query(e), 60, f"{panel['title']} to show {expression}")

"""Instances that register themselves, and the visitors that find them in Consul. Shared by tests and soak."""

import threading
import time

import requests

from demo_site.identity import NAME
from tests.support.waiting import wait_until
from tests.support.workers import NUMBER

REGISTRATION = b"PUT /v1/agent/service/register"


def registrations(proxy):
    """How many registrations went through this proxy to the agent."""
    return bytes(proxy.seen).count(REGISTRATION)


def service_id(consul, name=NAME):
    """The id of the one instance that the agent holds."""
    [found] = [key for key, service in consul.agent_services().items() if service["Service"] == name]
    return found


def check_statuses(consul, name=NAME):
    """`{"ready": status, "alive": status}` of the one instance in the catalog."""
    [instance] = consul.health(name)
    return {check["Name"].split()[0]: check["Status"] for check in instance["Checks"] if check["ServiceID"]}


def seconds_until_passing(consul, count=1, bound=30, name=NAME):
    """Wait until so many instances are passing in the catalog; the seconds that it took."""
    began = time.monotonic()

    def passing():
        return len(consul.health(name, passing=True)) == count

    wait_until(passing, bound, f"{count} passing instances", ignoring=(requests.RequestException,))
    return time.monotonic() - began


class Visitors:
    """Threads that ask Consul for a passing instance before each request, and note every request that failed.

    Half of them keep their connections, half open one for each request. `numbers` are those that the pages showed.
    """

    def __init__(self, consul, threads=4, pause=0.02):
        self._consul, self._pause = consul, pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.requests, self.failures, self.served_by, self.numbers = 0, [], set(), []
        self._threads = [threading.Thread(target=self._visit, args=[n % 2 == 0]) for n in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, requests_made, bound=600):
        """Wait until so many requests have been made."""
        wait_until(lambda: self.requests >= requests_made, bound, f"{requests_made} requests", interval=0.2)

    def _visit(self, keeps_connection):
        url = f"{self._consul.url}/v1/health/service/{NAME}?passing"
        with requests.Session() as agent, requests.Session() as kept:
            agent.trust_env = kept.trust_env = False
            turn = 0
            while not self._stop.wait(self._pause):
                turn += 1
                self._note(*self._request(agent, kept if keeps_connection else None, url, turn))

    def _request(self, agent, kept, url, turn):
        place = "nobody"
        try:
            instances = agent.get(url, timeout=10).json()
            if not instances:
                return place, "no passing instance"
            service = instances[turn % len(instances)]["Service"]
            place = f"{service['Address']}:{service['Port']}"
            headers = {} if kept else {"Connection": "close"}
            answer = (kept or requests).get(f"http://{place}/", timeout=10, headers=headers)
            page = NUMBER.match(answer.text)
            if answer.status_code != 200 or not page:
                return place, f"status {answer.status_code}"
            self.numbers.append(int(page[2]))
            return place, None
        except requests.RequestException as error:
            return place, repr(error)

    def _note(self, place, failure):
        with self._lock:
            self.requests += 1
            self.served_by.add(place)
            if failure:
                self.failures.append(f"{time.monotonic():.2f} {place}: {failure}")


def restart(site, consul, instances, start):
    """SIGTERM, wait for the end, start again, wait until it is back in the catalog. Returns the exit status."""
    status = site.stop()
    assert len(consul.health(NAME)) == instances - 1
    start()
    seconds_until_passing(consul, instances)
    return status

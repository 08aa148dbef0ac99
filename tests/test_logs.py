"""What the logs show of the requests, and that no text of a peer is more than text there."""

import json
import logging
import os
import re
import signal
import socket
from datetime import UTC, datetime, timedelta

import pytest

from demo_site import identity
from demo_site.messages import Message, _
from demo_site.serving.logs import LINE, Formatter, JsonFormatter
from tests.support.documents import document
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until


def test_health_checks_and_static_files_do_not_fill_the_log(environment, new_site):
    site = new_site(environment).runserver("--noreload")
    for path in ("/livez", "/readyz", "/static/admin/css/base.css", "/static/nowhere", "/nowhere", "/"):
        site.get(path)
    wait_until(lambda: '"GET / HTTP/1.1" 200' in site.log(), 30, "the page's line in the log")
    assert '"GET /nowhere HTTP/1.1" 404' in site.log()
    assert "/livez" not in site.log()
    assert "/readyz" not in site.log()
    assert "base.css" not in site.log()
    assert '"GET /static/nowhere HTTP/1.1" 404' in site.log()


def test_health_check_that_fails_is_logged(environment, new_site, own_redis, consul, config_key):
    consul.put(config_key, {"redis_config": own_redis.document(), "show_message": "hello"})
    site = new_site(environment).runserver("--noreload")
    own_redis.stop()
    assert site.get("/readyz").status_code == 503
    wait_until(lambda: '"GET /readyz HTTP/1.1" 503' in site.log(), 30, "the failed check in the log")


def record(message, *arguments, error=None, name="some"):
    info = error and (type(error), error, error.__traceback__)
    return logging.LogRecord(name, logging.INFO, "", 0, message, arguments, info)


def logged(message, *arguments, error=None):
    """The record as the log shows it."""
    return Formatter("{name}: {message}", style="{").format(record(message, *arguments, error=error))


@pytest.mark.parametrize("text", ["\x1b[31m", "\x9b2J", "\u202egnp.exe", "\x00\x07\x08", "\r\x85\u2028"])
def test_control_characters_and_writing_directions_are_shown_and_not_obeyed(text):
    line = logged("Redis says %s", text, error=ValueError(text))
    assert all(c.isprintable() or c == "\n" for c in line)
    assert ascii(text[0])[1:-1] in line


def test_text_of_a_peer_cannot_look_like_a_record():
    forged = "x\nsome: forged"
    lines = logged("Consul says %s", forged, error=ValueError(forged)).splitlines()
    assert [line for line in lines if not line.startswith("    ")] == ["some: Consul says x"]


@pytest.mark.parametrize("server", ["gunicorn", "runserver"])
def test_request_line_with_control_characters_never_reaches_the_log(environment, new_site, server):
    site = new_site(environment)
    site.gunicorn("--access-logfile", "-") if server == "gunicorn" else site.runserver("--noreload")
    for line in (b"GET /a\x1b[2J?q=\x1b[31m\x9b HTTP/1.1", b"GET /b%1b%5b2J?%9b HTTP/1.1", b"\x1b[2J\x9b / HTTP/1.1"):
        with socket.create_connection(("127.0.0.1", site.port), 30) as link:
            link.sendall(line + b"\r\nHost: localhost\r\nUser-Agent: \x1b[2J\r\nConnection: close\r\n\r\n")
            while link.recv(4096):
                pass
    site.get("/last")
    site.wait_logged("/last")
    assert all(c.isprintable() or c in "\n\t" for c in site.log())


# As JSON.


def parsed(message, *arguments, **options):
    """The record as the JSON log has it."""
    line = JsonFormatter().format(record(message, *arguments, **options))
    assert "\n" not in line and line.isascii()
    return json.loads(line, parse_constant=pytest.fail)


def test_time_has_its_zone_and_is_in_utc():
    line = Formatter(LINE, style="{").format(record("hello"))
    for shown in (re.match(r"\S+ \S+", line)[0], parsed("hello")["time"]):
        time = datetime.fromisoformat(shown)
        assert time.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)


def test_json_record_has_template_and_parameters():
    shown = parsed("%s of %d: %s", "one", 2, Message("Redis says %(words)s.", words="no"))
    assert shown["message"] == "one of 2: Redis says no."
    assert shown["template"] == "%s of %d: %s"
    nested = {"template": "Redis says %(words)s.", "parameters": {"words": "no"}}
    assert shown["parameters"] == {"1": "one", "2": 2, "3": nested}


@pytest.mark.parametrize(
    "arguments", [("%s", _("Redis says %(words)s.", words="no")), (_("Redis says %(words)s.", words="no"),)]
)
def test_message_stands_for_itself(arguments):
    shown = parsed(*arguments)
    assert (shown["template"], shown["parameters"]) == ("Redis says %(words)s.", {"words": "no"})


def test_of_a_mapping_only_what_the_template_names_is_logged():
    shown = parsed("%(h)s asks", {"h": "somebody", "{cookie}i": "sessionid=1"})
    assert (shown["message"], shown["parameters"]) == ("somebody asks", {"h": "somebody"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"\xff", object(), "\ud800\x1b[2J\u202e\x85\n", [1]])
def test_any_parameter_makes_one_line_of_json_that_no_terminal_obeys(value):
    shown = parsed("it is %s", value)
    assert all(c.isprintable() or c == "\n" for c in shown["message"] + str(shown["parameters"]["1"]))


def test_parameters_that_do_not_fit_make_a_record_too():
    assert parsed("%s and %s", 1)["message"] == "%s and %s"


def test_traceback_is_inside_the_object():
    try:
        raise ValueError("a\nb")
    except ValueError as error:
        shown = parsed("it failed", error=error)
    assert shown["exception"].startswith("Traceback") and shown["exception"].endswith("ValueError: a\nb")


MEMBERS = {"time", "level", "logger", "message", "template", "parameters", "pid", "instance"}


def records(text):
    """Each line of a JSON log, parsed."""
    found = [json.loads(line, parse_constant=pytest.fail) for line in text.removesuffix("\n").split("\n")]
    assert all(set(each) >= MEMBERS and isinstance(each["parameters"], dict) for each in found)
    return found


def send(site, *requests):
    """What is sent as it is, each on a connection of its own."""
    for raw in requests:
        with socket.create_connection(("127.0.0.1", site.port), 30) as link:
            link.sendall(raw)
            link.shutdown(socket.SHUT_WR)
            while link.recv(4096):
                pass


MALFORMED = (
    b"\x1b[2J\x9b\r\n\r\n",
    b"GET /a\x1b[2J?q=\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b'GET /"\\%22%0a{} HTTP/1.1\r\nHost: x\r\nUser-Agent: "\\\r\n\r\n',
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
)


@pytest.mark.parametrize("kind", [(), ("--worker-class", "gthread")], ids=["asgi", "gthread"])
def test_every_line_is_json_whatever_happens(own_consul, own_redis, config_key, new_site, kind):
    own_consul.put(config_key, document(own_redis))
    variables = {"CONSUL_HTTP_ADDR": own_consul.address, "DEMO_CONFIG_KEY": config_key, "DJANGO_LOG_FORMAT": "json"}
    site = new_site({**variables, "CONSUL_REGISTER": "1", "SERVICE_DRAIN_SECONDS": "0.1"})
    application = "demo_site.wsgi" if kind else None
    site.gunicorn("--access-logfile", "-", *kind, workers=2, application=application)
    site.wait_logged("Registered ")
    own_consul.put(config_key, b"{")
    site.wait_logged("was rejected")
    login, password = "/admin/login/", GUARD.new("typed password")
    site.get(login)
    token = {"csrfmiddlewaretoken": site._session.cookies["csrftoken"], "username": "u", "password": password}
    (site.directory / "db.sqlite3").write_bytes(b"no database " * 100)
    assert site.request("POST", login, data=token).status_code == 500
    send(site, *MALFORMED)
    site.get("/", headers={"User-Agent": '"\\', "Cookie": f"sessionid={password}"})
    own_redis.kill()
    assert site.get("/").status_code == 503
    os.kill(site.worker_pids()[0], signal.SIGKILL)
    site.wait_logged("SIGKILL")
    site.signal(signal.SIGHUP)
    wait_until(lambda: site.log().count("Booting worker") >= 5, message="new workers")
    own_consul.kill()
    site.wait_logged("refused the connection")
    site.get("/last")
    site.stop()
    found = records(site.log())
    assert {each["instance"] for each in found} == {f"{identity.NAME}-{socket.gethostname()}-{site.port}"}
    [crash] = [each for each in found if "file is not a database" in each.get("exception", "")]
    assert crash["logger"] == "django.request"
    loggers = {each["logger"] for each in found}
    assert {"gunicorn.error", "demo_site.config.status", "counter.hits"} <= loggers
    if not kind:
        [request] = [each["parameters"] for each in found if each["parameters"].get("path") == "/last"]
        assert (request["method"], request["status"]) == ("GET", 404)


@pytest.mark.parametrize("variables", [{}, {"SERVICE_PORT": "x"}], ids=["no key", "environment"])
def test_start_that_fails_is_a_record_too(consul, config_key, new_site, variables):
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key, "DJANGO_LOG_FORMAT": "json"})
    site.environment |= variables
    failed = site.failing_gunicorn()
    found = records(failed.stdout + failed.stderr)
    assert found[-1]["level"] == "CRITICAL"
    assert (config_key in found[-1]["message"]) == (not variables)


NOBODY_CATCHES = """
import logging, threading, warnings
logging.getLogger("a.library").error("it says %s", "so")
warnings.warn("this is old")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
class Failing:
    def __del__(self):
        raise KeyError("unseen")
Failing()
raise LookupError("at last")
"""


def test_what_nobody_handles_or_catches_is_a_record_too(environment, new_site):
    site = new_site(environment)
    found = records(site.command("shell", "-c", NOBODY_CATCHES, DJANGO_LOG_FORMAT="json").stderr)
    assert [each["logger"] for each in found[:2]] == ["a.library", "py.warnings"]
    raised = [each["exception"].splitlines()[-1] for each in found[2:]]
    assert raised == ["ZeroDivisionError: division by zero", "KeyError: 'unseen'", "LookupError: at last"]

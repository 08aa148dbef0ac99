"""What the logs show of the requests, and that no text of a peer is more than text there."""

import logging
import socket

import pytest

from demo_site.serving.logs import Formatter
from tests.support.waiting import wait_until


def test_health_checks_that_pass_do_not_fill_the_log(environment, new_site):
    site = new_site(environment).runserver("--noreload")
    for path in ("/livez", "/readyz", "/nowhere", "/"):
        site.get(path)
    wait_until(lambda: '"GET / HTTP/1.1" 200' in site.log(), 30, "the page's line in the log")
    assert '"GET /nowhere HTTP/1.1" 404' in site.log()
    assert "/livez" not in site.log()
    assert "/readyz" not in site.log()


def test_health_check_that_fails_is_logged(environment, new_site, own_redis, consul, config_key):
    consul.put(config_key, {"redis_config": own_redis.document(), "show_message": "hello"})
    site = new_site(environment).runserver("--noreload")
    own_redis.stop()
    assert site.get("/readyz").status_code == 503
    wait_until(lambda: '"GET /readyz HTTP/1.1" 503' in site.log(), 30, "the failed check in the log")


def logged(message, *arguments, error=None):
    """The record as the log shows it."""
    info = error and (type(error), error, error.__traceback__)
    return Formatter("{name}: {message}", style="{").format(
        logging.LogRecord("some", logging.INFO, "", 0, message, arguments, info)
    )


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

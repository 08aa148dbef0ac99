"""An exception that nobody foresaw: the document is rejected, with type and place, and the watch goes on."""

import re
import threading
from types import SimpleNamespace
from typing import Annotated

import pytest
from pydantic import AfterValidator, SecretStr

from demo_site.config import probing, watcher
from demo_site.config.live import Live
from demo_site.document import model, parsing
from demo_site.document.fields import Group, Setting
from demo_site.document.parsing import Fault
from demo_site.messages import _
from demo_site.redis_cache import probe
from tests.support.documents import document
from tests.support.following import Following
from tests.support.secrets import GUARD
from tests.support.waiting import wait_until


@pytest.fixture
def following(consul, redis, config_key):
    """A watch that has seen its first document."""
    consul.put(config_key, document(redis, "first"))
    made = Following(consul, config_key)
    assert made.step().state == "current"
    yield made
    made.close()


TEXT = "may hold a secret"


def fail(_argument=None, *_more):
    raise KeyError(TEXT)


def assert_rejected(following, index, where):
    """The document at this index is rejected with type and place, and what was in force before still is."""
    status = following.live.status
    assert status.state == "rejected"
    assert status.rejected.index == index
    [fault] = status.rejected.faults
    assert re.fullmatch(rf"{re.escape(where)}: an unexpected KeyError at [a-z]+\.py:\d+", fault)
    assert TEXT not in status.reason
    assert following.message == "first"


def test_an_exception_in_a_validator_rejects_the_document(following, consul, redis, config_key, monkeypatch):
    class Failing(model.Document):
        x: Annotated[str, AfterValidator(fail), Setting(_("X"), "x")] = ""

    monkeypatch.setattr(parsing, "Document", Failing)
    consul.put(config_key, document(redis, "second", x="text"))
    following.step(2)
    assert_rejected(following, consul.index(config_key), "(document)")
    consul.put(config_key, document(redis, "third"))
    assert following.step().state == "current"
    assert following.message == "third"


def test_an_exception_in_a_probe_rejects_the_document_until_it_passes(
    following, consul, redis, config_key, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(probe, "faults", fail)
        consul.put(config_key, document(redis, "second", redis_config=redis.document(redis_db=1)))
        following.step(2)
        assert_rejected(following, consul.index(config_key), "redis_config")
        assert following.pause < watcher.LEAST_PAUSE_SECONDS * 2
    assert following.step().state == "current"
    assert following.message == "second"


@pytest.mark.parametrize("answer", [None, 5, ["text"], [("a", "b", "c")]])
def test_a_probe_that_answers_something_else_rejects_the_document(redis, monkeypatch, answer):
    monkeypatch.setattr(probe, "faults", lambda _config: answer)
    [fault] = probing.faults(model.Document.model_validate(document(redis)))
    assert str(fault).startswith("redis_config: an unexpected ")


@pytest.mark.parametrize("part", ["replace", "retire"])
def test_an_exception_in_the_swap_is_got_over(following, consul, own_redis, config_key, monkeypatch, part, caplog):
    live = following.live
    with monkeypatch.context() as patch:
        if part == "replace":
            patch.setattr(Live, "replace", fail)
        else:
            patch.setattr(live.in_force.client, "retire", fail)
        consul.put(config_key, document(own_redis, "second"))
        assert following.step().state == "rejected"
        assert "an unexpected KeyError at " in live.status.reason
        assert TEXT not in caplog.text + live.status.reason
    assert following.step().state == "current"
    assert (following.message, following.redis_port) == ("second", own_redis.port)


def test_an_exception_in_the_watch_is_shown_as_stale_and_got_over(
    following, consul, redis, config_key, monkeypatch, caplog
):
    monkeypatch.setattr(watcher, "MOST_PAUSE_SECONDS", 0.01)
    live, broken = following.live, threading.Event()
    opened = []

    start = live.start

    def open_client(timeouts, on_answer):
        opened.append(on_answer)
        if broken.is_set():
            fail()
        return start.open_client(timeouts, on_answer=on_answer)

    broken.set()
    live.start = SimpleNamespace(open_client=open_client, key=config_key)
    threading.Thread(target=watcher.run, args=(following.follower,), daemon=True).start()
    wait_until(lambda: live.status.state == "stale", message="the fault to show")
    assert "the watch failed: an unexpected KeyError at watcher.py:" in live.status.explanation
    count = len(opened)
    wait_until(lambda: len(opened) > count + 2, message="the watch to start again and again")
    assert live.status.state == "stale"
    assert TEXT not in caplog.text
    broken.clear()
    consul.put(config_key, document(redis, "second"))
    wait_until(lambda: (live.status.state, following.message) == ("current", "second"), message="the watch to be back")


# What a probe repeats of what it was given.


class Own(Group, probe="tests.test_unforeseen.failing_probe"):
    token: Annotated[SecretStr, Setting(_("Token"), "x")] = SecretStr("")


def failing_probe(group):
    reason = f"GET /?token={group.token.get_secret_value()} failed"
    return [Fault("token", _("the API at %(url)s answers %(reason)s", url="http://api", reason=reason))]


def test_a_probe_that_repeats_a_secret_does_not_make_it_public(redis, monkeypatch):
    class Document(model.Document):
        own: Own

    token = GUARD.new("token of an own probe")
    [fault] = probing.faults(Document.model_validate(document(redis, own={"token": token})))
    assert str(fault) == "own.token: the API at http://api answers GET /?token=•••••••• failed"
    GUARD.check(repr(fault.message.as_json()), "the fault of a probe")

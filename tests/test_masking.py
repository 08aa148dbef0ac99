"""The masker: what it hides in texts that others write, and what that costs at worst."""

import time
from functools import partial
from types import SimpleNamespace

import pytest
from django.utils.crypto import salted_hmac
from pydantic import SecretStr

from demo_site.config import masking
from demo_site.consul_agent.address import AgentAddress
from demo_site.environment import Environment
from tests.support.documents import document
from tests.support.secrets import GUARD

MANY = 20_000
WORST = ["?", "&", "?password=", "://", "://:", "://@", ":", "@", "://a:", "://a@", "?a=b", "a", "password="]


@pytest.fixture
def masker(monkeypatch):
    start = SimpleNamespace(address=AgentAddress.from_environ({}))
    there = {"SECRET_KEY": "", "DATABASES": {"default": {}}, "CONFIGURATION": SimpleNamespace(start=start)}
    monkeypatch.setattr(masking, "settings", SimpleNamespace(**there))
    monkeypatch.setattr(masking, "salted_hmac", partial(salted_hmac, secret="of the tests"))
    return masking.Masker(Environment({}))


def seconds(masker, text):
    """CPU time of the quickest of several attempts."""
    times = []
    for _ in range(5):
        began = time.process_time()
        masker.clean(text)
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("piece", WORST)
@pytest.mark.parametrize("before", ["", "http://", "http://a:b"], ids=repr)
def test_time_grows_with_the_length_and_not_with_its_square(masker, before, piece):
    once, twice = (before + piece * (count // len(piece)) for count in (MANY, 2 * MANY))
    assert seconds(masker, twice) < 2.5 * seconds(masker, once) + 0.01


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgres://user:1234#secret@host/name", "1234#secret"),
        ("postgres://user:1234?secret@host/name", "1234?secret"),
        ("postgres://user:first@second@host/name", "first@second"),
        ("postgres://user:first:second@host/name", "first:second"),
        ("postgres://:secret@host/name", "secret"),
        ("see http://a.example, then redis://user:secret@host:6379/0 again", "secret"),
        ("http://host/name?sslpassword=secret&a=b", "secret"),
        ("http://host/name??a=b&password=secret", "secret"),
    ],
)
def test_password_of_a_url_is_masked_and_the_rest_stays(masker, url, password):
    assert masker.clean(url) == url.replace(password, masker.mask(password))


@pytest.mark.parametrize("text", ["http://host:80/a@b:c", "http://user@host/", "http://host", "a:b@c", "http://u:@h"])
def test_text_without_a_password_stays(masker, text):
    assert masker.clean(text) == text


SECRET = "correct-horse"


@pytest.fixture
def knowing(masker, monkeypatch):
    """A masker that knows these secrets."""

    def make(*known):
        return masking.Masker(Environment({}), {f"secret_{number}": SecretStr(one) for number, one in enumerate(known)})

    return make


@pytest.mark.parametrize("text", ["{}", "password={}", "({})", "AUTH '{}'.", "{}, and {}", "a\n{}\nb", "é {}"])
def test_secret_that_stands_as_a_whole_is_masked(knowing, text):
    masker = knowing(SECRET)
    assert masker.clean(text.replace("{}", SECRET)) == text.replace("{}", masker.mask(SECRET))


@pytest.mark.parametrize("text", ["my{}", "{}s", "_{}", "é{}", "{}1"])
def test_secret_inside_a_longer_word_is_part_of_that_word(knowing, text):
    text = text.replace("{}", SECRET)
    assert knowing(SECRET).clean(text) == text


@pytest.mark.parametrize("secret", ["@:/%,#é+!", "--------", "$1\\1(x)[y]", " in two words "])
def test_secret_of_signs_is_masked_whatever_stands_beside_it(knowing, secret):
    masker = knowing(secret)
    assert masker.clean(f"«{secret}»") == f"«{masker.mask(secret)}»"


def test_short_secret_is_masked_by_its_type_only(knowing):
    masker = knowing("hello12")
    assert masker.clean("hello12 world") == "hello12 world"
    assert masking.show(SecretStr("hello12"), masker).withheld


@pytest.mark.parametrize("secret", ["-" * 100 + "x", "-" * 5000 + "x", "a-" * 60, "a" * 100, "é" * 100])
@pytest.mark.parametrize("piece", ["-", "a-", "a", "é"])
def test_time_of_a_known_secret_grows_with_the_length(knowing, secret, piece):
    masker = knowing(secret)
    once, twice = (secret + piece * count for count in (MANY, 2 * MANY))
    assert seconds(masker, twice) < 2.5 * seconds(masker, once) + 0.01


def test_representation_of_the_environment_has_no_value():
    given = {
        "CONSUL_HTTP_TOKEN": GUARD.new("token"),
        "DJANGO_SECRET_KEY_FALLBACKS": GUARD.new("fallback"),
        "DATABASE_URL": f"postgres://user:{GUARD.new('database password')}@host/name",
    }
    shown = GUARD.check(repr(Environment(given)), "the environment's representation")
    assert all(name in shown for name in given)


# What people are shown.


@pytest.mark.slow
def test_no_command_shows_the_password_of_the_databases_url_whatever_is_in_it(environment, new_site):
    """`command` looks for it."""
    password = GUARD.new("database password", separator="?")
    site = new_site({**environment, "DATABASE_URL": f"postgres://user:1234#{password}@host/name"})
    site.command("effective_config", "--format", "json")


@pytest.mark.slow
def test_short_password_of_the_document_is_masked_and_words_like_it_are_not(consul, redis, config_key, new_site):
    site = new_site({"CONSUL_HTTP_ADDR": consul.address, "DEMO_CONFIG_KEY": config_key})
    consul.put(config_key, document(redis, "hello12 world", redis_config=redis.document(redis_password="hello12")))
    shown = site.command("effective_config", "--format", "json").stdout
    assert "hello12 world" in shown
    assert shown.count("hello12") == 1

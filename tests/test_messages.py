"""Messages: English sentences that remember their template and parameters."""

import copy
import json
import pickle

import pytest

from demo_site.messages import LONGEST_TEXT, Message, _, escaped, joined, translated, unforeseen

GERMAN = {
    "Consul at %(place)s is away: %(reason)s.": "Consul ist weg, und zwar %(reason)s, bei %(place)s.",
    "the disk is full": "die Platte ist voll",
}
REASON = _("the disk is full")
WHOLE = _("Consul at %(place)s is away: %(reason)s.", place="127.0.0.1", reason=REASON)


def german(template):
    return GERMAN.get(template, template)


def test_a_message_is_its_english_text():
    assert WHOLE == "Consul at 127.0.0.1 is away: the disk is full."
    assert json.loads(json.dumps({"reason": WHOLE})) == {"reason": str(WHOLE)}


def test_messages_inside_it_are_translated_with_it():
    assert WHOLE.translated(german) == "Consul ist weg, und zwar die Platte ist voll, bei 127.0.0.1."
    assert joined([WHOLE, REASON]).translated(german).endswith("127.0.0.1.; die Platte ist voll")


def test_the_words_of_other_programs_are_never_translated():
    message = _("Consul at %(place)s is away: %(reason)s.", place="x", reason="the disk is full")
    assert "the disk is full" in message.translated(german)
    assert translated("the disk is full", german) == "the disk is full"


@pytest.mark.parametrize("text", ["%(place)s", "100%", "%s %d %(x)1000000s", "{place}"])
def test_the_words_of_other_programs_are_never_interpreted(text):
    message = _("Consul at %(place)s is away: %(reason)s.", place="x", reason=text)
    assert message == f"Consul at x is away: {text}."
    assert Message(text) == text
    assert joined([text]).translated(german) == text


def test_the_words_of_other_programs_lose_control_characters_and_are_cut():
    message = _("it says %(words)s", words="\x1b[31mred\n\x00" + "x" * 10_000)
    assert message.isprintable()
    assert len(message) == len("it says ") + LONGEST_TEXT
    assert message.endswith("x...")


def test_numbers_stay_numbers():
    assert _("%(count)s of %(most)s", count=3, most=None).parameters == {"count": 3, "most": None}


@pytest.mark.parametrize("message", [REASON, WHOLE, joined([WHOLE, REASON, "text"]), _("%(n)s times", n=3)])
def test_what_another_process_wrote_is_the_same_message(message):
    for again in (
        Message.from_json(json.loads(json.dumps(message.as_json()))),
        pickle.loads(pickle.dumps(message)),  # noqa: S301
        copy.deepcopy(message),
    ):
        assert again == message
        assert again.translated(german) == message.translated(german)


def deep(levels):
    value = REASON.as_json()
    for _level in range(levels):
        value = {"template": "%(a)s", "parameters": {"a": value}}
    return value


@pytest.mark.parametrize(
    "value",
    [
        *[None, "text", [], {}, {"template": 1, "parameters": {}}, {"template": "x"}],
        {"template": "%(a)999999999s", "parameters": {"a": "x"}},
        {"template": "%(a)s %(a)s", "parameters": {"a": "x"}},
        {"template": "%(a)s", "parameters": {}},
        {"template": "%(a)s", "parameters": {"a": "x", "b": "y"}},
        {"template": "%(a)s", "parameters": {"a": ["x"]}},
        {"template": "100%", "parameters": {}},
        {"template": "x" * 10_000, "parameters": {}},
        deep(50),
    ],
    ids=repr,
)
def test_what_is_no_message_is_refused(value):
    with pytest.raises(ValueError):
        Message.from_json(value)


def test_replacing_reaches_every_parameter():
    message = WHOLE.replaced(lambda value: "***" if value == "127.0.0.1" else value)
    assert message.translated(german) == "Consul ist weg, und zwar die Platte ist voll, bei ***."


def test_an_unexpected_exception_is_named_by_type_and_place_and_not_by_its_text():
    def fail():
        raise LookupError("a secret")

    with pytest.raises(LookupError) as caught:
        fail()
    message = unforeseen(caught.value)
    assert message.startswith("an unexpected LookupError at test_messages.py:")
    assert "secret" not in message


def test_outline_for_strangers_has_our_words_places_and_numbers_and_nothing_else():
    problem = _("the Redis at %(place)s refuses it (%(reason)s)", place="10.0.0.1:6379", reason="WRONGPASS")
    fault = _("%(path)s: %(problem)s", path="redis_config.redis_password", problem=problem)
    whole = _("version %(index)s was rejected: %(faults)s", index=7, faults=joined([fault, "text"]))
    assert whole.outline() == ("version 7 was rejected: redis_config.redis_password: the Redis at … refuses it (…); …")
    assert _("must be at least %(ge)s", ge=1).outline() == "must be at least 1"
    assert Message.of("another program's words").outline() == "…"
    assert _("CONSUL_HTTP_TOKEN_FILE %(path)s cannot be read", path="/etc/token").outline() == (
        "CONSUL_HTTP_TOKEN_FILE … cannot be read"
    )


def test_printable_text_keeps_its_lines_and_shows_the_rest():
    assert escaped("a\tb\nc") == "a\tb\nc"
    assert escaped("\x1b[31m\u202e\x9b\r\u2028") == r"\x1b[31m\u202e\x9b\r\u2028"

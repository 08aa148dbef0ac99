"""The page that counts its views."""

import base64
import hashlib
from pathlib import Path

from django.template.loader import render_to_string
from django.utils import translation

from demo_site.answer import Answer, Ask, Headers

from . import hits

# The style is inline, so that one request fetches everything; the policy allows this style and nothing else.
_STYLE = (Path(__file__).parent / "templates" / "counter" / "style.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
)
_OUT_OF_REACH = translation.gettext_noop("The counter is out of reach. Please try again in a moment.")
_HEADERS = ((b"Cache-Control", b"no-store"), (b"Vary", b"Accept"), (b"X-Content-Type-Options", b"nosniff"))
_TEXT = ((b"Content-Type", b"text/plain; charset=utf-8"), *_HEADERS)
_PAGE = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    *_HEADERS,
    (b"Content-Security-Policy", _POLICY.encode()),
)
_RETRY = (b"Retry-After", b"1")


async def index(ask: Ask) -> Answer:
    """GET counts and shows the number: one line of text, or a page for a browser. HEAD counts nothing."""
    if ask.method == "HEAD":
        return _answer(ask, "")
    try:
        hit = await hits.count()
    except hits.CountingFailed:
        return _answer(ask, _OUT_OF_REACH, status=503)
    return _answer(ask, f"{hit.document.show_message}! I have been seen {hit.number} times.", number=hit.number)


def _answer(ask: Ask, sentence: str, status: int = 200, number: int | None = None) -> Answer:
    headers: Headers
    if "text/html" in ask.accept:
        headers, body = _PAGE, _page(ask.language(), sentence, status, number)
    else:
        headers, body = _TEXT, f"{sentence}\n" if sentence else ""
    return Answer(status, (*headers, _RETRY) if status == 503 else headers, body.encode())


def _page(language: str, sentence: str, status: int, number: int | None) -> str:
    """The page in the visitor's language, with `number` above the sentence. The counted sentence is not translated."""
    # No middleware for this: a line of text needs no language.
    with translation.override(language):
        shown = translation.gettext(sentence) if sentence == _OUT_OF_REACH else sentence
        context = {"sentence": shown, "number": number, "style": _STYLE, "failed": status != 200}
        return render_to_string("counter/index.html", context)

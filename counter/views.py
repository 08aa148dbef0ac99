"""The page that counts its views."""

import base64
import hashlib
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.http import require_safe

from . import hits

# The style is inline, so that one request fetches everything; the policy allows this style and nothing else.
_STYLE = (Path(__file__).parent / "templates" / "counter" / "style.css").read_text()
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
)
_OUT_OF_REACH = translation.gettext_noop("The counter is out of reach. Please try again in a moment.")


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """GET counts and shows the number: one line of text, or a page for a browser. HEAD counts nothing."""
    if request.method == "HEAD":
        return _answer(request, "")
    try:
        hit = hits.count()
    except hits.CountingFailed:
        return _answer(request, _OUT_OF_REACH, status=503)
    return _answer(request, f"{hit.document.show_message}! I have been seen {hit.number} times.", number=hit.number)


def _answer(request: HttpRequest, sentence: str, status: int = 200, number: int | None = None) -> HttpResponse:
    if "text/html" in request.META.get("HTTP_ACCEPT", ""):
        response = _page(request, sentence, status, number)
    else:
        line = f"{sentence}\n".encode() if sentence else b""
        response = HttpResponse(line, content_type="text/plain; charset=utf-8", status=status)
    if request.method == "GET":
        response["Content-Length"] = len(response.content)
    response["Cache-Control"] = "no-store"
    response["Vary"] = "Accept"
    response["X-Content-Type-Options"] = "nosniff"
    if status == 503:
        response["Retry-After"] = "1"
    return response


def _page(request: HttpRequest, sentence: str, status: int, number: int | None) -> HttpResponse:
    """The page in the visitor's language, with `number` above the sentence. The counted sentence is not translated."""
    # No middleware for this: a line of text needs no language.
    with translation.override(translation.get_language_from_request(request)):
        shown = translation.gettext(sentence) if sentence == _OUT_OF_REACH else sentence
        context = {"sentence": shown, "number": number, "style": _STYLE, "failed": status != 200}
        response = render(request, "counter/index.html", context, status=status)
    response["Content-Security-Policy"] = _POLICY
    return response

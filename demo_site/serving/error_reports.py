"""Django's error pages with DEBUG on: without what a masker knows, in locals, settings, requests and exceptions."""

from collections.abc import Callable, ItemsView
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.utils.datastructures import MultiValueDict
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from ..config.masking import Masker
from .logs import masker


class ReporterFilter(SafeExceptionReporterFilter):
    def is_active(self, request: HttpRequest | None) -> bool:
        """With DEBUG too."""
        return True

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> ItemsView[str, Any]:
        """Masked before Django makes text of the values and cuts it, which could leave half of a secret."""
        variables, masks = super().get_traceback_frame_variables(request, tb_frame), masker(request)
        return {
            name: self.cleansed_substitute if self.hidden_settings.search(name) else _clean(value, masks)
            for name, value in variables
        }.items()


class Reporter(ExceptionReporter):
    """Masks the data before they are escaped, and the page once more: it shows the text of objects, too.

    What was safe HTML stays so: a mask is no markup.
    """

    def get_traceback_data(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = _clean(super().get_traceback_data(), masker(self.request))
        return cleaned

    def get_traceback_html(self) -> SafeString:
        safe = super().get_traceback_html()
        return type(safe)(masker(self.request).clean(safe))

    def get_traceback_text(self) -> SafeString:
        safe = super().get_traceback_text()
        return type(safe)(masker(self.request).clean(safe))


class MaskedErrorsMiddleware:
    """Masks Django's other pages with DEBUG on, such as the 404 that repeats the path."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not settings.DEBUG:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_text = response.headers.get("Content-Type", "").startswith("text/")
        if response.status_code >= 400 and is_text and not response.streaming:
            response.content = masker(request).clean(response.content.decode()).encode()
            response.headers["Content-Length"] = str(len(response.content))
        return response


def _clean(value: Any, masks: Masker, depth: int = 8) -> Any:
    """With every text in it masked; what is deeper, and what objects say of themselves, is when the page is text."""
    if isinstance(value, (str, BaseException)):  # an exception: a cause
        return masks.clean(str(value))
    if isinstance(value, dict) and not isinstance(value, MultiValueDict) and depth:
        return {key: _clean(item, masks, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)) and depth:
        return [_clean(item, masks, depth - 1) for item in value]
    return value

from typing import Any

from django.core.management.commands.diffsettings import Command as DiffsettingsCommand

from ...serving.error_reports import ReporterFilter
from ...serving.logs import masker


class Command(DiffsettingsCommand):
    """Django's, without secrets: people copy what it prints into reports."""

    def output_hash(self, user_settings: dict[str, str], default_settings: dict[str, str], **options: Any) -> list[str]:
        return super().output_hash(_masked(user_settings, default_settings), default_settings, **options)

    def output_unified(
        self, user_settings: dict[str, str], default_settings: dict[str, str], **options: Any
    ) -> list[str]:
        return super().output_unified(_masked(user_settings, default_settings), default_settings, **options)


def _masked(user_settings: dict[str, str], default_settings: dict[str, str]) -> dict[str, str]:
    """As on Django's page of an error: by the setting's name, and by what a masker knows."""
    safe, masks = ReporterFilter().get_safe_settings(), masker()
    return {
        name: text if text == default_settings.get(name) else masks.clean(repr(safe[name]))
        for name, text in user_settings.items()
    }

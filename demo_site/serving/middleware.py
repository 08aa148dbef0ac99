"""WhiteNoise, without its warning where `collectstatic` was never run."""

from pathlib import Path

from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """Serves the admin's static files from where they are installed."""

    def add_files(self, root: str, prefix: str | None = None) -> None:
        """Without a `collectstatic` there is no such folder, and nothing to warn of: the finders know the files."""
        if Path(root).is_dir():
            super().add_files(root, prefix)

"""Update the translation catalogs from the messages of the code and the templates.

They contain no dates, files or lines, and are sorted by message, so that they change only where a message does.
"""

import os
import re
import tempfile
from pathlib import Path

from processes import checked

APPS = ("demo_site", "counter")
FORM = ("--no-location", "--no-wrap", "--sort-output")


def update(root: Path, python: Path) -> int:
    """Update the catalogs of the apps in `root`; the number of untranslated messages. Raises Failed.

    A new message gets no translation, not even that of a similar one; one that no longer exists is dropped.
    """
    return sum(_update_app(root / app, python) for app in APPS)


def _update_app(app: Path, python: Path) -> int:
    catalogs = sorted(app.glob("locale/*/LC_MESSAGES/django.po"))
    messages = app / "locale" / "django.pot"
    # Django extracts the messages. It would write dates into the catalogs, so all of them are excluded.
    excluded = [f"--exclude={catalog.parents[1].name}" for catalog in catalogs]
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    try:
        django = [str(python), "-m", "django"]
        checked([*django, "makemessages", "--keep-pot", *excluded], environment=environment, directory=app)
        return sum(_update(catalog, messages) for catalog in catalogs)
    finally:
        messages.unlink(missing_ok=True)


def _update(catalog: Path, messages: Path) -> int:
    header = _parts(catalog)[0]
    with tempfile.TemporaryDirectory() as directory:
        merged = Path(directory) / "merged.po"
        checked(["msgmerge", "--quiet", "--no-fuzzy-matching", *FORM, "-o", merged, catalog, messages])
        checked(["msgattrib", "--no-obsolete", *FORM, "-o", merged, merged])
        entries = _parts(merged)[1]
    catalog.write_text(f"{header}\n\n{entries}", encoding="utf-8")
    checked(["msgfmt", "--check-format", "-o", catalog.with_suffix(".mo"), catalog])
    return len(re.findall(r'^msgstr(\[0\])? ""\n(?!")', entries, re.MULTILINE))


def _parts(catalog: Path) -> tuple[str, str]:
    """The header of a catalog, which is written by hand, and its entries."""
    header, _, entries = catalog.read_text(encoding="utf-8").partition("\n\n")
    return header, entries

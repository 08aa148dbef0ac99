"""A site whose document has a member of each supported type besides its own: each is one line of the model."""

import json
import shutil
from html.parser import HTMLParser
from types import ModuleType

from tests.support.admin import AdminSite
from tests.support.binaries import PROJECT

_MODEL = "demo_site/document/model.py"
_GROUPS = """
class Features(Group):
    dark: Annotated[bool, Setting(_("Dark"), "own")] = False
    weight: Annotated[float, Setting(_("Weight"), "own")] = 1.5


class Limits(Group):
    most: Annotated[int, Field(ge=1), Setting(_("Most"), "own")]
    soft: Annotated[bool, Setting(_("Soft"), "own")]
    key: Annotated[SecretStr | None, Setting(_("Key of the limits"), "own")] = None
    note: Annotated[str, Setting(_("Note"), "own")] = "nothing"


class Third(Group):
    name: Annotated[str, Setting(_("Name"), "own")]
    token: Annotated[SecretStr | None, Setting(_("Token"), "own")] = None


class Second(Group):
    third: Third


class First(Group):
    second: Second
    aside: Second | None = None


"""
_MEMBERS = """
    text: Annotated[str, Field(min_length=2, max_length=20), Setting(_("Text"), "own", example="text")]
    text_optional: Annotated[str | None, Setting(_("Optional text"), "own")] = None
    text_lines: Annotated[str | None, Setting(_("Text of several lines"), "own", multiline=True)] = None
    text_default: Annotated[str, Setting(_("Text with a default"), "own")] = "a default"
    int_required: Annotated[int, Field(ge=1, le=9), Setting(_("Whole number"), "own")]
    int_default: Annotated[int, Field(gt=0, lt=10), Setting(_("Whole number with a default"), "own")] = 3
    int_optional: Annotated[int | None, Setting(_("Optional whole number"), "own")] = None
    float_required: Annotated[float, Field(ge=0, le=10), Setting(_("Number"), "own")]
    float_default: Annotated[float, Field(gt=0, lt=2.5), Setting(_("Number with a default"), "own")] = 0.5
    bool_required: Annotated[bool, Setting(_("Switch"), "own")]
    bool_off: Annotated[bool, Setting(_("Switch, off by default"), "own")] = False
    bool_on: Annotated[bool, Setting(_("Switch, on by default"), "own")] = True
    bool_optional: Annotated[bool | None, Setting(_("Optional switch"), "own")] = None
    secret_required: Annotated[SecretStr, Setting(_("Secret"), "own", example="change me")]
    secret_optional: Annotated[SecretStr | None, Setting(_("Optional secret"), "own")] = None
    secret_bounded: Annotated[Annotated[SecretStr, Field(min_length=8)] | None, Setting(_("Long secret"), "own")] = None
    choice_required: Annotated[Literal["low", "high"], Setting(_("Choice"), "own")]
    choice_default: Annotated[Literal["fast", "safe"], Setting(_("Choice with a default"), "own")] = "safe"
    choice_number: Annotated[Literal[1, 2, 3], Setting(_("Choice of numbers"), "own")] = 1
    list_required: Annotated[list[str], Field(min_length=1), Setting(_("List"), "own", example=["one"])]
    list_default: Annotated[list[str], Field(max_length=3), Setting(_("List with a default"), "own")] = ["one", "two"]
    list_optional: Annotated[list[Annotated[str, Field(max_length=60)]] | None, Setting(_("Lists"), "own")] = None
    features: Features
    limits: Limits | None = None
    first: First
"""

# The smallest document has these beside those of the site.
SMALLEST = {
    "text": "text",
    "int_required": 1,
    "float_required": 5,
    "bool_required": True,
    "choice_required": "low",
    "list_required": ["one"],
    "features": {},
    "first": {"second": {"third": {"name": "deep"}}},
}
# What the settings come to that it does not have.
DEFAULTS = {
    "text_optional": None,
    "text_lines": None,
    "text_default": "a default",
    "int_default": 3,
    "int_optional": None,
    "float_default": 0.5,
    "bool_off": False,
    "bool_on": True,
    "bool_optional": None,
    "secret_optional": None,
    "secret_bounded": None,
    "choice_default": "safe",
    "choice_number": 1,
    "list_default": ["one", "two"],
    "list_optional": None,
    "features.dark": False,
    "features.weight": 1.5,
    "limits.most": None,
    "limits.soft": None,
    "limits.key": None,
    "limits.note": None,
    "first.second.third.token": None,
    "first.aside.third.name": None,
    "first.aside.third.token": None,
}


def own_project(directory):
    """A copy of the project with these members in its model."""
    for name in ("demo_site", "counter"):
        shutil.copytree(PROJECT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "gunicorn.conf.py"):
        shutil.copy(PROJECT / name, directory)
    (directory / _MODEL).write_text(_source())
    return directory


def own_model():
    """The module of such a model, in this process."""
    module = ModuleType("demo_site.document.own_model")
    module.__package__ = "demo_site.document"
    exec(compile(_source(), _MODEL, "exec"), module.__dict__)  # noqa: S102 (our own)
    return module


def _source():
    text = (PROJECT / _MODEL).read_text()
    for old, new in {
        "import Annotated, Any\n": "import Annotated, Any, Literal\n",
        "class Document(Group):\n": f"{_GROUPS.lstrip()}class Document(Group):\n",
        "\n\nFIELDS:": f"{_MEMBERS.rstrip()}\n\n\nFIELDS:",
    }.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in the model"
        text = text.replace(old, new)
    return text


class OwnSite(AdminSite):
    """The site in such a copy."""

    def rows(self, **variables):
        """The settings as `effective_config --format json` has them, by path."""
        printed = self.command("effective_config", "--format", "json", **variables)
        assert printed.status == 0, printed.stderr
        return {row["setting"]: row for row in json.loads(printed.stdout)}


class Form(HTMLParser):
    """A form as a browser has it. `data` is what it would send as it is, `errors` and `notes` are by setting.

    `fields` maps each field's name to its kind: text, password, number, checkbox, radio, hidden, textarea or select.
    """

    def __init__(self, page):
        super().__init__()
        self.page, self.data, self.fields, self.attributes, self.errors, self.notes = page, {}, {}, {}, {}, {}
        self._setting = self._area = self._select = self._text = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        name = given.get("name")
        self._setting = given.get("data-field", self._setting)
        if tag == "input" and name:
            self._add(name, given["type"], given)
            if given["type"] not in ("checkbox", "radio") or "checked" in given:
                self.data[name] = given.get("value", "on" if given["type"] == "checkbox" else "")
        elif tag == "textarea":
            self._area = name
            self.data[name] = ""
            self._add(name, tag, given)
        elif tag == "select":
            self._select = name
            self._add(name, tag, given)
        elif tag == "option" and (name := self._select) and (name not in self.data or "selected" in given):
            self.data[name] = given["value"]
        elif tag == "ul" and "errorlist" in given.get("class", ""):
            self._text = self.errors
        elif tag == "div" and given.get("class") == "help":
            self._text = self.notes

    def _add(self, name, kind, attributes):
        self.fields[name], self.attributes[name] = kind, attributes

    def handle_data(self, data):
        if self._area:
            self.data[self._area] += data
        elif self._text is not None and data.strip():
            known = self._text.get(self._setting, "")
            self._text[self._setting] = " ".join([*known.split(), *data.split()])

    def handle_endtag(self, tag):
        if tag == "textarea":
            self.data[self._area] = self.data[self._area].removeprefix("\n")
            self._area = None
        elif tag == "select":
            self._select = None
        elif tag in ("ul", "div"):
            self._text = None


class _Table(HTMLParser):
    def __init__(self, page, mark):
        super().__init__()
        self.rows, self._mark, self._cells, self._inside = {}, mark, None, False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "tr":
            self._cells = self.rows.setdefault(given[self._mark], []) if self._mark in given else None
        elif tag == "td" and self._cells is not None and given.get("class") != "choice":
            self._cells.append("")
            self._inside = True
        elif tag == "br" and self._inside:
            self._cells[-1] += "\n"

    def handle_data(self, data):
        if self._inside:
            self._cells[-1] += data.strip("\n")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "td"


def cells(page, mark):
    """The cells with values of each table row with the attribute `data-...` that `mark` names, by its value."""
    return {name: tuple(found) for name, found in _Table(page, f"data-{mark}").rows.items()}

"""The pages, as tests compare them with the code: their sections and tables, and the names that this service has."""

import re

from demo_site import identity
from tests.support.binaries import PROJECT


def section(text, heading):
    """The text between a heading and the next one of the same or a higher level."""
    marks = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert marks, f"no heading {heading!r}"
    rest = text[marks.end() :]
    following = re.search(rf"^#{{1,{len(marks[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def rows(text):
    """The cells of all tables in the text, headings left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]
    ends = [i for i, row in enumerate(cells) if set(row[0]) == {"-"}]
    return [row for i, row in enumerate(cells) if i not in ends and i + 1 not in ends]


def defaults(text):
    """The environment variables of a README with their defaults."""
    return {row[0].strip("`"): row[1].strip("`") for row in rows(section(text, "Environment"))}


def renamed(text):
    """The text with this service's names where it has those of the README's table.

    Whoever renames the service has the tests pass before the README is rewritten.
    """
    documented = defaults(PUBLISHED)
    names = {documented["SERVICE_NAME"]: identity.NAME, documented["DEMO_CONFIG_KEY"]: identity.KEY}
    any_name = "|".join(map(re.escape, names))
    return re.sub(rf"(?<![\w-])({any_name})(?!\w)", lambda found: names[found[1]], text)


def documented_metrics():
    """The prefix of the site's own metrics as docs/operations.md has it, and the names of all metrics there."""
    table = rows(section((PROJECT / "docs/operations.md").read_text(), "Metrics"))
    names = {re.match(r"`(\w+)", row[0])[1] for row in table} - {"up"}
    (prefix,) = [name.removesuffix("_config_index") for name in names if name.endswith("_config_index")]
    return prefix, names


PUBLISHED = (PROJECT / "README.md").read_text()
README = renamed(PUBLISHED)

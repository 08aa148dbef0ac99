"""The rules of the layout: who may import whom."""

import ast

import pytest

from tests.support.binaries import PROJECT

PACKAGES = ("demo_site", "counter")


def module_name(path):
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources():
    return {module_name(path): path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py"))}


SOURCES = sources()


def imported_by(name):
    """The full names of what a module imports when it runs, inside functions too, each with the names taken from it."""
    path = SOURCES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, package)


def running(node):
    """The nodes of a tree but those under `if TYPE_CHECKING`, which only a type checker sees."""
    yield node
    if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from running(child)


def _from(node, package):
    base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
    origin = ".".join(part for part in (base, node.module) if part)
    yield from (f"{origin}.{alias.name}" for alias in node.names)


def own_modules(name):
    """The project's own modules among what a module imports."""
    for imported in imported_by(name):
        own = imported if imported in SOURCES else imported.rpartition(".")[0]
        if own in SOURCES and own != name:
            yield own


def within(name, *packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_there_is_something_to_check():
    assert {"demo_site.document.parsing", "demo_site.consul_agent.client", "counter.hits"} <= set(SOURCES)
    assert "demo_site.consul_agent.kv" in set(own_modules("demo_site.config.source"))


@pytest.mark.parametrize("name", [name for name in SOURCES if within(name, "demo_site.consul_agent")])
def test_consul_agent_knows_no_django_and_nothing_else_of_the_site(name):
    forbidden = [imported for imported in imported_by(name) if within(imported, "django", "counter")]
    assert forbidden == []
    assert [own for own in own_modules(name) if not within(own, "demo_site.consul_agent")] == []


def test_document_knows_no_django_and_nothing_else_of_the_site():
    imported = list(imported_by("demo_site.document.parsing"))
    assert not any(within(name, "django", "consul", "requests", "redis", "os", "socket") for name in imported)
    assert list(own_modules("demo_site.document.parsing")) == []


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_imports_the_settings_by_module_name(name):
    """`django.conf.settings` is the door: a second execution of the module would read the document again."""
    assert not any(within(imported, "demo_site.settings") for imported in imported_by(name))


FORBIDDEN_TO_COUNTER = [f"demo_site.{package}" for package in ("consul_agent", "config", "registration")]


@pytest.mark.parametrize("name", [name for name in SOURCES if within(name, "counter")])
def test_counter_knows_neither_consul_nor_the_document(name):
    assert [imported for imported in imported_by(name) if within(imported, "consul", *FORBIDDEN_TO_COUNTER)] == []


def test_counter_reaches_the_configuration_through_one_name():
    named = set()
    for name in SOURCES:
        if within(name, "counter"):
            tree = ast.parse(SOURCES[name].read_text())
            attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
            named |= {
                node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "settings"
            }
    assert named <= {"CONFIGURATION"}


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "counter.hits"])
def test_only_one_module_touches_the_counter(name):
    """The key `hits` is named in counter/hits.py and in no other code."""
    constants = [
        node.value for node in ast.walk(ast.parse(SOURCES[name].read_text())) if isinstance(node, ast.Constant)
    ]
    assert "hits" not in constants


def test_imports_form_no_cycle():
    imports = {name: set(own_modules(name)) for name in SOURCES}
    checked, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in checked:
            path.append(name)
            for imported in sorted(imports[name]):
                visit(imported)
            checked.add(path.pop())

    for name in imports:
        visit(name)


def test_nothing_further_is_importable_at_the_top():
    tracked = {path.parent.name for path in PROJECT.glob("*/__init__.py")}
    assert tracked <= {"demo_site", "counter", "tests"}

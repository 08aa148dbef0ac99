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
    """The full names that a module imports, inside functions and under TYPE_CHECKING too."""
    path = SOURCES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, package)


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


# The house from the ground up: nothing imports from its own floor, but for modules of one package, or from above.
FLOORS = (
    {"answer", "bounded", "identity", "instance", "messages", "models", "version"},
    {"consul_agent", "document", "metrics", "migrations", "startup"},
    {"environment", "postgresql", "redis_cache"},
    {"config", "counter", "registration"},
    {"fleet"},
    {"monitoring", "templatetags"},
    {"serving"},
    {"admin", "apps", "asgi", "management", "settings", "urls", "wsgi"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room(name):
    """The package or module of the house that a module is in; demo_site itself has the version."""
    parts = name.split(".")
    return parts[0] if parts[0] != "demo_site" else parts[1] if len(parts) > 1 else "version"


def test_every_room_is_on_a_floor():
    assert {room(name) for name in SOURCES} == set(FLOOR)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_lead_down(name):
    own = {other for other in own_modules(name) if room(other) != room(name)}
    assert [other for other in own if FLOOR[room(other)] >= FLOOR[room(name)]] == []


@pytest.mark.parametrize("package", ["consul_agent", "document"])
def test_consul_agent_and_document_know_no_django_and_of_the_site_only_its_ground_floor(package):
    names = [name for name in SOURCES if room(name) == package]
    imported = {other for name in names for other in imported_by(name)}
    assert [other for other in imported if within(other, "django", "counter")] == []
    assert {room(own) for name in names for own in own_modules(name)} == {package, "bounded", "messages"}


def test_document_does_no_input_and_output():
    imported = {other for name in SOURCES if room(name) == "document" for other in imported_by(name)}
    assert not any(within(name, "consul", "requests", "redis", "os", "socket", "pathlib") for name in imported)


@pytest.mark.parametrize("name", SOURCES)
def test_only_its_user_names_a_setting(name):
    """All other code gets it from the model, through its declaration."""
    users = {"redis_password": {"redis_cache"}, "show_message": {"counter", "settings"}}
    text = SOURCES[name].read_text()
    for path, rooms in users.items():
        assert path not in text or room(name) in {"document", *rooms}


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_imports_the_settings_by_module_name(name):
    """`django.conf.settings` is the door: a second execution of the module would read the document again."""
    assert not any(within(imported, "demo_site.settings") for imported in imported_by(name))


FORBIDDEN_TO_COUNTER = [f"demo_site.{package}" for package in ("consul_agent", "config", "document", "registration")]


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


COUNTING = {"demo_site.identity", "counter.hits", "demo_site.redis_cache.probe", "demo_site.redis_cache.diagnosis"}


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in COUNTING])
def test_only_who_counts_names_the_counter(name):
    """The probe tries to count, and what it finds names the key."""
    nodes = list(ast.walk(ast.parse(SOURCES[name].read_text())))
    assert "hits" not in {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert "COUNTER_KEY" not in {getattr(node, "attr", getattr(node, "id", "")) for node in nodes}


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

"""The pages match the project: names, options, defaults, messages and links are compared with the code."""

import json
import re
import shlex
import sys
from importlib import import_module

import pytest

from bench import tables
from demo_site import metrics
from demo_site.config.watcher import WAIT_SECONDS
from demo_site.document.model import FIELDS
from demo_site.document.parsing import DocumentInvalid, parse
from demo_site.environment import TABLE
from demo_site.fleet.publisher import RENEW_SECONDS, RENEWALS_PER_LOOK
from demo_site.identity import KEY, METRICS_PREFIX
from demo_site.redis_cache import diagnosis
from demo_site.redis_cache.pool import FileUnusable
from demo_site.registration.keep import CHECK_SECONDS
from tests.support.binaries import PROJECT
from tests.support.consul import ConsulServer
from tests.support.documents import SMALLEST, changed, raw
from tests.support.ports import free_port
from tests.support.readme import README, defaults, documented_metrics, rows, section
from tests.support.site import Site
from tests.test_import_rules import FLOORS

PAGES = [
    PROJECT / "README.md",
    PROJECT / "CHANGELOG.md",
    PROJECT / "CONTRIBUTING.md",
    *sorted(PROJECT.glob("docs/**/*.md")),
]
ARCHITECTURE = (PROJECT / "docs" / "architecture.md").read_text()
LINK = re.compile(r"""\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)\"""")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
COMMANDS = sorted(path.stem for path in PROJECT.glob("demo_site/management/commands/[a-z]*.py"))


def faults_of(raw_document):
    with pytest.raises(DocumentInvalid) as caught:
        parse(raw_document)
    return [str(fault) for fault in caught.value.faults]


def test_every_test_that_the_page_on_security_names_exists():
    named = re.findall(r"`((?:soak/)?test_\w+)(?:::(\w+))?`", (PROJECT / "docs" / "security.md").read_text())
    assert len(named) > 40
    for module, name in named:
        source = (PROJECT / "tests" / f"{module}.py").read_text()
        assert not name or re.search(rf"^(def|class) {name}\b", source, re.MULTILINE), f"{module}::{name}"


# The environment.


def test_every_variable_is_documented_with_its_default_and_no_other_is():
    assert defaults(README) == {variable.name: variable.default for variable in TABLE}


def test_every_variable_named_anywhere_exists():
    known = {variable.name for variable in TABLE}
    known |= set(re.findall(r'environ\.get\("(\w+)"\)', (PROJECT / "gunicorn.conf.py").read_text()))
    known |= set(re.findall(r"\$\{(\w+)\}", (PROJECT / "deploy" / "haproxy" / "haproxy.cfg").read_text()))
    for page in PAGES:
        named = set(re.findall(r"\b(?:CONSUL|DEMO|SERVICE|DJANGO|GUNICORN)_[A-Z_]+\b", page.read_text()))
        assert named <= known, page.name


def test_every_variable_of_gunicorn_is_documented():
    read = set(re.findall(r'environ\.get\("(\w+)"\)', (PROJECT / "gunicorn.conf.py").read_text()))
    documented = {variable.name for variable in TABLE}
    documented |= {row[0].strip("`") for row in rows(section(README, "In production"))}
    assert read <= documented


# The metrics.


def test_every_metric_is_documented_and_no_other_is():
    prefix, documented = documented_metrics()
    exposed = re.findall(r"^# TYPE (\w+) ", metrics.exposition(), re.MULTILINE)
    exposed = [name for name in exposed if name not in metrics._FORMER_NAMES]
    assert {re.sub(f"^{prefix}_", f"{METRICS_PREFIX}_", name) for name in documented} == set(exposed)


# Scaling.


def scaled(instances, workers=4):
    """The rows of the arithmetic in docs/scaling.md, for so many instances."""
    all_workers, renewals = instances * workers, instances * workers / RENEW_SECONDS
    looks = renewals / RENEWALS_PER_LOOK
    return [
        all_workers,
        instances * (2 * workers + 1),
        instances * (3 * workers + 1),
        renewals,
        all_workers / WAIT_SECONDS + looks + instances / CHECK_SECONDS,
        instances / CHECK_SECONDS,
        all_workers + 1,
        all_workers * 0.9,
        all_workers,
    ]


def test_arithmetic_of_scaling_is_that_of_the_code():
    text = (PROJECT / "docs/scaling.md").read_text()
    table = re.search(r"<!-- arithmetic -->\n(.+?)<!-- end", text, re.DOTALL)[1]
    lines = [line for line in table.splitlines() if "---" not in line]
    counts, *columns = [[cell.strip().replace(",", "") for cell in line.split("|")[2:-1]] for line in lines]
    computed = zip(*(scaled(int(count)) for count in counts), strict=True)
    assert [[float(cell) for cell in row] for row in columns] == [
        [round(value, 1) if value < 10 else round(value) for value in row] for row in computed
    ]


# What is wrong with Redis.


def test_everything_that_is_said_of_a_redis_is_documented_with_its_remedy():
    text = (PROJECT / "docs/operations.md").read_text().replace("`", "")
    documented = {said: todo for said, _member, todo in rows(section(text, "When Redis cannot count"))}
    known = [found for _matches, found in diagnosis._KNOWN]
    known += [diagnosis.diagnose(error) for error in (Exception(), FileUnusable("redis_ca_file", "missing"))]
    assert set(documented) == {found.what.replace("`", "") for found in known}
    for found in known:
        assert (found.remedy or "").replace("`", "") in documented[found.what.replace("`", "")]


# The document.


def test_shown_document_is_the_one_that_make_run_puts():
    ((_, shown),) = [block for block in FENCE.findall(section(README, "The document")) if block[0] == "json"]
    parse(shown.encode())
    assert json.loads(shown) == json.loads((PROJECT / "deploy/local/document.json").read_text())


@pytest.mark.parametrize("path", FIELDS)
def test_every_setting_is_documented(path):
    """By its name, in the example or beside it."""
    named = re.findall(r'["`.](\w+)["`]', section(README, "The document"))
    assert path.rpartition(".")[2] in named, "name it in README.md, under The document"


def faulty_document(said):
    """The document that a cell of the README's tables of faults describes."""
    text = json.dumps(SMALLEST)
    wholes = {
        "no `show_message`": raw(changed("show_message", ...)),
        "`show_message` twice": text.replace("}, ", '}, "show_message": "", ').encode(),
        '`"any_member": NaN`': text.replace("{", '{"any_member": NaN, ', 1).encode(),
        "an empty value": b"",
        "a list": b"[]",
        "an extra comma": text.replace("}, ", "},, ").encode(),
        "Latin-1 text": '{"show_message": "é"}'.encode("latin-1").replace(b": ", b":"),
        "a byte order mark": text.encode("utf-8-sig"),
        "600,000 bytes": text.encode().ljust(600_000),
        "a list of 30,000 numbers": json.dumps([*range(30_000)]).encode(),
        "150 nested objects": b'{"a":' * 150 + b"1" + b"}" * 150,
        "a number of 5,000 digits": b'{"a": ' + b"1" * 5000 + b"}",
    }
    if said in wholes:
        return wholes[said]
    name, value = said.strip("`").split(": ", 1)
    name = name.strip('"')
    path = name if name in SMALLEST else f"redis_config.{name}"
    return raw(changed(path, json.loads(value)))


@pytest.mark.parametrize(
    ("said", "message"),
    [pytest.param(*row, id=row[0]) for row in rows(section(README, "Faults and their messages"))],
)
def test_every_fault_says_what_the_readme_says(said, message):
    assert message.strip("`") in faults_of(faulty_document(said))


# The commands.


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("migrate", "runserver")])
def test_options_of_each_command_are_documented_and_no_others(name):
    command = import_module(f"demo_site.management.commands.{name}").Command()
    parser = command.create_parser("manage.py", name)
    own = {
        option
        for action in parser._actions
        for option in action.option_strings
        if action.dest not in ("help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color")
    }
    documented = set(OPTION.findall(section(README, f"`{name}`")))
    assert documented == own - {"--force-color", "--skip-checks"}


def test_every_command_has_a_section():
    headings = re.findall(r"^### `(\w+)`$", section(README, "Commands"), re.MULTILINE)
    assert sorted(headings) == COMMANDS


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:`| {4})make (\w+)", page.read_text())) <= targets, page.name


# The four start-up failures: the README shows the real messages.

BROKEN = {"redis_config": {"redis_host": "", "redis_port": "6379", "redis_db": -1}, "show_message": 5}


def shown_failure(status):
    """The command, the message and the status in the README's section about this exit status."""
    heading = re.search(rf"^### ({status}: .+)$", README, re.MULTILINE)[1]
    ((_, session),) = FENCE.findall(section(README, heading))
    command, *message, echo, shown_status = session.strip().splitlines()
    assert echo == "$ echo $?"
    return command.removeprefix("$ "), "\n".join(message) + "\n", int(shown_status)


def assert_said(status, consul_address, **environment):
    command, message, shown_status = shown_failure(status)
    site = Site({"CONSUL_HTTP_ADDR": consul_address, **environment})
    try:
        ended = site.command(*shlex.split(command.removeprefix("python manage.py ")))
    finally:
        site.close()
    said = ended.stderr.replace(consul_address, "127.0.0.1:8500")
    said = said.replace(environment.get("DEMO_CONFIG_KEY", KEY), KEY)
    index = re.compile(r"ModifyIndex \d+")
    assert index.sub("ModifyIndex N", said) == index.sub("ModifyIndex N", message)
    assert ended.status == shown_status == status
    assert ended.seconds < 10


@pytest.mark.slow
def test_message_of_an_unreachable_consul():
    assert_said(69, f"127.0.0.1:{free_port()}")


def test_message_of_a_missing_key(consul, config_key):
    assert_said(66, consul.address, DEMO_CONFIG_KEY=config_key)


def test_message_of_an_invalid_document(consul, config_key):
    consul.put(config_key, BROKEN)
    assert_said(78, consul.address, DEMO_CONFIG_KEY=config_key)


def test_message_of_a_denied_key_and_the_policy_that_suffices():
    policy = re.search(r"A sufficient policy: `(.+)`", README)[1]
    with ConsulServer(acl=True) as consul:
        assert_said(77, consul.address, CONSUL_HTTP_TOKEN=consul.token('key "other" { policy = "read" }'))
        consul.put(KEY, SMALLEST)
        site = Site({"CONSUL_HTTP_ADDR": consul.address, "CONSUL_HTTP_TOKEN": consul.token(policy)})
        try:
            assert site.command("check").status == 0
        finally:
            site.close()


# Links and paths.


def anchors(page):
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in (first or second for first, second in LINK.findall(text)):
        path, _, anchor = link.partition("#")
        if not re.match(r"https?:", link):
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_layout_names_what_exists_and_leaves_out_no_part():
    lines = re.findall(r"^ {4}(\S+) {2,}\S", section(README, "How it is laid out"), re.MULTILINE)
    assert [path for path in lines if not (PROJECT / path).exists()] == []
    packages = {f"{path.parent.relative_to(PROJECT)}/" for path in PROJECT.glob("demo_site/*/__init__.py")}
    assert packages - {"demo_site/migrations/"} <= set(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_the_text_exist(page):
    folders = [PROJECT, page.parent, PROJECT / "demo_site"]
    for name in re.findall(r"`([\w./-]+\.py)`", page.read_text()):
        found = any((folder / name).exists() for folder in folders) or any(PROJECT.glob(f"*/**/{name}"))
        assert found, name


READING = section(ARCHITECTURE, "One value, from Consul to the page")


def test_reading_order_names_what_the_files_define():
    steps = rows(READING)
    assert [order for order, *_ in steps] == [str(number + 1) for number in range(len(steps))]
    for _, path, name, _ in steps:
        definition = rf"^((?:async )?def {name.strip('`')}\(|class {name.strip('`')}\b|{name.strip('`')} = )"
        assert re.search(definition, (PROJECT / path.strip("`")).read_text(), re.MULTILINE), (path, name)


def test_reading_order_is_as_long_as_it_says():
    said = int(re.search(r"about (\d,\d{3}) lines", READING)[1].replace(",", ""))
    lines = sum(len((PROJECT / path.strip("`")).read_text().splitlines()) for _, path, *_ in rows(READING))
    assert 0.85 * said < lines < 1.15 * said


def test_diagram_has_every_name_of_the_reading_order():
    ((_, diagram), *_) = FENCE.findall(READING)
    for _, path, name, _ in rows(READING):
        assert re.search(rf"\b{name.strip('`')}\b", diagram), (path, name)


def test_layers_are_those_that_the_imports_are_held_to():
    drawn = [set(line.split()) for line in re.findall(r"^ {4}(\S.*)$", section(ARCHITECTURE, "Layers"), re.MULTILINE)]
    assert drawn == [floor - {"version"} for floor in reversed(FLOORS)]


def test_python_of_the_readme_is_the_one_that_the_makefile_asks_for():
    asked = re.search(r"Python (3\.\d+) or newer", README)[1]
    assert f"Python {asked} or newer" in (PROJECT / "Makefile").read_text()
    assert sys.version_info >= tuple(map(int, asked.split(".")))


def test_supported_pythons_of_the_readme_are_those_of_ci():
    first, last = map(int, re.search(r"Python 3\.(\d+) to 3\.(\d+) are supported", README).groups())
    supported = [f"3.{minor}" for minor in range(first, last + 1)]
    assert re.findall(r'"(3\.\d+)"', (PROJECT / ".github/workflows/ci.yml").read_text()) == supported
    assert re.search(r"for version in (.+); do", (PROJECT / ".ci/run").read_text())[1].split() == supported


def test_django_of_the_readme_is_the_pinned_one():
    pinned = re.search(r"Django (\d+\.\d+) LTS is pinned", README)[1]
    assert f"django=={pinned}." in (PROJECT / "requirements.txt").read_text()


def test_tables_of_the_performance_page_are_the_results():
    results = json.loads((PROJECT / "bench/results.json").read_text())
    text = (PROJECT / "docs/performance.md").read_text()
    assert tables.updated(text, results) == text

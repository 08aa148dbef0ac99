"""English and Simplified Chinese: nothing is untranslated, and each visitor gets the right language."""

import gettext
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
import requests

from demo_site.config.revision import parsed
from demo_site.config.status import REJECTED, STALE, Rejected, Status, out_of_step
from demo_site.consul_agent import kv, services
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client, Timeouts
from demo_site.consul_agent.errors import ConsulError
from demo_site.consul_agent.kv import Entry
from demo_site.document.parsing import DocumentInvalid, parse
from demo_site.environment import Environment
from demo_site.messages import Message, joined
from demo_site.registration.definition import DefinitionInvalid, define
from demo_site.templatetags import configuration
from tests.support.admin import PATH, start_admin
from tests.support.binaries import PROJECT
from tests.support.documents import MESSAGE, SMALLEST, document, raw
from tests.support.readme import README, rows, section
from tests.support.secrets import GUARD
from tests.support.site import HTML, TEXT
from tests.test_docs import anchors, faulty_document

import catalogs

CATALOG = "locale/zh_Hans/LC_MESSAGES/django.po"
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}


def run(*command, cwd=PROJECT):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)  # noqa: S603 (our own command)
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(catalog, *options):
    """The entries as gettext prints them, without the header and the source locations."""
    printed = run("msgattrib", "--no-location", "--sort-output", "--no-wrap", *options, catalog)
    return printed.partition("\n\n")[2]


@pytest.mark.parametrize("app", catalogs.APPS)
def test_nothing_is_untranslated_or_fuzzy_or_obsolete(app):
    catalog = PROJECT / app / CATALOG
    for option in ("--untranslated", "--only-fuzzy", "--only-obsolete"):
        assert entries(catalog, option) == ""


@pytest.fixture
def copy(tmp_path):
    """A copy of the code with its catalogs."""
    for app in catalogs.APPS:
        shutil.copytree(PROJECT / app, tmp_path / app, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def update(root):
    """What `make messages` does; the number of untranslated messages."""
    return catalogs.update(root, Path(sys.executable))


def contents(root):
    """The files of each app's folder for translations."""
    folders = [root / app / "locale" for app in catalogs.APPS]
    return {path.relative_to(root): path.read_bytes() for folder in folders for path in folder.rglob("*.*")}


def test_make_messages_leaves_the_catalogs_as_they_are(copy):
    """They contain every message of the code and the templates and no other, and the compiled ones match."""
    assert update(copy) == 0
    assert contents(copy) == contents(PROJECT)


@pytest.mark.slow
def test_make_messages_adds_what_is_new_untranslated_and_drops_what_is_gone(copy):
    catalog = copy / "counter" / CATALOG
    before = catalog.read_text().split("\n\n")
    views = copy / "counter/views.py"
    gone = "The counter is out of reach. Please try again in a moment."
    text = views.read_text()
    assert gone in text
    views.write_text(text.replace(gone, "The counter rests.") + '\nnew = _("Visitor %(number)s has come.", number=7)\n')
    assert update(copy) == 2
    after = catalog.read_text().split("\n\n")
    assert {entry.strip() for entry in set(after) - set(before)} == {
        'msgid "The counter rests."\nmsgstr ""',
        '#, python-format\nmsgid "Visitor %(number)s has come."\nmsgstr ""',
    }
    assert [entry.partition("\n")[0] for entry in set(before) - set(after)] == [f'msgid "{gone}"']
    first = contents(copy)
    assert update(copy) == 2
    assert contents(copy) == first


# Messages, which are made where nobody knows the visitor's language.

CHINESE_TEXTS = gettext.GNUTranslations(BytesIO((PROJECT / "demo_site" / CATALOG).with_suffix(".mo").read_bytes()))
HAN, ENGLISH = re.compile("[\u4e00-\u9fff]"), re.compile(r"[a-z]{2,} [a-z]+ [a-z]{2,}")


def untranslated(messages):
    """The messages that are partly English in Chinese, each with the text that a page would show."""
    found = {message: message.translated(CHINESE_TEXTS.gettext) for message in messages}
    return {text: shown for text, shown in found.items() if not HAN.search(shown) or ENGLISH.search(shown)}


def reasons(message):
    """Messages that contain this one, as the pages show it."""
    revision = parsed(raw(SMALLEST), "snapshot", "key", 7)
    return [Status(STALE, message).message, out_of_step(revision, message).message, joined([message, message])]


def test_every_fault_of_the_readme_comes_out_in_chinese():
    """By itself, and where a page explains why a document was rejected."""
    documents = [faulty_document(row[0]) for row in rows(section(README, "Faults and their messages"))]
    faults = [fault for document in documents for fault in document_faults(document)]
    assert len(faults) >= 23
    # Python's own words for what is not JSON stay as they are.
    assert untranslated([fault.problem for fault in faults if "is not JSON" not in fault.problem]) == {}
    rejected = Rejected.of(Entry("key", b"", 7), faults, transient=False)
    assert "另有" in rejected.reason.translated(CHINESE_TEXTS.gettext)
    assert "rejected" not in Status(REJECTED, rejected.reason).message.translated(CHINESE_TEXTS.gettext)


def document_faults(document):
    try:
        parse(document)
    except DocumentInvalid as error:
        return error.faults
    return ()


def refusals(proxy):
    """The client's errors for failing agents, and for peers that are no agent."""
    client = Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": proxy.address}), Timeouts(1.0, 0.3))
    found = []
    for behave in (
        proxy.refuse,
        proxy.silence,
        lambda: proxy.answer(b""),
        lambda: proxy.answer(b"220 ready\r\n"),
        *(
            lambda status=status: proxy.answer_http(status, "because")
            for status in ("403 Forbidden", "500 No", "400 Bad", "302 Found", "200 OK")
        ),
        lambda: proxy.answer_http("403 Forbidden"),
        lambda: proxy.answer_http("200 OK", '{"a": 1}', X_Consul_Index="7"),
    ):
        behave()
        for ask in (lambda: kv.read(client, "key"), lambda: services.names(client)):
            try:
                ask()
            except ConsulError as error:
                found.append(error.message)
    client.close()
    return found


def test_what_is_wrong_with_consul_comes_out_in_chinese(consul, new_proxy):
    found = refusals(new_proxy(consul.http_port))
    assert len(set(found)) >= 9
    assert untranslated([*found, *(reason for message in found for reason in reasons(message))]) == {}


def test_what_is_wrong_with_the_service_comes_out_in_chinese():
    wrong = {"name": "a b", "id": "/", "address": "::", "port": 70000, "tags": ["\n"], "meta": {"a b": "c"}}
    wrong |= {"check": "no", "check_url": "no", "interval": "1x", "timeout": "0s"}
    with pytest.raises(DefinitionInvalid) as caught:
        define(Environment({}), **wrong)
    assert len(caught.value.faults) == 10
    assert untranslated([*caught.value.faults, caught.value.message]) == {}


@pytest.mark.slow
def test_only_words_of_ours_are_translated_and_no_value(consul, redis, config_key):
    with start_admin(consul, redis, config_key, SERVICE_NAME="missing", SERVICE_TAGS="stale") as site:
        consul.put(config_key, document(redis, message="default", surplus="x"))
        page = site.gunicorn().session("viewer").get(site.url + PATH, headers=CHINESE, timeout=30).text
    values = dict(re.findall(r'data-setting="([^"]+)".*?<td class="value"[^>]*><span[^>]*>([^<]*)<', page, re.DOTALL))
    assert (values["show_message"], values["SERVICE_NAME"], values["SERVICE_TAGS"]) == ("default", "missing", "stale")
    assert values["document"] == "最新"
    assert re.fullmatch("已忽略.文本", values["surplus"])


READMES = [(PROJECT / name).read_text() for name in ("README.md", "README.zh-CN.md")]


@pytest.mark.parametrize(
    "pattern",
    [
        r"^```\w*\n.*?^```$",
        r"^#+ ",
        r"^\| `[^|]*` \|(?: `[^|`]*` \|)?",
        r"^ {4}\S+",
    ],
    ids=["examples", "headings", "first columns", "commands and files"],
)
def test_the_chinese_readme_has_all_that_the_english_has(pattern):
    english, chinese = (re.findall(pattern, text, re.MULTILINE | re.DOTALL) for text in READMES)
    assert chinese == english


def test_links_of_the_chinese_readme_lead_somewhere():
    titles = re.findall(r"^#+ (.*)$", READMES[1], re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"""\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)\"""", READMES[1]):
        path, _, anchor = "".join(target).partition("#")
        assert not path or (PROJECT / path).exists()
        assert not anchor or anchor in (anchors(PROJECT / path) if path else headings)


@pytest.mark.parametrize(
    ("accepted", "language", "word"),
    [
        ("zh-CN,zh;q=0.9", "zh-hans", "每次访问都有自己的编号"),
        ("en-GB", "en", "Each visit has a number of its own"),
        ("fr", "en", "Each visit has a number of its own"),
        ("", "en", "Each visit has a number of its own"),
    ],
)
def test_the_page_speaks_the_visitors_language_around_the_same_sentence(session_site, redis, accepted, language, word):
    page = session_site.get("/", headers={**HTML, "Accept-Language": accepted}).text
    assert f'<html lang="{language}">' in page
    assert word in page
    assert f"{MESSAGE}! I have been seen 1 times." in page


def test_a_line_of_text_is_the_same_in_all_languages(session_site, redis):
    assert session_site.get("/", headers={**TEXT, **CHINESE}).text == f"{MESSAGE}! I have been seen 1 times.\n"


def test_one_visitors_language_is_not_the_next_ones(admin, redis):
    """One thread serves several visitors in turn."""
    session = admin.session("viewer")
    for _ in range(20):
        assert "生效配置" in session.get(admin.url + PATH, headers=CHINESE, timeout=30).text
        page = requests.get(admin.url, headers=HTML, timeout=30).text
        assert "Each visit has a number of its own" in page


def test_the_admin_speaks_chinese(admin, browser, consul):
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": CHINESE})
    try:
        pages = admin.log_in(browser, "keeper").open()
        for text in ("概览", "正常", "实例与工作进程", "最新", "环境变量", "默认值"):
            assert text in pages.text()
        pages.edit("原因", redis_config__redis_port="1")
        assert "机密属于另一个去向" in pages.text(".errorlist")
        pages.edit("原因", redis_config__redis_port="1", redis_config__redis_password=GUARD.new("typed password"))
        assert "上的 Redis 拒绝连接" in pages.text(".errorlist")
        pages.edit("原因", redis_config__redis_host="bad host")
        assert "必须是主机名或 IP 地址" in pages.text(".errorlist")
        pages.edit("为了测试", show_message="你好").save()
        assert "进行了编辑" in pages.text(".configuration-timeline")
        assert "已保存" in pages.text("body")
    finally:
        browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (Message("one %(what)s", what="worker"), "One worker"),
        (Message("%(id)s is away", id="web-1"), "web-1 is away"),
        (Message("%(first)s; more", first=Message("none is left")), "None is left; more"),
        (Message("%(first)s; more", first=Message("%(id)s is away", id="web-1")), "web-1 is away; more"),
        (Message.of("another program said so"), "another program said so"),
    ],
)
def test_a_sentence_begins_with_a_capital_letter_and_a_name_stays_as_it_is(message, shown, monkeypatch):
    monkeypatch.setattr(configuration, "gettext", str)
    assert configuration.plain_sentence(message) == shown

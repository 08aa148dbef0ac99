"""English and Simplified Chinese: nothing untranslated, and the right language for who asks."""

import ast
import json
import re
import shutil
import subprocess
import sys

import pytest
import requests

from demo_site.consul_agent import kv, services
from demo_site.consul_agent.address import AgentAddress
from demo_site.consul_agent.client import Client, Timeouts
from demo_site.consul_agent.errors import ConsulError
from demo_site.environment import Environment
from demo_site.registration.definition import DefinitionInvalid, define
from tests.support.admin import PATH, start_admin
from tests.support.binaries import PROJECT
from tests.support.documents import MESSAGE, document
from tests.support.site import HTML, TEXT
from tests.test_docs import README, faults_of, faulty_document, rows, section

# After a change of a text, in the folder of the app: `python -m django makemessages -l zh_Hans --add-location file`,
# translate what is empty, `python -m django compilemessages`.
APPS = ["demo_site", "counter"]
CATALOG = "locale/zh_Hans/LC_MESSAGES/django.po"
CHINESE = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}


def run(*command, cwd=PROJECT):
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(catalog, *options):
    """The entries as gettext prints them, without the header and where they come from."""
    printed = run("msgattrib", "--no-location", "--sort-output", "--no-wrap", *options, catalog)
    return printed.partition("\n\n")[2]


@pytest.mark.parametrize("app", APPS)
def test_nothing_is_untranslated_or_fuzzy_or_obsolete(app):
    catalog = PROJECT / app / CATALOG
    for option in ("--untranslated", "--only-fuzzy", "--only-obsolete"):
        assert entries(catalog, option) == ""


@pytest.mark.parametrize("app", APPS)
def test_the_catalog_holds_every_text_of_the_code_and_the_templates(app, tmp_path):
    copy = tmp_path / app
    shutil.copytree(PROJECT / app, copy)
    run(sys.executable, "-m", "django", "makemessages", "-l", "zh_Hans", "--add-location", "file", cwd=copy)
    assert entries(copy / CATALOG, "--translated") == entries(PROJECT / app / CATALOG, "--translated")
    assert entries(copy / CATALOG, "--untranslated", "--no-obsolete") == ""


@pytest.mark.parametrize("app", APPS)
def test_the_compiled_catalog_is_that_of_the_text(app, tmp_path):
    catalog = PROJECT / app / CATALOG
    run("msgfmt", "--check-format", "-o", tmp_path / "made.mo", catalog)
    assert (tmp_path / "made.mo").read_bytes() == catalog.with_suffix(".mo").read_bytes()


# The parts that know no Django: what they say to people, demo_site/wording.py has to know.
SPEAKERS = [
    *["config/document", "config/effective", "config/live", "config/state", "config/store", "config/watcher"],
    *[
        "consul_agent/client",
        "consul_agent/connection",
        "consul_agent/kv",
        "consul_agent/services",
        "consul_agent/sessions",
        "consul_agent/txn",
    ],
    *["fleet/overview", "fleet/publisher", "fleet/this_worker", "fleet/worker"],
    *["durations", "redis_cache/probe", "registration/definition"],
]
NOT_FOR_VISITORS = {
    *["Connection refused", "Field required", "not found", "permission denied"],  # of others, and worded anew
    *["GET % every %, answered within %", "the instance reports % every %"],  # in Consul's own pages
    "%; removed after % without",
    "started without a configuration",  # of a programmer
    "passing warning critical",
}
TRANSLATE = """
import json, os
from django.utils.translation import override
from demo_site import wording
texts = json.loads(os.environ["TEST_TEXTS"])
with override(os.environ["TEST_LANGUAGE"]):
    print(json.dumps([wording.localized(text) for text in texts]))
"""
HAN, ENGLISH = re.compile("[\u4e00-\u9fff]"), re.compile(r"[a-z]{2,} [a-z]+ [a-z]{2,}")


def sentences(module):
    """What the module may say, with % for what is put in: every text of words but docstrings, logs and patterns."""
    tree = ast.parse((PROJECT / "demo_site" / f"{module}.py").read_text())
    left_out = set()
    for node in ast.walk(tree):
        is_internal = isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "re."))
        if is_internal or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            left_out.update(ast.walk(node))
        elif isinstance(node, ast.JoinedStr) and node not in left_out:
            left_out.update(set(ast.walk(node)) - {node})
            yield "".join(part.value if isinstance(part, ast.Constant) else "%" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in left_out:
            yield node.value


def known_sentences():
    """What wording.py knows, as the code says it and with % for what is put in."""
    nodes = list(ast.walk(ast.parse((PROJECT / "demo_site/wording.py").read_text())))
    texts = [node.args[0].value for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "_"]
    (said,) = [ast.literal_eval(node) for node in nodes if isinstance(node, ast.Dict)]
    return [re.sub(r"%\(\w+\)s", "%", said.get(text, text)) for text in texts]


def in_language(site, texts, language="zh-hans"):
    """What pages make of the texts."""
    done = site.command("shell", "-c", TRANSLATE, TEST_TEXTS=json.dumps(texts), TEST_LANGUAGE=language)
    assert done.status == 0, done.stderr
    return dict(zip(texts, json.loads(done.stdout.splitlines()[-1]), strict=True))


def untranslated(site, texts):
    """Those of which something is still English in Chinese."""
    found = in_language(site, texts)
    return {text: said for text, said in found.items() if not HAN.search(said) or ENGLISH.search(said)}


def test_every_sentence_of_the_code_can_be_translated(session_site):
    """It is one that is known, or a part of one that is put together."""
    known = known_sentences()
    said = {re.sub(r"^[\w.%-]+: |^; ", "", text.replace("%:%", "%")) for each in SPEAKERS for text in sentences(each)}
    of_words = {text for text in said - NOT_FOR_VISITORS if re.search(r"[a-z]{2,} [a-z]{2,}", text)}
    patterns = {text: re.escape(text).replace("%", ".+?") for text in of_words}
    whole = [text for text in of_words if not any(re.search(patterns[text], sentence) for sentence in known)]
    assert untranslated(session_site, [text.replace("%", "7") for text in whole]) == {}


def test_every_sentence_comes_out_in_chinese(session_site):
    """Whatever is put in, and whichever others there are that begin or end like it."""
    made = [text.replace("%", "7") for text in known_sentences()]
    assert untranslated(session_site, made) == {}
    listed = [f"redis_config.redis_port: {one}; show_message: is missing" for one in made if "7" not in one]
    assert untranslated(session_site, listed) == {}


def test_every_fault_of_the_readme_comes_out_in_chinese(session_site):
    """By itself, and where a page tells why a document was rejected."""
    faults = [
        fault for row in rows(section(README, "What every fault says")) for fault in faults_of(faulty_document(row[0]))
    ]
    assert len(faults) >= 23
    assert untranslated(session_site, faults) == {}
    reason = "the document at index 7 was rejected: "
    together = [f"rejected: {reason}{fault}; show_message: is missing; and 3 more" for fault in faults]
    assert untranslated(session_site, [reason + fault for fault in faults] + together) == {}


def refusals(proxy):
    """What the client says of agents in trouble, and of what is no agent."""
    client = Client(AgentAddress.from_environ({"CONSUL_HTTP_ADDR": proxy.address}), Timeouts(1.0, 0.3))
    told = []
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
                told.append(str(error))
    client.close()
    return told


def test_what_is_said_of_consul_comes_out_in_chinese(session_site, consul, new_proxy):
    told = refusals(new_proxy(consul.http_port))
    assert len(set(told)) >= 9
    told += [f"{text} The token needs `session:write` on the agent's node and `key:write` on `k`." for text in told]
    told += [f"stale: since 2026-01-01 00:00:00 UTC: {text}" for text in told]
    told += [f"running on a snapshot of 2026-01-01 00:00:00 UTC; {text}" for text in told]
    assert untranslated(session_site, told) == {}


def test_what_is_wrong_with_the_service_comes_out_in_chinese(session_site):
    wrong = {"name": "a b", "id": "/", "address": "::", "port": 70000, "tags": ["\n"], "meta": {"a b": "c"}}
    wrong |= {"check": "no", "check_url": "no", "interval": "1x", "timeout": "0s"}
    with pytest.raises(DefinitionInvalid) as caught:
        define(Environment({}), **wrong)
    faults = str(caught.value)
    told = [*faults.splitlines(), faults, f"invalid: {faults}", f"this instance has no usable id: {faults}"]
    assert len(told) == 13
    assert untranslated(session_site, told) == {}


def test_names_that_hold_what_divides_sentences_do_no_harm(session_site):
    """The members of a document may be named anything, and its faults name them: a page must still come up."""
    dividers = ["; ", ": ", "rejected: ", "x: y; ", "file x; ", "is missing; ", "stale: since 7: "]
    listed = ["; ".join(f"{divider * 20}{number}: is missing" for number in range(5)) for divider in dividers]
    nested = [f"rejected: the document at index 7 was rejected: {text}" for text in listed]
    endless = [divider * 1000 for divider in dividers]
    found = in_language(session_site, listed + nested + endless)
    for text in listed + nested:
        assert re.findall("[0-4]:", found[text])[-5:] == ["0:", "1:", "2:", "3:", "4:"]
    assert [found[text] for text in endless] == endless


@pytest.mark.slow
def test_only_words_of_ours_are_translated_and_no_value(consul, redis, config_key):
    with start_admin(consul, redis, config_key, SERVICE_NAME="missing", SERVICE_TAGS="stale") as site:
        consul.put(config_key, document(redis, message="default", surplus="x"))
        page = site.gunicorn().session("viewer").get(site.url + PATH, headers=CHINESE, timeout=30).text
    values = dict(re.findall(r'data-setting="([^"]+)".*?<td class="value"[^>]*>([^<]*)<', page, re.DOTALL))
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
        assert not anchor or anchor in headings


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
    """A thread serves one after the other."""
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
        for text in ("概览", "正常", "各实例运行情况", "最新", "环境变量", "默认值"):
            assert text in pages.text()
        pages.edit("原因", redis_config__redis_port="1")
        assert "上的 Redis 没有响应" in pages.text(".errorlist")
        pages.edit("原因", redis_config__redis_host="bad host")
        assert "必须是主机名或 IP 地址" in pages.text(".errorlist")
        pages.edit("为了测试", show_message="你好").save()
        assert "进行了编辑" in pages.text(".configuration-timeline")
        assert "已保存" in pages.text("body")
    finally:
        browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})

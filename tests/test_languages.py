"""English and Simplified Chinese: nothing untranslated, and the right language for who asks."""

import re
import shutil
import subprocess
import sys

import pytest
import requests

from tests.support.admin import PATH
from tests.support.binaries import PROJECT
from tests.support.documents import MESSAGE
from tests.support.site import HTML, TEXT

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

"""The names of the service: they are in one module, and names in stored data stay."""

import html
import json
import re

import pytest
import requests

from demo_site import identity
from tests.support.binaries import PROJECT
from tests.support.documents import SMALLEST, raw
from tests.support.readme import PUBLISHED, defaults, documented_metrics

CODE = ("demo_site", "counter", "deploy/local", "tests")


def test_fingerprints_stay_the_same_from_version_to_version(new_site, tmp_path):
    """Operators compare them between instances, also while a fleet is being upgraded."""
    path = tmp_path / "document.json"
    path.write_bytes(raw(SMALLEST))
    site = new_site({"DEMO_CONFIG_FILE": str(path), "DJANGO_SECRET_KEY": "the same for all instances"})
    rows = json.loads(site.command("effective_config", "--format", "json").stdout)
    shown = {row["setting"]: row["value"] for row in rows}
    assert shown["redis_config.redis_password"] == "•••••••• (fingerprint e333de7b)"


@pytest.mark.parametrize(("accepted", "language"), [("zh-CN,zh;q=0.9", "zh-hans"), ("en-GB", "en"), ("fr", "en")])
def test_the_admin_has_its_title_in_the_visitors_language(admin, accepted, language):
    page = requests.get(f"{admin.url}/admin/login/", headers={"Accept-Language": accepted}, timeout=10).text
    assert f'<html lang="{language}"' in page
    assert identity.TITLES.get(language, identity.TITLES["en"]) in html.unescape(page)


def test_the_service_is_named_in_one_module():
    """The names of the base: who renames it finds nothing left of them, and may use own words where they please."""
    named = re.compile(rb"my[d]emo|demo[-]config|Demo[ ]site|demo[_]config_")
    files = [path for folder in CODE for path in (PROJECT / folder).rglob("*") if path.is_file()]
    found = [path for path in files if "__pycache__" not in path.parts and named.search(path.read_bytes())]
    assert PROJECT / "demo_site/settings.py" in files
    assert [path for path in found if path != PROJECT / "demo_site/identity.py"] == []


def test_the_pages_name_the_service_as_it_is_called():
    """The one test that a renamed service fails until its pages are rewritten; the quick loop leaves it out."""
    documented = defaults(PUBLISHED)
    assert (documented["SERVICE_NAME"], documented["DEMO_CONFIG_KEY"]) == (identity.NAME, identity.KEY)
    assert documented_metrics()[0] == identity.METRICS_PREFIX

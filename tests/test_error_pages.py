"""Error pages and logs of errors, with DEBUG on and off: no secret that a masker knows, on both servers."""

import pytest
import requests

from tests.support.admin import start_admin
from tests.support.secrets import GUARD

pytestmark = pytest.mark.slow

# Urls of a site with a view that fails: what holds a secret is a local, a setting, an argument, a message or a cause.
FAILING = """
from django.conf import settings
from django.urls import path
from demo_site.serving import lean

async def broken(ask):
    raise RuntimeError(f"third {settings.CONFIGURATION.start.address.token} \x1b[31m")

lean.PATHS["/metrics"] = broken
from demo_site.urls import urlpatterns as ours

class Holder:
    def __init__(self, text):
        self.text = text
    def __repr__(self):
        return f"<Holder of {self.text}>"

def fail(request):
    environment = settings.ENVIRONMENT
    document = settings.CONFIGURATION.in_force.document
    password = document.redis_config.redis_password.get_secret_value()
    local_text, local_list, local_object = f"a {password} b", [{"x": password}], Holder(password)
    long_text = "x" * 4090 + password
    typed = dict(request.POST.items())
    token = settings.CONFIGURATION.start.address.token
    url, key = environment["DATABASE_URL"], settings.SECRET_KEY
    try:
        raise ValueError(f"first {password} \x1b[31m <b>&'{typed}")
    except ValueError as error:
        error.add_note(f"a note with {token}")
        raise RuntimeError(f"second {token} {url} {key}") from error

urlpatterns = [path("fail/", fail), *ours]
"""
SETTINGS = """
from demo_site.settings import *
ROOT_URLCONF = "failing_urls"
"""


@pytest.fixture(scope="module", params=["gunicorn", "runserver"])
def server(request):
    return request.param


@pytest.fixture(scope="module", params=["true", "false"], ids=["debug", "production"])
def failing_site(request, server, session_consul, session_redis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("failing")
    (folder / "failing_urls.py").write_text(FAILING)
    (folder / "failing_settings.py").write_text(SETTINGS)
    variables = {
        "DJANGO_DEBUG": request.param,
        "DJANGO_SETTINGS_MODULE": "failing_settings",
        "PYTHONPATH": str(folder),
        "DJANGO_SECRET_KEY_FALLBACKS": f"{GUARD.new('a fallback')},{GUARD.new('another fallback')}",
    }
    with start_admin(session_consul, session_redis, "failing-config", **variables) as site:
        site.debug, site.token = request.param == "true", GUARD.new("Consul token")
        if server == "runserver":
            (site.directory / "token").write_text(site.token)
            site.environment["CONSUL_HTTP_TOKEN_FILE"] = str(site.directory / "token")
        else:
            site.environment["CONSUL_HTTP_TOKEN"] = site.token
        # SQLite ignores user and password; what is looked for is the text in the settings.
        account = f"sqlite://user:{GUARD.new('database password')}@/"
        site.environment["DATABASE_URL"] = site.environment["DATABASE_URL"].replace("sqlite:///", account)
        yield site.runserver("--noreload") if server == "runserver" else site.gunicorn()


def fail(site, accept):
    """POST to the view that fails, with a secret in a field for one."""
    session = requests.Session()
    session.trust_env = False
    site.request("GET", "/admin/login/", session=session)
    data = {
        "csrfmiddlewaretoken": session.cookies["csrftoken"],
        "redis_config__redis_password": GUARD.new("typed password"),
        "comment": "what is no secret stays",
    }
    headers = {"Referer": site.url + "/fail/", "Accept": accept}
    return site.request("POST", "/fail/?q=1", session=session, data=data, headers=headers)


@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
def test_error_page_and_log_show_no_secret(failing_site, accept):
    """`request` and `log` look for every secret that this run knows."""
    answer = fail(failing_site, accept)
    assert answer.status_code == 500, answer.text
    assert ("RuntimeError" in answer.text) is failing_site.debug
    if failing_site.debug:
        assert "fingerprint" in answer.text, "masked, not cut"
        assert "what is no secret stays" in answer.text
    failing_site.wait_logged("RuntimeError: second")
    log = failing_site.log()
    assert "ValueError: first" in log and "The above exception was the direct cause" in log
    assert "\x1b" not in log and "\\x1b[31m" in log


def test_page_of_what_is_not_found_shows_no_secret(failing_site):
    """Neither from the settings nor where somebody put one into the path."""
    answer = failing_site.get(f"/{failing_site.token}/", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert ("URLconf" in answer.text) is failing_site.debug
    failing_site.log()


def test_failure_of_a_lean_path_shows_no_secret(failing_site):
    failing_site.get("/admin/login/")  # the first request for Django loads the URLs, and with them what fails
    answer = failing_site.get("/metrics")
    assert answer.status_code == 500
    failing_site.wait_logged("RuntimeError: third")
    assert "\x1b" not in failing_site.log()


@pytest.mark.parametrize("output", ["hash", "unified"])
def test_differences_of_the_settings_show_no_secret(failing_site, output):
    """`command` looks for every secret; what is none stays, and so does what differs."""
    shown = failing_site.command("diffsettings", "--output", output).stdout
    assert "ROOT_URLCONF = 'failing_urls'" in shown
    assert "SECRET_KEY = '****" in shown
    assert "'ENGINE': 'django.db.backends.sqlite3'" in shown
    assert "PASSWORD_RESET_TIMEOUT" not in shown

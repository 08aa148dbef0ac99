"""A process in which the admin's pages are asked for: with anything typed, while Consul holds or answers anything.

    python -m tests.support.fuzzed_pages EXAMPLES

Nothing is probed; what is saved goes to the agent. Its database is in memory.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import django
from hypothesis import strategies as st
from urllib3 import encode_multipart_formdata

from demo_site.bounded import LONGEST_BODY
from tests.support.documents import SMALLEST, raw
from tests.support.fuzzing import Target, examine, json_like, texts
from tests.support.scripted_agent import (
    KEY,
    SAVE_ID,
    SHOWN,
    ScriptedAgent,
    documents,
    entries,
    rarely,
    scripts,
    workers,
)

EXAMPLES = 6_000  # in `make soak`
MOST_BYTES = 5_000_000  # of a page
TYPED_BEFORE = "S3cret-of-an-earlier-page"
AS_OPENED = {
    "show_message": SMALLEST["show_message"],
    "redis_config__redis_host": "127.0.0.1",
    "redis_config__redis_port": "6379",
    "redis_config__redis_db": "0",
    "redis_config__redis_password": "",
    "redis_config__redis_password__kept": "",
    "comment": "why",
    "base_index": "7",
}
FIELDS = [
    *("comment", "step", "base_index", "base_shown", "save_id", "of_nobody"),
    *(f"{name}{suffix}" for name in list(AS_OPENED)[:5] for suffix in ("", "__kept", "__remove", "__discard")),
]
typed = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.sampled_from([AS_OPENED, AS_OPENED, {}]),
    st.dictionaries(st.sampled_from(FIELDS), texts, max_size=4),
    st.fixed_dictionaries({}, optional={
        "step": st.sampled_from(["edit", "preview", "save"]),
        "base_index": st.sampled_from(["7", "6"]),
        "show_message": st.just("changed"),
        "redis_config__redis_password": st.just("typed"),
        "save_id": st.just(f"{SAVE_ID[:-1]}9"),
        "base_shown": json_like({"show_message": [SHOWN["value"], False], "redis_config.redis_host": ["a", False]}).map(
            lambda text: text.decode("utf-8", "replace")
        ),
        "redis_config__redis_password__kept": st.sampled_from(["SHARE", "SHARE", "0.", "é.zz"]),
    }),
)  # fmt: skip
held = st.fixed_dictionaries({
    "script": rarely({}, scripts),
    "document": rarely(raw(SMALLEST), documents | st.just(b"")) | documents,
    "history": st.lists(entries, max_size=3),
    "fleet": st.lists(workers, max_size=3),
})  # fmt: skip
rollback = f"history/{SAVE_ID}/rollback/"
URLENCODED, BOUNDARY = "application/x-www-form-urlencoded", "between"


def multipart(data):
    fields = {name: value.encode("utf-8", "surrogatepass") for name, value in data.items()}
    return encode_multipart_formdata(fields, BOUNDARY)[0]


bodies = st.one_of(
    typed.map(lambda data: (URLENCODED, urlencode(data, errors="surrogatepass").encode()[:LONGEST_BODY])),
    typed.map(lambda data: (f"multipart/form-data; boundary={BOUNDARY}", multipart(data)[:LONGEST_BODY])),
)
pages = st.one_of(
    st.tuples(st.sampled_from(["edit/", rollback]), bodies),
    st.tuples(st.sampled_from(["", "status/", "edit/", "history/", rollback]), st.none()),
    # A server takes no longer line than 8 KiB.
    st.tuples(texts.map(lambda text: f"history/?{urlencode({'page': text[:400]}, errors='replace')}"), st.none()),
)


def main(count):
    os.environ |= {
        "DEMO_CONFIG_FILE": str(Path(__file__).parents[2] / "deploy/local/document.json"),
        "DJANGO_SETTINGS_MODULE": "demo_site.settings",
        "DJANGO_SECRET_KEY": "of this process",
        "DATABASE_URL": "sqlite://:memory:",
    }
    django.setup()
    ask = prepare()
    inputs = st.tuples(pages, held, st.sampled_from(["en", "zh-hans"]))
    escapes = (URLENCODED, b"comment=" + b"%41" * (LONGEST_BODY // 3 - 3))
    unpaired = (URLENCODED, b'base_index=6&base_shown={"show_message":"\\udc00x"}')
    found = [(("edit/", body), {"script": {}}, "en") for body in (escapes, unpaired)]
    print(json.dumps(examine(Target(ask, inputs, examples=EXAMPLES, found=found), count)))


def prepare():
    """A function that asks for a page."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.contrib.messages.storage import default_storage
    from django.contrib.sessions.backends.db import SessionStore
    from django.core.exceptions import RequestDataTooBig
    from django.core.management import call_command
    from django.http import Http404
    from django.test import RequestFactory
    from django.urls import resolve
    from django.utils import translation

    from demo_site.admin import change, secret_shares
    from demo_site.config import probing
    from demo_site.config.live import Live
    from demo_site.config.revision import parsed
    from demo_site.config.source import Start
    from demo_site.consul_agent.address import AgentAddress
    from demo_site.consul_agent.client import Client, Timeouts
    from demo_site.environment import Environment
    from demo_site.monitoring import checks

    class QuickStart(Start):
        def open_client(self, timeouts=None, **options):
            return Client(self.address, Timeouts(connect=5.0, read=0.2), **options)

    call_command("migrate", verbosity=0)
    user = User.objects.create_superuser("editor")
    probing.faults = lambda *_documents: []
    checks.redis_error = lambda _in_force: None
    in_force = parsed(raw(SMALLEST), "consul", KEY, 7)
    start = QuickStart(Environment({"DEMO_CONFIG_KEY": KEY}), AgentAddress(), in_force, None)
    live = settings.CONFIGURATION = Live(start)

    def request_of(path, body):
        session = SessionStore()
        share = secret_shares.cut(session, TYPED_BEFORE)
        form, sent = body or ("", b"")
        sent = sent.replace(b"SHARE", share.encode())
        request = RequestFactory(SERVER_NAME="localhost").generic(
            "POST" if body else "GET", path, sent, content_type=form
        )
        request.user, request.session = user, session
        request._messages = default_storage(request)
        request._dont_enforce_csrf_checks = True
        return request

    def ask(example):
        (path, body), world, language = example
        change._allowance._used.clear()
        request = request_of(f"/admin/effective-configuration/{path}", body)
        found = resolve(request.path)
        with ScriptedAgent(**world) as agent, translation.override(language):
            live.start = replace(start, address=AgentAddress(port=agent.port))
            try:
                answer = found.func(request, *found.args, **found.kwargs)
            except (Http404, RequestDataTooBig):  # Django's handler makes 404 and 413 of them
                return
            content = getattr(answer, "render", lambda: answer)().content
        assert answer.status_code in (200, 302), answer.status_code
        assert len(content) < MOST_BYTES
        for secret in (SMALLEST["redis_config"]["redis_password"], TYPED_BEFORE):
            assert secret.encode() not in content, secret

    return ask


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""From the version that users have to this one: both run side by side, read what the other wrote, and lose nothing."""

import contextlib
import functools
import json
import signal

import pytest
import requests

from tests.support.admin import PATH, AdminSite
from tests.support.binaries import PROJECT
from tests.support.consul import ConsulServer
from tests.support.documents import MESSAGE, document
from tests.support.editors import Editor
from tests.support.membership import NAME, Visitors, restart, seconds_until_passing
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.releases import unpack
from tests.support.secrets import GUARD
from tests.support.shown import events, workers
from tests.support.waiting import wait_until
from tests.support.workers import Load, Workers

pytestmark = pytest.mark.slow

# The version that is upgraded from: the last commit before each setting was declared once and the modules moved.
OLD_COMMIT = "25aa707f3bacb6e0f31525bc44e7e7eb8f662688"
PASSWORD = "redis_config.redis_password"  # the setting
OTHER = {"old": "new", "new": "old"}
BOTH_WAYS = pytest.mark.parametrize(("writer", "reader"), OTHER.items(), ids=[f"{a} to {b}" for a, b in OTHER.items()])


@pytest.fixture(scope="module")
def old_tree(tmp_path_factory):
    """The project as it was at `OLD_COMMIT`."""
    return unpack(OLD_COMMIT, tmp_path_factory.mktemp("old-version"))


def fleet_variables(consul, config_key, directory):
    """What the instances of one fleet share. The names are given: both versions must mean the same ones."""
    return {
        "CONSUL_HTTP_ADDR": consul.address,
        "CONSUL_REGISTER": "1",
        "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
        "DEMO_CONFIG_KEY": config_key,
        "DJANGO_SECRET_KEY": GUARD.new("DJANGO_SECRET_KEY of a fleet"),
        "SERVICE_CHECK_INTERVAL": "1s",
        "SERVICE_DRAIN_SECONDS": "2",
        "SERVICE_NAME": NAME,
    }


def printed(site, *arguments):
    """What `effective_config` of the site's version prints, from its JSON."""
    done = site.command("effective_config", *arguments, "--format", "json")
    assert done.status == 0, done.stderr
    return json.loads(done.stdout)


def fleet_printed(site):
    """{instance: {pid: state}}, as `effective_config --fleet` of the site's version prints it."""
    found = {}
    for row in printed(site, "--fleet"):
        found.setdefault(row["instance"], {})[row["pid"]] = row["state"]
    return found


def wait_shown(sites, state, look):
    """Wait until `look` shows each worker of these sites in this state, and no other worker.

    Longer than it takes until Consul drops what a worker that was killed has published.
    """

    def complete():
        running = {site.environment["SERVICE_ID"]: dict.fromkeys(site.worker_pids(), state) for site in sites}
        assert look() == running
        return True

    wait_until(complete, 60, f"all workers to be shown as {state}", ignoring=(AssertionError,))


# The upgrade.


def test_upgrade_under_load_costs_no_request(old_tree, new_site, consul, redis, config_key, tmp_path):
    """Instance by instance, and the document changes in between."""
    consul.put(config_key, document(redis, "nothing is upgraded"))
    variables = fleet_variables(consul, config_key, tmp_path)
    sites = [new_site({**variables, "SERVICE_ID": name}, project=old_tree) for name in ("first", "second")]
    for site in sites:
        site.gunicorn(workers=2)
    seconds_until_passing(consul, len(sites))
    with Visitors(consul, pause=0.05) as visitors:
        for site in sites:
            visitors.wait_for(visitors.requests + 100)
            site.project = PROJECT
            assert restart(site, consul, len(sites), functools.partial(site.gunicorn, workers=2)) == 0
            consul.put(config_key, document(redis, f"the {site.environment['SERVICE_ID']} is upgraded"))
            for each in sites:
                wait_shown(sites, "current", functools.partial(fleet_printed, each))
        visitors.wait_for(visitors.requests + 100)
    assert visitors.failures == []
    assert len(set(visitors.numbers)) == len(visitors.numbers) == visitors.requests
    assert visitors.served_by == {site.address for site in sites}


def test_new_master_at_the_same_socket_costs_no_request(old_tree, new_site, environment, tmp_path):
    """SIGUSR2 repeats the old command, which names the WSGI application, in a folder with the new version by then."""
    folder, pid_file = tmp_path / "current", tmp_path / "gunicorn.pid"
    folder.symlink_to(old_tree)
    site = new_site({**environment, "PWD": str(folder)}, project=folder)
    site.gunicorn("--pid", str(pid_file), workers=2)
    assert site.get("/").headers["Server"] == "gunicorn", "threads"
    Workers(site, 2).find().close()  # both have read all of the old version
    with Load(site, clients=8) as load:
        folder.unlink()
        folder.symlink_to(PROJECT)
        site.signal(signal.SIGUSR2)
        wait_until(lambda: site.log().count("Booting worker") == 4, message="the new master's workers")
        served = len(load.served)
        wait_until(lambda: len(load.served) > served + 100, message="pages of both")
        assert site.stop(60) == 0
        served = len(load.served)
        wait_until(lambda: len(load.served) > served + 100, message="pages of the new one")
    assert (load.failed, load.cut) == ([], 0)
    load.assert_numbers_unique()
    assert "Server" not in site.get("/", session=requests).headers, "the event loop"


# Halfway: both versions side by side.


class Pair:
    """A running instance of each version in one fleet, `old` and `new`.

    The old version made the users and gave them their permissions; then the new one migrated the database.
    """

    def __init__(self, old_tree, consul, redis, directory, stack):
        self.consul, self.redis, self.key = consul, redis, "document-of-a-pair"
        self.reset()
        variables = fleet_variables(consul, self.key, directory)
        self.snapshots = {name: directory / f"{name}.json" for name in OTHER}
        self.sites = {}
        for name, project in (("old", old_tree), ("new", PROJECT)):
            own = {"SERVICE_ID": name, "DEMO_CONFIG_SNAPSHOT": str(self.snapshots[name])}
            self.sites[name] = stack.enter_context(AdminSite({**variables, **own}, project=project))
        self.old, self.new = self.sites.values()
        self.new.password = self.old.password
        self.old.prepare().gunicorn(workers=2)
        migrated = self.new.command("migrate")
        assert migrated.status == 0, migrated.stderr
        self.new.gunicorn(workers=2)
        seconds_until_passing(consul, 2)

    def reset(self, message=MESSAGE):
        """Store a document with the password that Redis started with."""
        self.consul.put(self.key, document(self.redis, message))

    def stored(self):
        """The document in Consul."""
        return json.loads(self.consul.get(self.key))

    def editor(self, name, user="keeper"):
        """This user at the pages of one of the versions."""
        return Editor(self.sites[name], user)

    def save(self, editor, comment, **fields):
        """Save a change; the ModifyIndex that it got. Consul shows whether it was saved: a page's text may change."""
        before = self.consul.index(self.key)
        page = editor.post(editor.form() | fields | {"comment": comment})
        index = self.consul.index(self.key)
        assert index > before, f"nothing was saved: {page}"
        return index

    def new_password(self):
        """Another password that Redis accepts."""
        password = GUARD.new("Redis password after a rotation")
        with self.redis.client() as client:
            client.execute_command("ACL", "SETUSER", "default", f">{password}")
        return password


@pytest.fixture(scope="module")
def module_pair(old_tree, tmp_path_factory):
    with contextlib.ExitStack() as stack:
        consul = stack.enter_context(ConsulServer())
        redis = stack.enter_context(RedisServer(GUARD.new("Redis password")))
        yield Pair(old_tree, consul, redis, tmp_path_factory.mktemp("pair"), stack)


@pytest.fixture
def pair(module_pair):
    """The shared pair with a fresh document; the history of other tests stays below what a test adds to it."""
    module_pair.reset()
    return module_pair


STORED = {"current": {}, "rejected": {"show_message": 7}}  # the state, and what the document holds to lead there


@pytest.mark.parametrize("state", STORED)
def test_both_versions_show_all_workers_of_both(pair, state):
    """In the terminal and on the page, each with the reason that its own version gives."""
    pair.consul.put(pair.key, document(pair.redis) | STORED[state])
    sites, session = pair.sites.values(), pair.old.session("viewer")
    for site in sites:
        wait_shown(sites, state, lambda site=site: fleet_printed(site))
        wait_shown(sites, state, lambda site=site: workers(site.get(PATH, session=session).text))
    given = {name: site.ready()["config"]["reason"] for name, site in pair.sites.items()}
    assert [bool(reason) for reason in given.values()] == [state == "rejected"] * 2
    for site in sites:
        assert {row["instance"]: row["reason"] for row in printed(site, "--fleet")} == given


def test_fingerprints_stay(pair):
    """Of every secret that the old version shows; the new one may show more."""
    old, new = (
        {row["setting"]: row["value"] for row in printed(site) if row["secret"] and row["value"]}
        for site in pair.sites.values()
    )
    assert {PASSWORD, "DJANGO_SECRET_KEY"} <= set(old)
    assert {setting: new.get(setting) for setting in old} == old


@BOTH_WAYS
def test_history_of_one_version_is_shown_by_the_other(pair, writer, reader):
    """Each entry with who, why and what. A secret that stayed the same does not look as if it had changed."""
    pair.reset("as it was")
    editor = pair.editor(writer)
    edited = pair.save(editor, "a better text", show_message="edited")
    rotated = pair.save(editor, "the yearly rotation", redis_config__redis_password=pair.new_password())
    pair.consul.put(pair.key, {**pair.stored(), "show_message": "by the CLI"})
    outside, rotation, edit = shown = events(pair.editor(reader, "viewer").history())[:3]
    assert (outside.kind, outside.differences) == ("outside", {"show_message": ["edited", "by the CLI"]})
    assert (rotation.kind, rotation.index, list(rotation.differences)) == ("edit", rotated, [PASSWORD])
    before, after = rotation.differences[PASSWORD]
    assert before != after
    assert all("fingerprint" in mask for mask in (before, after))
    assert (edit.kind, edit.index) == ("edit", edited)
    assert edit.differences == {"show_message": ["as it was", "edited"]}
    for event, comment in ((rotation, "the yearly rotation"), (edit, "a better text")):
        assert "keeper" in event.text
        assert comment in event.text
    written = events(editor.history())[:3]
    assert [(each.index, each.differences) for each in shown] == [(each.index, each.differences) for each in written]


@BOTH_WAYS
def test_rollback_to_what_the_other_version_saved(pair, writer, reader):
    """It brings the settings back and leaves the secret of today, and the other version shows it."""
    pair.reset("as it was")
    editor, keeper = pair.editor(writer), pair.editor(reader)
    pair.save(editor, "a better text", show_message="edited")
    password = pair.new_password()
    pair.save(editor, "the yearly rotation", redis_config__redis_password=password)
    *_others, edit, _rotation = pair.consul.api("GET", f"/v1/kv/{pair.key}.history/?keys").json()
    keeper.roll_back(f"{PATH}history/{edit.rpartition('/')[2]}/rollback/", "it was not better")
    rotated = pair.redis.document(redis_password=password)
    assert pair.stored() == document(message="as it was", redis_config=rotated)
    newest = events(editor.history())[0]
    assert (newest.kind, newest.index) == ("rollback", pair.consul.index(pair.key))
    assert newest.differences == {"show_message": ["edited", "as it was"]}
    assert "it was not better" in newest.text


ALLOWED = {
    "viewer": {"": 200, "edit/": 403, "history/": 200, "rollback": 403},
    "editor": {"": 200, "edit/": 200, "history/": 200, "rollback": 403},
    "keeper": {"": 200, "edit/": 200, "history/": 200, "rollback": 200},
    "other": {"": 403, "edit/": 200, "history/": 403, "rollback": 403},
    "staff": {"": 403, "edit/": 403, "history/": 403, "rollback": 403},
}


@pytest.mark.parametrize("user", ALLOWED)
def test_permissions_and_logins_stay(pair, user):
    """Given by the old version, they hold in both after the new one has migrated the database."""
    keeper = pair.editor("old")
    pair.save(keeper, "something to go back to", show_message="changed")
    rollback = events(keeper.history())[0].rollback
    session = pair.old.session(user)
    for name, site in pair.sites.items():
        paths = {page: rollback if page == "rollback" else PATH + page for page in ALLOWED[user]}
        statuses = {page: site.get(path, session=session).status_code for page, path in paths.items()}
        assert statuses == ALLOWED[user], name
        assert site.get("/admin/", session=session).status_code == 200  # it shows the user's log entries


@BOTH_WAYS
def test_snapshot_of_one_version_starts_the_other_while_consul_is_away(pair, new_site, writer, reader):
    message, snapshot = f"kept by the {writer} version", pair.snapshots[writer]
    pair.reset(message)
    wait_until(lambda: message in snapshot.read_text(), 30, "the snapshot", ignoring=(FileNotFoundError,))
    variables = {"CONSUL_HTTP_ADDR": f"127.0.0.1:{free_port()}", "DEMO_CONFIG_SNAPSHOT": str(snapshot)}
    site = new_site({**variables, "DEMO_CONFIG_KEY": pair.key}, project=pair.sites[reader].project).gunicorn()
    config = site.ready()["config"]
    assert (config["state"], config["index"]) == ("snapshot", pair.consul.index(pair.key))
    assert site.get("/").text.startswith(f"{message}! ")

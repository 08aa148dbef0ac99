"""A setting is declared once: a member of each supported type, added in one line, has all that the site's own have."""

import copy
import json
import re

import pytest

from tests.support.admin import PATH
from tests.support.documents import document
from tests.support.editors import Editor
from tests.support.own_settings import DEFAULTS, SMALLEST, Form, OwnSite, cells, own_project
from tests.support.secrets import GUARD
from tests.support.shown import events
from tests.support.waiting import wait_until
from tests.test_admin_edit import logged

pytestmark = pytest.mark.slow
KEY = "own-config"


@pytest.fixture(scope="module")
def secrets():
    """The values of the secret settings."""
    return {
        "secret_required": GUARD.new("required secret"),
        "secret_optional": GUARD.new("optional secret"),
        "secret_bounded": GUARD.new("secret with bounds"),
        "limits.key": GUARD.new("secret of a group"),
        "first.second.third.token": GUARD.new("secret three deep"),
    }


@pytest.fixture(scope="module")
def module_site(session_consul, session_redis, secrets, tmp_path_factory):
    session_consul.put(KEY, document(session_redis, **SMALLEST, secret_required=secrets["secret_required"]))
    variables = {"CONSUL_HTTP_ADDR": session_consul.address, "DEMO_CONFIG_KEY": KEY}
    with OwnSite(variables, project=own_project(tmp_path_factory.mktemp("own"))) as site:
        site.prepare()
        yield site.gunicorn()


@pytest.fixture
def smallest(redis, secrets):
    """The smallest document."""
    return document(redis, **copy.deepcopy(SMALLEST), secret_required=secrets["secret_required"])


@pytest.fixture
def put(module_site, consul):
    """Put a document and wait until the site has it, or has rejected it."""

    def put(value):
        consul.put(KEY, value)
        wait_until(lambda: seen(module_site) == consul.index(KEY), message="the site to see the document")

    return put


@pytest.fixture
def site(module_site, consul, put, smallest):
    """The site with the smallest document in force and no history."""
    consul.delete(f"{KEY}.history?recurse")
    put(smallest)
    return module_site


@pytest.fixture
def editor(site):
    return OwnEditor(site, "keeper")


def seen(site):
    """The index of the newest document that the site has judged."""
    config = site.ready()["config"]
    return (config["rejected"] or config)["index"]


class OwnEditor(Editor):
    """An editor at a form with fields of every kind."""

    def open(self):
        return Form(self._checked(self.session.get(self.url, timeout=30)))

    def send(self, form, step, comment="a test", **changes):
        """Send the form with these changes; None unticks a box."""
        data = {**form.data, "comment": comment, **changes}
        return self.post({name: value for name, value in data.items() if value is not None}, step)

    def change(self, comment="a test", **changes):
        """Change these fields, look at the preview and save: the differences that the preview has shown."""
        page = self.send(self.open(), "preview", comment, **changes)
        assert 'id="preview"' in page, Form(page).errors
        saved = self.post(Form(page).data, "save")
        assert "Saved as version" in saved, saved
        return cells(page, "difference")

    def overview(self):
        return self._checked(self.session.get(self.site.url + PATH, timeout=30))


def stored(consul):
    return json.loads(consul.get(KEY))


def shown(value):
    """A value as the pages have it."""
    if value in ("", []):
        return "(empty)"
    if isinstance(value, list):
        return "\n".join(value)
    return "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# What is in force.


def told(cell):
    """The value in the page's cell, and whether it says that this is the default."""
    value = cell.removesuffix("default")
    return value.strip(), value != cell


def test_each_is_shown_with_its_value_and_origin(site, editor, smallest):
    rows = site.rows()
    for path, value in DEFAULTS.items():
        assert (path, rows[path]["value"], rows[path]["origin"]) == (path, value, "default")
    for path, value in {**SMALLEST, "first.second.third.name": "deep"}.items():
        if not isinstance(value, dict):
            assert (path, rows[path]["value"]) == (path, value)
            assert rows[path]["origin"].startswith(f"Consul key {KEY}, ModifyIndex ")
    assert re.fullmatch(r"•+ \(fingerprint [0-9a-f]{8}\)", rows["secret_required"]["value"])
    table = site.command("effective_config").stdout
    page = cells(editor.overview(), "setting")
    for path in (*DEFAULTS, *SMALLEST):
        if path in rows:
            value = "none" if rows[path]["value"] is None else shown(rows[path]["value"])
            assert (path, *told(page[path][0])) == (path, value, value != "none" and rows[path]["origin"] == "default")
            assert re.search(rf"^{path} ", table, re.MULTILINE)
    assert re.search(r"^list_default +one +default +own\n +two$", table, re.MULTILINE)


def test_unknown_members_are_reported_at_every_depth_and_their_values_are_not(site, put, editor, smallest):
    unknown = GUARD.new("misspelt secret")
    smallest["first"]["second"]["third"]["tokn"] = unknown
    smallest["first"]["second"]["x"] = {"y": unknown}
    smallest["limits"] = {"most": 1, "soft": True, "kye": [unknown]}
    put(smallest)
    kinds = {"first.second.third.tokn": "text", "first.second.x": "an object", "limits.kye": "a list"}
    page = cells(editor.overview(), "setting")
    for path, kind in kinds.items():
        assert page[path][0] == f"ignored: {kind}"
    editor.change(text="other")
    assert {path: row["value"] for path, row in site.rows().items()}["limits.kye"] == "ignored: a list"


# The form.

KINDS = {
    "text": "text",
    "text_optional": "text",
    "text_lines": "textarea",
    "int_required": "number",
    "float_default": "number",
    "bool_required": "checkbox",
    "bool_on": "checkbox",
    "bool_optional": "select",
    "secret_optional": "password",
    "secret_bounded": "password",
    "choice_required": "select",
    "choice_default": "select",
    "list_required": "textarea",
    "list_optional": "textarea",
    "features__dark": "checkbox",
    "limits__most": "number",
    "limits__soft": "select",
    "limits__key": "password",
    "first__second__third__name": "text",
    "first__second__third__token": "password",
}


def test_each_has_a_field_with_its_bounds_and_its_default(editor):
    form = editor.open()
    assert {name: form.fields[name] for name in KINDS} == KINDS
    bounds = {name: (form.attributes[name].get("min"), form.attributes[name].get("max")) for name in form.fields}
    assert bounds["int_required"] == ("1", "9")
    assert bounds["int_default"] == ("1", "9")
    assert bounds["limits__most"] == ("1", None)
    assert form.data["text_default"] == "a default"
    assert form.data["list_default"] == "one\ntwo\n"
    assert form.data["choice_default"] == "safe"
    assert form.data["bool_optional"] == form.data["limits__soft"] == ""
    assert {name for name in form.data if name.startswith("bool_")} >= {"bool_required", "bool_on"}
    assert "bool_off" not in form.data
    assert [name for name in form.fields if name.endswith("__remove")] == ["redis_config__redis_password__remove"]


FAULTS = {
    "text": ("x", "must have at least 2 characters"),
    "int_required": ("10", "must be at most 9"),
    "int_default": ("10", "must be less than 10"),
    "int_optional": ("1.5", "must be a whole number"),
    "float_required": ("-0.5", "must be at least 0"),
    "float_default": ("2.5", "must be less than 2.5"),
    "secret_bounded": ("short", "must have at least 8 characters"),
    "list_required": ("", "must have at least 1 items"),
    "list_default": ("1\n2\n3\n4", "must have at most 3 items"),
    "list_optional": ("short\n" + "long" * 20, "list_optional[1]: must have at most 60 characters"),
    "limits.most": ("0", "must be at least 1"),
    "limits.soft": ("", "is missing"),
    "first.aside.third.name": ("", None),
}


def test_a_value_out_of_bounds_is_a_fault_at_its_field_in_the_words_of_the_log(site, editor, put, consul, smallest):
    typed = {path.replace(".", "__"): text for path, (text, _) in FAULTS.items()}
    form = Form(editor.send(editor.open(), "preview", **typed))
    assert form.errors == {path: problem for path, (_, problem) in FAULTS.items() if problem}
    assert form.data.items() >= {name: text for name, text in typed.items() if name != "secret_bounded"}.items()
    assert stored(consul) == smallest
    put(smallest | {"float_default": 2.5, "list_default": ["1", "2", "3", "4"]})
    rejected = site.ready()["config"]["rejected"]["faults"]
    assert rejected == [f"{path}: {FAULTS[path][1]}" for path in ("float_default", "list_default")]


# A change.


def new_values(secrets):
    """Another value for each: as it is typed, and as it stands in the document then."""
    return {
        "text": ("another text", "another text"),
        "text_optional": (" with  blanks ", " with  blanks "),
        "text_lines": ("two\r\nlines", "two\nlines"),
        "text_default": ("", ""),
        "int_required": ("2", 2),
        "int_default": ("9", 9),
        "int_optional": ("-1", -1),
        "float_required": ("2", 2),
        "float_default": ("1e-3", 0.001),
        "bool_required": (None, False),
        "bool_off": ("on", True),
        "bool_on": (None, False),
        "bool_optional": ("False", False),
        "secret_optional": (secrets["secret_optional"], secrets["secret_optional"]),
        "secret_bounded": (secrets["secret_bounded"], secrets["secret_bounded"]),
        "choice_required": ("high", "high"),
        "choice_default": ("fast", "fast"),
        "choice_number": ("3", 3),
        "list_required": ("a\r\n b \r\nc", ["a", " b ", "c"]),
        "list_default": ("", []),
        "list_optional": (r"a\nb" + "\r\n" + r"C:\\new", ["a\nb", r"C:\new"]),
        "features.dark": ("on", True),
        "features.weight": ("7", 7),
        "limits.most": ("5", 5),
        "limits.soft": ("False", False),
        "limits.key": (secrets["limits.key"], secrets["limits.key"]),
        "first.second.third.token": (secrets["first.second.third.token"], secrets["first.second.third.token"]),
        "first.aside.third.name": ("aside", "aside"),
    }


def nested(values):
    """Values by path as objects in one another."""
    result = {}
    for path, value in values.items():
        *parents, name = path.split(".")
        holder = result
        for parent in parents:
            holder = holder.setdefault(parent, {})
        holder[name] = value
    return result


def test_each_is_changed_live_and_back(site, editor, consul, smallest, secrets):
    values = new_values(secrets)
    typed = {path.replace(".", "__"): text for path, (text, _) in values.items()}
    differences = editor.change("everything", **typed)
    after = {path: value for path, (_, value) in values.items()}
    assert stored(consul) == {**smallest, **nested(after | {"first.second.third.name": "deep"})}

    wait_until(lambda: seen(site) == consul.index(KEY), message="the change")
    page = cells(editor.overview(), "setting")
    for path, value in after.items():
        before, now = differences[path]
        if path in secrets:
            assert before == "not set"
            assert now == page[path][0]
            assert re.fullmatch(r"•+ \(fingerprint [0-9a-f]{8}\)", now)
        else:
            plain = SMALLEST.get(path)
            assert (path, before, now) == (path, shown(plain), shown(value))
            assert page[path][0] == shown(value)
    assert told(page["limits.note"][0]) == ("nothing", True)

    [saved, *_] = events(editor.history())
    assert saved.differences.keys() == differences.keys() == after.keys()
    assert saved.kind == "edit"
    [message] = logged(site, "everything")
    assert 'list_required: ["one"] → ["a", " b ", "c"]' in message
    assert "bool_on: (not set) → false" in message
    [entry] = consul.api("GET", f"/v1/kv/{KEY}.history/?keys").json()
    GUARD.check(consul.get(entry).decode(), "the history in Consul")

    assert "Rolled back" in editor.roll_back(saved.rollback, "back")
    kept = {path: value for path, value in secrets.items() if "." not in path}  # others go with what they belong to
    back = nested({**kept, "first.second.third.name": "deep"})
    assert stored(consul) == smallest | back


def exactly(value):
    """Everything that JSON tells apart, the order of members and 5 and 5.0 included."""
    return json.dumps(value)


def test_what_is_not_edited_stays_as_it_stands(editor, put, consul, smallest):
    smallest |= {"int_optional": None, "float_default": 1, "text_lines": "\r\n old \r line ends\r\n", "x": [1.0, None]}
    smallest |= {"limits": None, "list_optional": ["", "a\r\nb", "\\", "\\n", " ", ""], "list_default": None, "y": {}}
    del smallest["list_default"]
    smallest["features"] = {"y": {}, "weight": 5.0}
    put(smallest)
    assert set(editor.change(text="other")) == {"text"}
    assert exactly(stored(consul)) == exactly(smallest | {"text": "other"})
    page = editor.history()
    assert "Rolled back" in editor.roll_back(events(page)[0].rollback, "back")
    assert exactly(stored(consul)) == exactly(smallest)


def test_nothing_typed_is_nothing_changed(editor, put, consul, smallest, secrets):
    put(full(smallest, secrets))
    assert "Nothing is changed yet" in editor.send(editor.open(), "preview")


def full(smallest, secrets):
    """A document that has every setting."""
    after = {path: value for path, (_, value) in new_values(secrets).items()}
    more = {"limits.note": "noted", "first.second.third.name": "deep", "first.aside.third.token": secrets["limits.key"]}
    return smallest | nested(after | more)


def test_each_that_is_not_required_can_be_removed(editor, put, consul, smallest, secrets):
    put(full(smallest, secrets))
    form = editor.open()
    boxes = {name: "on" for name in form.fields if name.endswith("__remove")}
    emptied = ["text_optional", "text_lines", "int_default", "int_optional", "float_default", "bool_optional"]
    emptied += ["choice_default", "choice_number", "features__weight", "limits__most", "limits__soft"]
    emptied += ["first__aside__third__name"]
    boxes.pop("redis_config__redis_password__remove")
    assert {name.removesuffix("__remove") for name in boxes} == {
        *("text_default", "bool_off", "bool_on", "secret_optional", "secret_bounded", "list_default", "list_optional"),
        *("features__dark", "limits__key", "limits__note", "first__second__third__token", "first__aside__third__token"),
    }
    differences = editor.change(**boxes, **dict.fromkeys(emptied, ""))
    assert {after for _, after in differences.values()} == {"not set"}
    required = {path: value for path, (_, value) in new_values(secrets).items() if path in SMALLEST}
    assert stored(consul) == smallest | required


# Two at once.


def test_equal_ticks_and_lists_are_no_conflict_and_different_ones_are(editor, put, consul, smallest):
    form = editor.open()
    theirs = {"bool_off": True, "bool_on": False, "list_optional": ["a", "b"], "int_optional": 7, "float_default": 2}
    put(smallest | theirs | {"list_default": ["theirs"], "bool_optional": True})
    mine = {"bool_off": "on", "bool_on": None, "list_optional": "a\r\nb\r\n", "int_optional": "7", "float_default": "2"}
    page = editor.send(form, "save", **mine, list_default="mine", bool_optional="False", text="only mine")
    found = cells(page, "conflict")
    assert found == {
        **{path: ("not set", shown(value), shown(value)) for path, value in theirs.items()},
        "text": ("text", "text", "only mine"),
        "list_default": ("not set", "theirs", "mine"),
        "bool_optional": ("not set", "true", "false"),
    }
    both = re.findall(r'data-conflict="([a-z_]+)" class="both"', page)
    assert sorted(both) == ["bool_optional", "list_default"]
    merged = Form(page)
    assert (merged.data["list_optional"], merged.data["bool_off"], "bool_on" in merged.data) == ("a\nb\n", "on", False)
    preview = editor.send(merged, "preview")
    assert set(cells(preview, "difference")) == {"list_default", "bool_optional", "text"}
    editor.post(Form(preview).data)
    assert stored(consul) == smallest | theirs | {
        "list_default": ["mine"],
        "bool_optional": False,
        "text": "only mine",
    }


def test_what_only_others_changed_is_taken_over(editor, put, consul, smallest):
    form = editor.open()
    theirs = smallest | {"bool_off": True, "list_default": ["theirs"], "choice_number": 2, "bool_optional": False}
    theirs["limits"] = {"most": 4, "soft": True}
    put(theirs)
    page = editor.send(form, "save", text="mine")
    assert {mine for _, _, mine in cells(page, "conflict").values()} == {"unchanged", "mine"}
    editor.send(Form(page), "save")
    assert stored(consul) == theirs | {"text": "mine"}


def test_theirs_is_taken_of_a_setting_of_any_kind(editor, put, consul, smallest, secrets):
    put(smallest | {"text_optional": secrets["secret_required"], "text_lines": "lines", "list_optional": ["a"]})
    form = editor.open()
    theirs = {"bool_off": True, "bool_on": False, "int_default": 8, "choice_number": 2, "list_default": ["theirs"]}
    theirs |= {"text": "theirs", "text_optional": "theirs", "secret_optional": secrets["secret_bounded"]}
    put(smallest | theirs)
    mine = {"bool_on": "on", "int_default": "9", "choice_number": "1", "list_default": "mine", "text": "mine"}
    mine |= {"text_optional": "mine", "secret_optional": secrets["secret_optional"], "list_optional__remove": "on"}
    page = editor.send(form, "save", **mine, text_default="only mine")
    choices = {name for name in Form(page).fields if name.endswith("__choice")}
    assert {name.removesuffix("__choice") for name in choices} >= {"int_default", "list_default", "text_optional"}
    preview = editor.send(Form(page), "preview", **dict.fromkeys(choices, "theirs"))
    assert set(cells(preview, "difference")) == {"text_default"}
    editor.post(Form(preview).data)
    assert stored(consul) == smallest | theirs | {"text_default": "only mine"}


def test_a_text_that_others_put_a_secret_into_is_not_overwritten(editor, put, consul, smallest, secrets):
    put(smallest | {"text_optional": "before", "list_default": ["before"]})
    form = editor.open()
    theirs = smallest | {"text_optional": secrets["secret_required"], "list_default": [secrets["secret_required"]]}
    put(theirs)
    page = editor.send(form, "save", text="mine")
    editor.send(Form(page), "save")
    assert stored(consul) == theirs | {"text": "mine"}


def test_what_was_typed_unseen_is_kept_when_others_take_the_secret_out(editor, put, consul, smallest, secrets):
    put(smallest | {"text_lines": secrets["secret_required"], "list_optional": [secrets["secret_required"]]})
    form = editor.open()
    put(smallest | {"text_lines": "theirs", "list_optional": ["theirs"]})
    page = editor.send(form, "save", text_lines="mine\r\nhere", list_optional="mine\r\nhere")
    assert cells(page, "conflict")["list_optional"][1:] == ("theirs", "mine\nhere")
    editor.send(Form(page), "save")
    assert stored(consul) == smallest | {"text_lines": "mine\nhere", "list_optional": ["mine", "here"]}


# A document that is no good.


def test_a_repair_starts_from_the_default_and_does_not_write_it(editor, put, consul, smallest):
    put(smallest | {"bool_on": False, "list_default": ["in", "force"], "limits": {"most": 4, "soft": False}})
    broken = smallest | {"int_required": "wrong", "float_default": 5, "limits": {"soft": True}}
    del broken["features"]
    put(broken)
    form = editor.open()
    assert form.data["list_default"] == "one\ntwo\n"
    assert form.data["bool_on"] == "on"
    page = editor.send(form, "preview")
    editor.post(Form(page).data, "save")
    repaired = smallest | {"limits": {"soft": True, "most": 4}}  # what is wrong or missing starts from what is in force
    assert stored(consul) == repaired


def test_a_secret_of_a_wrong_type_is_shown_to_nobody(editor, put, smallest, secrets):
    """Nothing says which members are wrong where the document is nested too deeply to be looked at."""
    deep = []
    for _ in range(120):
        deep = [deep]
    put(smallest | {"secret_optional": [secrets["secret_optional"]], "list_optional": 5, "x": deep})
    assert "nested too deeply" in editor.send(editor.open(), "preview")


# A group that may stay away.


def test_an_optional_group_comes_with_what_is_typed_and_goes_with_its_last_member(editor, put, consul, smallest):
    page = editor.send(editor.open(), "preview", limits__note="alone")
    assert Form(page).errors == {"limits.most": "is missing", "limits.soft": "is missing"}
    editor.change(limits__most="1", limits__soft="True")
    assert exactly(stored(consul)) == exactly(smallest | {"limits": {"most": 1, "soft": True}})
    editor.change(limits__most="", limits__soft="")
    assert exactly(stored(consul)) == exactly(smallest)


def test_a_required_group_stays_when_its_members_go(editor, put, consul, smallest):
    put(smallest | {"features": {"dark": True}})
    editor.change(features__dark__remove="on")
    assert stored(consul) == smallest


# Secrets.

DUMP = """
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
print([entry.change_message for entry in LogEntry.objects.all()])
print([session.get_decoded() for session in Session.objects.all()])
"""


def test_a_secret_is_masked_wherever_it_stands(site, editor, put, consul, smallest, secrets):
    secret, new = secrets["secret_optional"], GUARD.new("rotated secret")
    spread = {"text_optional": f"the key {secret}", "list_optional": ["a", f"({secret})"]}
    spread |= {"secret_optional": secret, "text_lines": f"two\nlines {secret}"}
    put(smallest | spread | {f"a name with {secrets['secret_required']}": 1})
    rows = site.rows(SERVICE_TAGS=f"web,{secret}")
    assert rows["SERVICE_TAGS"]["value"].startswith("web,••••")
    assert rows["list_optional"]["value"][1].startswith("(••••")

    form = editor.open()
    assert [form.data[name] for name in ("text_optional", "text_lines", "list_optional")] == ["", "", ""]
    assert "keep the stored one" in form.notes["list_optional"]
    assert form.fields["list_optional"] == form.fields["text_lines"] == "textarea"
    comment = f"rotated {secret} to {new}"
    typed = {"secret_optional": new, "list_optional": f"b\r\n({new})", "text_lines": "without\r\nit"}
    typed |= {"text_optional": f"the key {new}"}
    wrong = editor.send(form, "preview", comment, int_required="x", **typed)
    again = editor.send(Form(wrong), "preview", comment, int_required="1")
    differences = cells(again, "difference")
    assert set(differences) == set(typed)
    assert differences["list_optional"][1].startswith("b\n(••••")
    assert differences["text_lines"][1] == "without\nit"
    assert "rotated •••" in editor.post(Form(again).data, "save")
    expected = {"secret_optional": new, "list_optional": ["b", f"({new})"], "text_lines": "without\nit"}
    expected |= {"text_optional": f"the key {new}", f"a name with {secrets['secret_required']}": 1}
    assert stored(consul) == smallest | expected

    editor.history()
    wait_until(lambda: seen(site) == consul.index(KEY), message="the change")
    editor.overview()
    for prefix in (f"{KEY}.history/", f"{KEY}.workers/"):
        names = consul.api("GET", f"/v1/kv/{prefix}?keys").json()
        assert names
        for name in names:
            GUARD.check(consul.get(name).decode(), name)
    told = site.command("shell", "-c", DUMP)  # its output is looked through for secrets
    assert "rotated •••" in told.stdout
    put(smallest | {"secret_optional": 5, "text": secret, "list_required": [secret, 5]})
    editor.open()
    editor.overview()
    site.command("effective_config", bound=60)
    site.log()


def test_an_optional_text_that_holds_a_secret_can_be_removed(editor, put, consul, smallest, secrets):
    secret = secrets["secret_required"]
    put(smallest | {"text_optional": secret, "list_optional": [secret]})
    editor.change(text_optional__remove="on", list_optional__remove="on")
    assert stored(consul) == smallest


# In a browser.


def test_a_browser_sends_back_what_it_was_given_and_what_was_typed(site, browser, put, consul, smallest, secrets):
    put(full(smallest, secrets))
    pages = site.log_in(browser, "keeper").open("edit/")
    pages.fill("comment", "a walk")
    pages.preview()
    assert "Nothing is changed yet" in pages.text()
    for name in ("bool_off", "features__dark"):
        pages.browser.one(f"[name={name}]").click()
    pages.fill("list_default", "typed\nhere\n")
    pages.browser.one("[name=choice_number] option[value='2']").click()
    pages.browser.one("[name=bool_optional] option[value=True]").click()
    pages.fill("float_default", ".5")
    pages.fill("text_lines", "line\nline\n")
    pages.preview()
    assert pages.differences() == {
        "text_lines": ("two\nlines", "line\nline"),
        "float_default": ("0.001", "0.5"),
        "bool_off": ("true", "false"),
        "bool_optional": ("false", "true"),
        "choice_number": ("3", "2"),
        "list_default": ("(empty)", "typed\nhere"),
        "features.dark": ("true", "false"),
    }
    pages.press("[name=step][value=edit]").preview().save()
    values = {"text_lines": "line\nline\n", "float_default": 0.5, "bool_off": False, "bool_optional": True}
    values |= {"choice_number": 2, "list_default": ["typed", "here"], "features": {"dark": False, "weight": 7}}
    assert stored(consul) == full(smallest, secrets) | values

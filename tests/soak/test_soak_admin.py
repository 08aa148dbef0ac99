"""The admin in full length: two editors at once, 200 rounds."""

import json

from tests.support.documents import MESSAGE
from tests.support.editors import edit_at_once


def test_two_editors_at_once(admin, consul, figure):
    saved, tries = edit_at_once(admin, rounds=200)
    assert json.loads(consul.get(admin.key))["show_message"].removeprefix(MESSAGE).split() == saved
    kept = consul.api("GET", f"/v1/kv/{admin.key}.history/?keys").json()
    assert len(kept) == 50
    figure("two editors at once: saves, conflicts, lost updates", f"{len(saved)}, {tries - len(saved)}, 0")

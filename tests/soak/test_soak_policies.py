"""Each right of docs/policies.md is taken from a token that has all: what needs it says so, and the rest works."""

import contextlib
import re

import pytest

from tests.support.certificates import make_certificates
from tests.support.policies import EDIT, FLEET, PARTS, POLICIES, PUBLISH, REGISTER, SERVICES, START, Datacenter, Trials

# What is taken (a pattern of rules), and who must then say what. A read that a stronger right includes goes with it.
TAKEN = {
    r'key "': {START: "key:read", EDIT: "key:read", REGISTER: "key:read", FLEET: "key:read"},
    r'key ".*write': {EDIT: "key:write"},
    r"key_prefix .*history": {EDIT: "key:write"},
    r"key_prefix .*workers": {PUBLISH: "key:write", FLEET: "key:read"},
    r"key_prefix .*workers.*write": {PUBLISH: "key:write"},
    r"session_prefix": {PUBLISH: "session:write"},
    r"service": {REGISTER: "service:write", FLEET: "service:read", SERVICES: "service:read"},
    r"service .*write": {REGISTER: "service:write"},
    r"node_prefix": {REGISTER: "node:read", FLEET: "node:read", SERVICES: "node:read"},
}


@pytest.fixture(scope="module")
def datacenter(tmp_path_factory, session_redis):
    with contextlib.ExitStack() as stack:
        yield Datacenter(make_certificates(tmp_path_factory.mktemp("certificates")), session_redis, stack)


@pytest.fixture(scope="module")
def trials(datacenter):
    edited = datacenter.site(datacenter.token(START, EDIT)).prepare().gunicorn()
    return Trials(datacenter, datacenter.whole(), edited)


@pytest.mark.parametrize("taken", TAKEN)
def test_who_needs_a_right_names_it_and_nobody_else_notices(datacenter, trials, taken):
    left = [rule for part in PARTS for rule in POLICIES[part] if not re.match(taken, rule)]
    token = datacenter.server.token(*left)
    complaints = {part: trials.complaint(part, token) for part in PARTS}
    assert {part for part in PARTS if complaints[part]} == TAKEN[taken].keys()
    for part, named in TAKEN[taken].items():
        assert named in complaints[part]


def test_every_rule_is_taken_once():
    assert [rule for part in PARTS for rule in POLICIES[part] if not any(re.match(each, rule) for each in TAKEN)] == []

"""The shared revision: what a replaced worker starts on, however its predecessors ended."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from demo_site.config.revision import parsed
from demo_site.config.shared import SharedRevision, SharedState
from tests.support.documents import SMALLEST, raw
from tests.support.processes import printed_by

NOW = datetime.now(UTC)


def value(message, index=1, kind="consul", at=NOW, generation=0):
    return parsed(raw(SMALLEST | {"show_message": message}), kind, "config", index, at, generation)


def test_empty_at_first():
    assert SharedRevision().read() is None


@pytest.mark.parametrize("kind", ["consul", "file", "snapshot"])
def test_last_value_is_read_with_where_it_came_from(kind):
    shared = SharedRevision()
    for number in range(5):
        written = value(f"message {number} ☃", number, kind)
        shared.write(written)
        assert shared.read().same_as(written) and shared.read().loaded_at == written.loaded_at


def test_largest_document_fits():
    filler = "x" * (512 * 1024 - len(raw(SMALLEST | {"show_message": ""})))
    shared = SharedRevision()
    for _ in range(3):
        shared.write(value(filler))
        assert json.loads(shared.read().raw)["show_message"] == filler


class _Killed(Exception):
    pass


class _Memory:
    """Shared memory whose writer dies after `left` more bytes."""

    def __init__(self, memory, left):
        self.memory, self.left = memory, left

    def __getitem__(self, part):
        return self.memory[part]

    def __setitem__(self, part, content):
        written = min(len(content), self.left)
        self.left -= written
        self.memory[part.start : part.start + written] = content[:written]
        if written < len(content):
            raise _Killed


@pytest.mark.parametrize("writes_before", [1, 2, 3])
def test_writer_that_dies_after_any_byte_leaves_the_value_before(writes_before):
    shared = SharedRevision()
    for number in range(writes_before):
        shared.write(value(f"whole {number}", number))
    whole, memory = shared.read(), shared._memory
    before, data = bytes(memory.data), memory.data
    length = 0
    while True:
        data[:] = before
        memory.data = _Memory(data, length)
        try:
            shared.write(value("another", 9))
        except _Killed:
            length += 1
        else:
            break
        finally:
            memory.data = data
        assert shared.read() == whole
        shared.write(value("next", 10))
        assert shared.read().index == 10
    assert length > 100
    assert shared.read().index == 9


def test_writers_that_are_killed_leave_neither_a_torn_value_nor_a_lock():
    counts = printed_by("tests.support.shared_storm", 40)
    assert counts == {"killed": 40, "readings": 40, "torn": 0, "lost": 0}


# What the processes of an instance agree on.


@pytest.mark.parametrize("late", [-1, 1], ids=["parsed before", "parsed after"])
def test_lower_index_does_not_replace_a_higher_one_whenever_it_was_parsed(late):
    shared = SharedState(None, value("start", 1, at=NOW - timedelta(seconds=9)))
    higher, lower = value("higher", 3), value("lower", 2, at=NOW + timedelta(seconds=late))
    shared.publish(higher)
    shared.publish(lower)
    assert shared.read() == higher


@pytest.mark.parametrize(
    ("earlier", "later"), [({"generation": 0}, {"generation": 1}), ({"kind": "snapshot"}, {"kind": "consul"})]
)
def test_indexes_of_different_stores_are_not_compared(earlier, later):
    old = value("old", 9, at=NOW - timedelta(seconds=1), **earlier)
    new = value("new", 2, **later)
    shared = SharedState(None, old)
    shared.publish(new)
    shared.publish(old)
    assert shared.read() == new


def test_clock_that_was_set_back_does_not_keep_the_old_value():
    shared = SharedState(None, value("start", 1, "snapshot", at=NOW + timedelta(hours=1)))
    shared.publish(value("after the clock was corrected", 2, at=NOW))
    assert shared.read().index == 2

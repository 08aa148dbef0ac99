"""What the admin's pages show, read from their HTML: for tests that need no browser."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Event:
    """One change on the timeline. `kind` is edit, rollback, outside or oldest.

    `differences` maps each setting to what it was before and after; `rollback` is the path of the event's link.
    """

    kind: str
    index: int
    text: str = ""
    differences: dict = field(default_factory=dict)
    rollback: str | None = None


class _Timeline(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.events, self._event, self._cells = [], None, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "data-event" in given:
            self._event = Event(given["class"], int(given["data-event"]))
            self.events.append(self._event)
        elif "data-difference" in given:
            self._cells = self._event.differences[given["data-difference"]] = []
        elif tag == "td" and self._cells is not None:
            self._cells.append("")
        elif tag == "a" and given.get("class") == "rollback":
            self._event.rollback = given["href"]

    def handle_data(self, data):
        if self._event:
            self._event.text += data
        if self._cells:
            self._cells[-1] += data.strip()

    def handle_endtag(self, tag):
        if tag == "tr":
            self._cells = None
        elif tag == "li":
            self._event = None


def events(page):
    """The changes on a history page, newest first."""
    return _Timeline(page).events


class _Fleet(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.instances, self._workers = {}, {}
        self._state = None  # of a row that names the workers in trouble, all that are in the same
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "data-instance" in given:
            self._workers = self.instances[given["data-instance"]] = {}
        elif "data-worker" in given:
            self._workers[int(given["data-worker"])] = given["data-state"]
        elif tag == "tr":
            self._state = given.get("data-state")

    def handle_data(self, data):
        if self._state:
            self._workers |= {int(pid): self._state for pid in re.findall(r"\d+", data)}

    def handle_endtag(self, tag):
        if tag == "th":
            self._state = None


def workers(page):
    """What each worker runs, as the overview shows it: {instance: {pid: state}}."""
    return _Fleet(page).instances

"""Editors without a browser: they read the form, post it, and go on after a conflict, as fast as they can."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.admin import PATH, FormFields
from tests.support.secrets import GUARD


class Editor:
    """One person at the configuration's pages."""

    def __init__(self, site, user):
        self.session, self.site, self.url = site.session(user), site, f"{site.url}{PATH}edit/"

    def form(self):
        """What the form holds."""
        return FormFields(self._checked(self.session.get(self.url, timeout=30))).found

    def post(self, fields, step="save"):
        """Send the form; the page that comes back, after redirects."""
        data = {"step": step, **fields}
        return self._checked(self.session.post(self.url, data, timeout=60, headers={"Referer": self.url}))

    def preview(self, comment="a test", **fields):
        """Go to the preview; what its form holds."""
        page = self.post(self.form() | fields | {"comment": comment}, step="preview")
        assert 'id="preview"' in page, page
        return FormFields(page).found

    def history(self, page=1, **asked):
        """A page of the history."""
        asked["page"] = page
        return self._checked(self.session.get(f"{self.site.url}{PATH}history/", params=asked, timeout=30))

    def roll_back(self, path, comment):
        """Follow the link of an event on the timeline and confirm; the page that comes back."""
        url = self.site.url + path
        fields = FormFields(self._checked(self.session.get(url, timeout=30))).found
        answer = self.session.post(url, fields | {"comment": comment}, timeout=60, headers={"Referer": url})
        return self._checked(answer)

    def can_restore(self):
        """Whether the version in force is offered in place of what is stored."""
        page = self._checked(self.session.get(f"{self.site.url}{PATH}restore/", timeout=30))
        return 'id="configuration-rollback"' in page

    def append(self, mark):
        """Add the mark to the message, starting again from the new message after a conflict. The number of tries."""
        for tries in range(1, 100):
            form = self.form()
            page = self.post(form | {"show_message": f"{form['show_message']} {mark}", "comment": mark})
            if "Saved as version" in page:
                return tries
            assert 'id="conflict"' in page, page
        raise AssertionError(f"{mark} met a conflict each time")

    def _checked(self, response):
        assert response.status_code == 200, response.text
        return GUARD.check(response.text, f"the answer of {response.url}")


def edit_at_once(site, rounds):
    """Two editors append a mark each, at the same time, in every round: the marks as they came, and all tries."""
    editors = [Editor(site, "editor"), Editor(site, "keeper")]
    marks, tries = [], 0
    with ThreadPoolExecutor(len(editors)) as pool:
        for number in range(rounds):
            pair = [f"a{number:03}", f"b{number:03}"]
            tries += sum(pool.map(Editor.append, editors, pair))
            marks += sorted(pair, key=editors[0].form()["show_message"].find)
    assert tries > 2 * rounds, "they never met"
    return marks, tries

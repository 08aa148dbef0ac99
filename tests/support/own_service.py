"""docs/make-it-yours.md as a program: copies of the project in which what the page says is done."""

import os
import re
import shutil
import subprocess
import sys

from demo_site import identity
from tests.support.binaries import PROJECT, consul_binary, redis_binary
from tests.support.processes import clean_environment
from tests.support.readme import section

PAGE = (PROJECT / "docs/make-it-yours.md").read_text()
# A service of its own, which has another name, has the patches applied, and is no longer what they start from.
IS_THE_BASE = f'-NAME = "{identity.NAME}"' in PAGE

_STEP = re.compile(r"^```diff\n(?P<patch>(?:.*\n)*?)```$|(?P<commands>(?:^ {4}.+\n)+)", re.MULTILINE)
_SOMEBODY = {f"GIT_{role}_{what}": "test@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_MAKE_MESSAGES = """
import sys; sys.path.insert(0, "deploy/local")
import catalogs, pathlib
print(catalogs.update(pathlib.Path.cwd(), pathlib.Path(sys.executable)))
"""


class Copy:
    """A clone at `root`: of what git knows of the project, as it is now, or of the repository `origin`."""

    def __init__(self, root, origin=None):
        self.root, self.untranslated = root, 0
        root.mkdir()
        if origin:
            self.run("git", "clone", "--quiet", origin, root)
        else:
            self._copy()

    def _copy(self):
        known = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PROJECT)
        for name in known.rstrip("\0").split("\0"):
            if (PROJECT / name).exists():  # else its deletion is not committed yet
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, self.root / name)
        self.run("git", "init", "--quiet", "--initial-branch=main")
        self.commit("The base")

    def follow(self, heading, *, whole=True):
        """Apply the patches and run the commands under the heading, in their order, and commit.

        `whole`: also those of the headings below it.
        """
        text = section(PAGE, heading)
        for step in _STEP.finditer(text if whole else text.partition("\n#")[0]):
            if step["patch"]:
                self.run("git", "apply", input=step["patch"])
            else:
                self._type(step["commands"])
        return self.commit(heading)

    def _type(self, commands):
        before, is_asked, after = commands.partition("    make messages\n")
        self.run("sh", "-ec", before)
        if is_asked:
            self.make_messages()
            self._type(after)

    def make_messages(self):
        """What `make messages` does; notes how many are not translated."""
        self.untranslated = int(self.python("-c", _MAKE_MESSAGES))

    def commit(self, message):
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", f"--message={message}")
        return self

    def python(self, *arguments, **variables):
        """What Python prints there; it must succeed."""
        return self.run(sys.executable, *arguments, env={**clean_environment(self.root), **variables})

    def test(self, *names):
        """Run these modules of its tests, but for the slow ones."""
        servers = {"CONSUL_BIN": consul_binary(), "REDIS_SERVER_BIN": redis_binary()}
        self.python("-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *names, **servers)

    def run(self, *command, **options):
        """What the command prints there; it must succeed."""
        options = {"cwd": self.root, "env": {**os.environ, **_SOMEBODY}, **options}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)  # noqa: S603 (our own command)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

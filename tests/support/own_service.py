"""docs/make-it-yours.md as a program: a copy of the project in which what the page says is done."""

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

_GIT = ("git", "-c", "user.name=a test", "-c", "user.email=test@example.com")
_STEP = re.compile(r"^```diff\n(?P<patch>(?:.*\n)*?)```$|(?P<commands>(?:^ {4}.+\n)+)", re.MULTILINE)

# The copy's own `make messages`: its package may have another name.
_MESSAGES = """
import sys
from pathlib import Path
sys.path.insert(0, "deploy/local")
import catalogs
print(catalogs.update(Path.cwd(), Path(sys.executable)))
"""


class Copy:
    """A clean clone at `root`: what git knows of the project, as it is now, in a repository of its own."""

    def __init__(self, root):
        self.root, self.untranslated = root, 0
        root.mkdir(exist_ok=True)
        known = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PROJECT)
        for name in known.rstrip("\0").split("\0"):
            if (PROJECT / name).exists():  # else its deletion is not committed yet
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, root / name)
        self.run("git", "init", "--quiet", "--initial-branch=main")
        self.commit("The base")

    def follow(self, heading, *, whole=True):
        """Apply the patches and run the commands under the heading, in their order; `whole`: and those below it."""
        text = section(PAGE, heading)
        for step in _STEP.finditer(text if whole else text.partition("\n#")[0]):
            if step["patch"]:
                self.run("git", "apply", input=step["patch"])
            else:
                self._type(step["commands"])
        return self

    def _type(self, commands):
        before, is_asked, after = commands.partition("    make messages\n")
        self.run("sh", "-ec", before)
        if is_asked:
            self.untranslated = int(self.run(sys.executable, "-c", _MESSAGES))
            self._type(after)

    def commit(self, message):
        self.run(*_GIT, "add", "--all")
        self.run(*_GIT, "commit", "--quiet", f"--message={message}")
        return self

    def python(self, *arguments, **variables):
        """What Python prints there; it must succeed."""
        found = {"CONSUL_BIN": consul_binary(), "REDIS_SERVER_BIN": redis_binary()}
        return self.run(sys.executable, *arguments, env={**clean_environment(self.root), **found, **variables})

    def run(self, *command, cwd=None, **options):
        done = subprocess.run(command, cwd=cwd or self.root, capture_output=True, text=True, timeout=300, **options)
        assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
        return done.stdout

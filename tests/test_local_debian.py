"""Debian's package is unpacked from a signed archive with a separate apt configuration, and never installed."""

import functools
import hashlib
import http.server
import subprocess
import threading
from pathlib import Path

import pytest

import debian
from debian import Unavailable

pytestmark = pytest.mark.skipif(debian._distribution().get("ID") != "debian", reason="only Debian has this way")

APT_STATE = (Path("/etc/apt"), Path("/var/lib/apt/lists"), Path("/var/lib/dpkg"))


class Archive:
    """A Debian archive with one package `demo-tool`, whose suite is signed with a key of its own."""

    def __init__(self, root):
        self.root = root
        self.keyring = root / "archive.gpg"
        self._home = root / "gnupg"
        self._home.mkdir(mode=0o700)
        self._gpg("--quick-generate-key", "archive@example.org", "ed25519", "sign", "never")
        self.keyring.write_bytes(self._gpg("--export"))
        self._add_package()
        self._sign()

    def _gpg(self, *arguments):
        command = ["gpg", "--homedir", self._home, "--batch", "--yes", "--passphrase", "", *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout  # noqa: S603 (our own command)

    def _add_package(self):
        tree, pool = self.root / "tree", self.root / "pool"
        (tree / "DEBIAN").mkdir(parents=True)
        pool.mkdir()
        architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)  # noqa: S607 (PATH's)
        self.architecture = architecture.stdout.strip()
        fields = f"Package: demo-tool\nVersion: 1.0\nArchitecture: {self.architecture}\nMaintainer: none\n"
        (tree / "DEBIAN" / "control").write_text(fields + "Description: a tool\n")
        (tree / "DEBIAN" / "postinst").write_text("#!/bin/sh\nexit 1\n")
        (tree / "DEBIAN" / "postinst").chmod(0o755)
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "usr" / "bin" / "demo-tool").write_text("#!/bin/sh\necho packaged\n")
        (tree / "usr" / "bin" / "demo-tool").chmod(0o755)
        for folder in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
            folder.chmod(0o755)  # whatever the umask
        package = pool / "demo-tool_1.0.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], capture_output=True, check=True)  # noqa: S603, S607 (our own command)
        content = package.read_bytes()
        place = f"Filename: pool/{package.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        self.index = (fields + place + "Description: a tool\n").encode()

    def _sign(self):
        suite = self.root / "dists" / debian.SUITE
        listed = f"main/binary-{self.architecture}/Packages"
        (suite / listed).parent.mkdir(parents=True)
        (suite / listed).write_bytes(self.index)
        (suite / "Release").write_text(
            f"Suite: oldoldstable\nCodename: {debian.SUITE}\nArchitectures: {self.architecture}\nComponents: main\n"
            f"Date: Sat, 01 Jan 2022 00:00:00 UTC\n"
            f"SHA256:\n {hashlib.sha256(self.index).hexdigest()} {len(self.index)} {listed}\n"
        )
        signed = self._gpg("--clear-sign", "--output", "-", suite / "Release")
        (suite / "InRelease").write_bytes(signed)
        (suite / "Release").unlink()

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "gpg-agent"], capture_output=True, check=False)  # noqa: S603, S607 (our own command)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    made = Archive(tmp_path_factory.mktemp("archive"))
    yield made
    made.close()


@pytest.fixture
def mirror(archive, monkeypatch):
    """The archive over HTTP, as this machine's own mirror and with its keyring."""
    handler = functools.partial(QuietHandler, directory=archive.root)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(debian, "_archives", lambda: iter([address]))
        monkeypatch.setattr(debian, "KEYRING", archive.keyring)
        yield address
        server.shutdown()
        thread.join()


def unpack(directory):
    return debian.unpack("demo-tool", "usr/bin/demo-tool", directory / "tool", print)


def apt_state():
    return {path: path.stat().st_mtime_ns for root in APT_STATE for path in [root, *root.rglob("*")]}


def test_one_program_of_the_package_is_put_where_it_was_asked_for(mirror, tmp_path):
    before = apt_state()
    tool = unpack(tmp_path / "cache")
    assert subprocess.run([tool], capture_output=True, text=True, check=True).stdout == "packaged\n"  # noqa: S603 (our own command)
    assert debian.is_whole(tool)
    assert sorted((tmp_path / "cache").iterdir()) == [tool, tool.with_name("tool.sha256")]
    assert apt_state() == before


def test_an_archive_that_debian_did_not_sign_is_refused(mirror, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(debian, "_archives", lambda: iter([mirror]))
    with pytest.raises(Unavailable, match=r"not signed|NO_PUBKEY|public key|signature"):
        unpack(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_archive_that_is_down_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(debian, "_archives", lambda: iter(["http://127.0.0.1:1"]))
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        unpack(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_archive_is_the_one_of_this_machines_apt():
    listed = subprocess.run(["apt-get", "update", "--print-uris"], capture_output=True, text=True, check=True).stdout  # noqa: S607 (PATH's)
    found = list(debian._archives())
    assert found
    assert all(f"'{base}/dists/" in listed for base in found)


@pytest.mark.parametrize("suite", ["bookworm", "stable"])
def test_of_several_sources_only_those_of_the_distribution_count(monkeypatch, suite):
    monkeypatch.setattr(debian, "_distribution", lambda: {"ID": "debian", "VERSION_CODENAME": "bookworm"})
    uris = (
        f"'http://mirror.test/debian/dists/{suite}/InRelease' name 0\n"
        f"'http://mirror.test/debian/dists/{suite}-updates/InRelease' name 0\n"
        "'http://mirror.test/security/dists/bookworm-security/InRelease' name 0\n"
        "'https://vendor.test/apt/dists/nodistro/InRelease' name 0\n"
        f"'http://mirror.test/debian/dists/{suite}/main/binary-amd64/Packages.xz' name 0\n"
    )
    monkeypatch.setattr(debian, "_run", lambda command: uris)
    assert list(debian._archives()) == ["http://mirror.test/debian"]


def test_another_distribution_has_no_such_package(monkeypatch, tmp_path):
    monkeypatch.setattr(debian, "_distribution", lambda: {"ID": "ubuntu"})
    with pytest.raises(Unavailable, match="not Debian"):
        unpack(tmp_path)

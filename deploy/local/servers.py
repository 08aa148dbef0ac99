"""Finds the `consul` and `redis-server` programs, or fetches them.

Standard library only: this runs before the virtual environment exists.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import debian
import release
from release import OFFICIAL_CONSUL, Release

Say = Callable[[str], None]

CONSUL_MISSING = """\
Consul was not found. Do one of these, and run this again:
  - install it from https://developer.hashicorp.com/consul/install, so that `consul` is on PATH;
  - set CONSUL_BIN to the path of a `consul` binary;
  - on Debian: give apt-get access to the suite bullseye of its mirror.
Tried: {tried}"""

REDIS_MISSING = """\
Redis was not found. Do one of these, and run this again:
  - Debian, Ubuntu: sudo apt-get install redis-server;
  - Fedora: sudo dnf install redis; macOS: brew install redis;
  - other systems: https://redis.io/docs/latest/operate/oss_and_stack/install/, so that `redis-server` is on PATH.
Tried: {tried}"""


class ServerNotFound(Exception):
    """The program was neither found nor fetched; the text says how to get it."""


def find_consul(cache: Path, say: Say = print, *, official: Release = OFFICIAL_CONSUL) -> Path:
    """The path of a `consul` binary: `$CONSUL_BIN`, PATH, `cache`, the official release, Debian's package.

    A fetched binary is stored under `cache`, and checked before each use. Raises ServerNotFound.
    """
    if found := _from_environment("CONSUL_BIN") or shutil.which("consul"):
        return Path(found)
    released, packaged = cache / f"consul-{official.version}", cache / "consul-debian"
    if not release.archive_of(released).exists() and debian.is_whole(packaged):
        return packaged
    tried = ["$CONSUL_BIN is not set", "no `consul` on PATH"]
    try:
        return release.provide(official, "consul", released, say)
    except release.Unavailable as reason:
        say(f"Consul's official release: {reason}")
        tried.append(f"the official release ({reason})")
    try:
        return debian.unpack("consul", "usr/bin/consul", packaged, say)
    except debian.Unavailable as reason:
        tried.append(f"Debian's package ({reason})")
    raise ServerNotFound(CONSUL_MISSING.format(tried="; ".join(tried) + "."))


def find_redis(cache: Path, say: Say = print) -> Path:
    """The path of a `redis-server` binary: `$REDIS_SERVER_BIN`, PATH (Valkey's too), then apt-get.

    Raises ServerNotFound.
    """
    if found := _from_environment("REDIS_SERVER_BIN") or shutil.which("redis-server") or shutil.which("valkey-server"):
        return Path(found)
    try:
        return _redis_from_tools(cache, say)
    except debian.Unavailable as reason:
        tried = f"no `redis-server` on PATH; Debian's package ({reason})."
        raise ServerNotFound(REDIS_MISSING.format(tried=tried)) from reason


def _redis_from_tools(cache: Path, say: Say) -> Path:
    """`redis-server` from the package redis-tools, which installs no system service.

    The package redis-server only adds a service and a link: the server is the program redis-check-rdb of
    redis-tools, which acts as a server if it is called redis-server.
    """
    if not shutil.which("redis-check-rdb"):
        debian.install(["redis-tools"], say)
    program = shutil.which("redis-check-rdb")
    if program is None:
        raise debian.Unavailable("redis-tools does not contain redis-check-rdb")
    link = cache / "redis-server"
    cache.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return link


def _from_environment(variable: str) -> str | None:
    """The program that a variable names. A wrong path is a mistake: it raises ServerNotFound."""
    named = os.environ.get(variable)
    if not named:
        return None
    program = shutil.which(named)
    if program is None:
        raise ServerNotFound(f"{variable} is {named}, which is not an executable file. Correct it, or unset it.")
    return program

"""Where the real servers come from. A missing one is an error: no test is skipped for it."""

import functools
import shutil
import subprocess
from pathlib import Path

import debian  # deploy/local, as below
import servers  # deploy/local/servers.py: deploy/local is on pytest's path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = PROJECT / ".local" / "cache"


class PartMissingError(Exception):
    """Something that the tests need is not on this machine, and could not be fetched."""


@functools.cache
def consul_binary():
    """`$CONSUL_BIN`, the one on PATH, or the one that the project's own finder fetches."""
    return str(servers.find_consul(_cache()))


@functools.cache
def redis_binary():
    """The one on PATH, or the one that the project's own finder fetches."""
    return str(servers.find_redis(_cache()))


def postgresql_binary(name):
    """Debian keeps the server's programs out of PATH."""
    if path := shutil.which(name, path=debian.search_path()):
        return path
    raise PartMissingError(f"PostgreSQL's {name} is not on this machine: on Debian, apt-get install postgresql")


def _cache():
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE


@functools.cache
def consul_version():
    """The version of the Consul under test, as (major, minor)."""
    said = subprocess.run([consul_binary(), "version"], capture_output=True, text=True, check=True).stdout  # noqa: S603 (our own command)
    major, minor = said.split("v", 1)[1].split(".")[:2]
    return int(major), int(minor)


def first_on_path(*names):
    """The path of the first of these programs that is installed."""
    for name in names:
        if path := shutil.which(name):
            return path
    raise PartMissingError(f"none of these programs is on PATH: {', '.join(names)}")

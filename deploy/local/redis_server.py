"""The local Redis: the one that the document names if it runs, or a new one with its data under `.local/`."""

import contextlib
import hashlib
import ipaddress
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ports
from consul_server import KEY, Consul
from loopback import wait_until
from processes import Failed, Process, Session
from servers import Say

START_SECONDS = 20.0
TIMEOUT = 2.0  # seconds for each step of a probe


# What a Redis that is started here cannot be.
_ELSEWHERE = ("redis_service", "redis_sentinels", "redis_tls", "redis_password_file")


@dataclass(frozen=True)
class RedisAddress:
    """The Redis that the document names: at `host` and `port`, or at `socket`."""

    host: str
    port: int
    db: int
    password: str
    user: str = ""
    socket: str = ""

    @classmethod
    def from_document(cls, document: bytes) -> "RedisAddress | None":
        """None if the document is faulty or needs more than a plain Redis: the site judges both."""
        try:
            redis = _members(document)
            socket = redis.pop("redis_socket", "")
            host, port = ("", 1) if socket else (redis.pop("redis_host"), redis.pop("redis_port"))
            db, password, user = redis.pop("redis_db"), redis.pop("redis_password", ""), redis.pop("redis_username", "")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        address = cls(host, port, db, password, user, socket)
        return address if not redis and address._is_sound() else None

    def _is_sound(self) -> bool:
        return (
            all(isinstance(text, str) for text in (self.host, self.password, self.user, self.socket))
            and type(self.port) is int
            and 0 < self.port < 65536
            and type(self.db) is int
            and 0 <= self.db < 100_000
        )

    def __str__(self) -> str:
        return self.socket or f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        try:
            return bool(self.socket) or self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def refusal(self) -> str | None:
        """Why no Redis here accepts this password and database; None if one does."""
        credentials = [self.user, self.password] if self.user else [self.password]
        commands = [["AUTH", *credentials]] if self.user or self.password else []
        commands += [["SELECT", str(self.db)], ["PING"]]
        try:
            with self._connected() as stream:
                for command in commands:
                    stream.write(_encoded(command))
                    stream.flush()
                    reply = stream.readline(512)
                    if not reply.startswith(b"+"):
                        return reply.decode(errors="replace").strip() or "the connection was closed"
        except OSError as error:
            return str(error)
        return None

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        if self.socket:
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.settimeout(TIMEOUT)
        else:
            link = socket.create_connection((self.host, self.port), TIMEOUT)
        with link:
            if self.socket:
                link.connect(self.socket)
            with link.makefile("rwb") as stream:
                yield stream


def _members(document: bytes) -> dict[str, Any]:
    """What `redis_config` says; null and false are as absent."""
    members = json.loads(document)["redis_config"].items()
    return {name: value for name, value in members if value is not None and value is not False}


def _why_none(document: bytes) -> str:
    try:
        members = _members(document)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        members = {}
    named = [name for name in _ELSEWHERE if name in members]
    if named:
        return f"`{KEY}` has {' and '.join(named)}; start such a Redis yourself."
    return f"`{KEY}` does not name a plain local one."


def first_document(template: bytes, say: Say) -> bytes:
    """The template, with another port if something other than its Redis uses its own."""
    wanted = RedisAddress.from_document(template)
    if wanted is None or ports.is_free(wanted.port) or wanted.refusal() is None:
        return template
    document = json.loads(template)
    document["redis_config"]["redis_port"] = ports.choose(wanted.port, "Redis", say)
    return json.dumps(document, indent=2).encode()


def provide(
    document: bytes, consul: Consul, find: Callable[[], Path], local: Path, session: Session, say: Say
) -> Process | None:
    """Starts the Redis of the document if it does not run; returns the process if it was started. Raises Failed."""
    address = RedisAddress.from_document(document)
    if address is None:
        say(f"Starting no Redis: {_why_none(document)}")
        return None
    reason = address.refusal()
    if reason is None:
        say(f"Using the Redis that runs at {address}; it will be left running.")
        return None
    if not address.is_local:
        say(f"WARNING: the Redis of `{KEY}` at {address} does not answer: {reason}")
        say(f"    Start it there, or enter another one in redis_config: {consul.editor}")
        return None
    if address.socket and not _can_listen(address.socket):
        say(f"Starting no Redis: at {address} is another program's socket, or no directory that can be written to.")
        return None
    place = address if address.socket else _movable(address, reason, consul, say)
    return _start(place, find(), local, session, say)


def _can_listen(path: str) -> bool:
    """Whether a server may take this path: nobody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        try:
            link.settimeout(TIMEOUT)
            link.connect(path)
        except FileNotFoundError:
            return os.access(Path(path).parent, os.W_OK)
        except ConnectionRefusedError:  # of one that has ended
            return True
        except OSError:
            return False
    return False


def _movable(address: RedisAddress, reason: str, consul: Consul, say: Say) -> RedisAddress:
    """The address; with the next free port if another program uses the document's. The document stays as it is."""
    bind = "127.0.0.1" if address.host == "localhost" else address.host
    if ports.is_free(address.port, bind):
        return replace(address, host=bind)
    port = ports.choose(address.port, "Redis", say, bind)
    say(f"WARNING: `{KEY}` names the Redis at {address}, but another program uses that port: {reason}")
    say(f"    The document was not changed. Set redis_config.redis_port to {port} at {consul.editor}")
    say(f"    and the site follows; or stop the program on port {address.port}, and run `make run` again.")
    return replace(address, host=bind, port=port)


def _start(address: RedisAddress, binary: Path, local: Path, session: Session, say: Say) -> Process:
    say(f"Starting Redis at {address}")
    data, log = local / "redis", local / "log" / "redis.log"
    data.mkdir(exist_ok=True)
    # The configuration is passed on standard input: the process list would show a password on the command line.
    redis = session.start(Process("Redis", [binary, "-"], log=log, stdin=_configuration(address, data)))
    if not wait_until(lambda: redis.has_ended() or address.refusal() is None, START_SECONDS) or redis.has_ended():
        raise Failed(f"Redis did not start. The end of {log}:\n{redis.log_tail()}")
    return redis


def _configuration(address: RedisAddress, data: Path) -> bytes:
    if address.socket:
        place = ["port 0", f"unixsocket {_quoted(address.socket)}", "unixsocketperm 700"]
    else:
        place = [f"bind {address.host}", f"port {address.port}"]
    lines = [
        *place,
        f"databases {max(16, address.db + 1)}",
        f"dir {_quoted(str(data))}",
        "appendonly yes",
    ]
    if address.user not in ("", "default"):
        secret = f"#{hashlib.sha256(address.password.encode()).hexdigest()}" if address.password else "nopass"
        lines += [f"user {_quoted(address.user)} on {secret} allkeys allcommands", "user default off"]
    elif address.password:
        lines.append(f"requirepass {_quoted(address.password)}")
    return "\n".join(lines).encode() + b"\n"


def _quoted(text: str) -> str:
    """A string for redis.conf with every byte escaped."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def _encoded(command: list[str]) -> bytes:
    """A command in Redis's wire format."""
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)

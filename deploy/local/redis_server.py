"""The local Redis: the one that the document names if it runs, or a new one with its data under `.local/`."""

import ipaddress
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import ports
from consul_server import KEY, Consul
from loopback import wait_until
from processes import Failed, Process, Session
from servers import Say

START_SECONDS = 20.0
TIMEOUT = 2.0  # seconds for each step of a probe


@dataclass(frozen=True)
class RedisAddress:
    """The Redis that the document names."""

    host: str
    port: int
    db: int
    password: str

    @classmethod
    def from_document(cls, document: bytes) -> "RedisAddress | None":
        """None if the document is faulty or needs more than a plain Redis: the site judges both."""
        try:
            redis = json.loads(document)["redis_config"]
            host, port, db = redis.pop("redis_host"), redis.pop("redis_port"), redis.pop("redis_db")
            password = redis.pop("redis_password", None) or ""
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        address = cls(host, port, db, password)
        return address if not redis and address._is_sound() else None

    def _is_sound(self) -> bool:
        return (
            isinstance(self.host, str)
            and isinstance(self.password, str)
            and type(self.port) is int
            and 0 < self.port < 65536
            and type(self.db) is int
            and 0 <= self.db < 100_000
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def refusal(self) -> str | None:
        """Why no Redis here accepts this password and database; None if one does."""
        commands = [["AUTH", self.password]] if self.password else []
        commands += [["SELECT", str(self.db)], ["PING"]]
        try:
            with socket.create_connection((self.host, self.port), TIMEOUT) as link, link.makefile("rwb") as stream:
                for command in commands:
                    stream.write(_encoded(command))
                    stream.flush()
                    reply = stream.readline(512)
                    if not reply.startswith(b"+"):
                        return reply.decode(errors="replace").strip() or "the connection was closed"
        except OSError as error:
            return str(error)
        return None


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
        say(f"Starting no Redis: `{KEY}` does not name a plain local one.")
        return None
    reason = address.refusal()
    if reason is None:
        say(f"Using the Redis that runs at {address}; it will be left running.")
        return None
    if not address.is_local:
        say(f"WARNING: the Redis of `{KEY}` at {address} does not answer: {reason}")
        say(f"    Start it there, or enter another one in redis_config: {consul.editor}")
        return None
    return _start(_movable(address, reason, consul, say), find(), local, session, say)


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
    lines = [
        f"bind {address.host}",
        f"port {address.port}",
        f"databases {max(16, address.db + 1)}",
        f"dir {_quoted(str(data))}",
        "appendonly yes",
    ]
    if address.password:
        lines.append(f"requirepass {_quoted(address.password)}")
    return "\n".join(lines).encode() + b"\n"


def _quoted(text: str) -> str:
    """A string for redis.conf with every byte escaped."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def _encoded(command: list[str]) -> bytes:
    """A command in Redis's wire format."""
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)

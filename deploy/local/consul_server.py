"""The local Consul agent: one that is already running, or a new one with its data under `.local/`."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ports
from loopback import request, wait_until
from processes import Failed, Process, Session, run
from servers import Say

sys.path.append(str(Path(__file__).resolve().parents[2]))
from demo_site.identity import KEY as KEY  # for the other modules here too

DEFAULT_PORT = 8500
START_SECONDS = 30.0


@dataclass(frozen=True)
class Consul:
    """A Consul agent on this machine, identified by its HTTP port."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def editor(self) -> str:
        """The page of the web UI that edits the document."""
        return f"{self.url}/ui/dc1/kv/{KEY}/edit"

    def fits(self) -> bool:
        """Whether an agent answers here that has a leader and allows reading the key without a token."""
        status, leader = request(f"{self.url}/v1/status/leader")
        if status != 200 or len(leader) <= len('""') or not leader.startswith(b'"'):
            return False
        return request(f"{self.url}/v1/kv/{KEY}")[0] in (200, 404)

    def document(self) -> bytes | None:
        """The document's bytes; None where the key is missing. Raises Failed."""
        status, body = request(f"{self.url}/v1/kv/{KEY}?raw")
        if status not in (200, 404):
            raise Failed(f"Consul at {self.url} refused to read `{KEY}`: {status} {body.decode(errors='replace')}")
        return body if status == 200 else None

    def put_if_missing(self, document: bytes) -> None:
        """Stores the document with compare-and-set on index 0, so it never overwrites one. Raises Failed."""
        status, body = request(f"{self.url}/v1/kv/{KEY}?cas=0", method="PUT", body=document)
        if status != 200:
            raise Failed(f"Consul at {self.url} refused to write `{KEY}`: {status} {body.decode(errors='replace')}")


def provide(find: Callable[[], Path], local: Path, session: Session, say: Say) -> Consul:
    """The agent at the default address if it fits, else a new one. Raises Failed."""
    if ports.is_free(DEFAULT_PORT):
        return _start(find(), local, session, say)
    consul = Consul(DEFAULT_PORT)
    if consul.fits():
        say(f"Using the Consul that runs at {consul.url}; it will be left running.")
        return consul
    return _start(find(), local, session, say)


def _start(binary: Path, local: Path, session: Session, say: Say) -> Consul:
    consul = Consul(ports.choose(DEFAULT_PORT, "Consul's HTTP API", say))
    say(f"Starting Consul at {consul.url}")
    log = local / "log" / "consul.log"
    command = [str(binary), "agent", *_options(binary, local / "consul", consul.port, say)]
    agent = session.start(Process("Consul", command, log=log))
    if not wait_until(lambda: agent.has_ended() or consul.fits(), START_SECONDS) or agent.has_ended():
        raise Failed(f"Consul did not start. The end of {log}:\n{agent.log_tail()}")
    return consul


def _options(binary: Path, data: Path, http_port: int, say: Say) -> list[str]:
    """A single server on loopback; its data survives a restart, unlike that of -dev."""
    options = [
        "-server",
        "-bootstrap-expect=1",
        "-ui",
        f"-data-dir={data}",
        "-node=local",
        "-bind=127.0.0.1",
        "-client=127.0.0.1",
        f"-http-port={http_port}",
        f"-dns-port={ports.choose(8600, 'Consul DNS', say)}",
        f"-server-port={ports.choose(8300, 'Consul RPC', say)}",
        f"-serf-lan-port={ports.choose(8301, 'Consul gossip', say)}",
        "-serf-wan-port=-1",
        # The shortest election (1 s instead of 5 s), and no check for newer versions at HashiCorp.
        f"-hcl={json.dumps({'performance': {'raft_multiplier': 1}, 'disable_update_check': True})}",
    ]
    # Servers since 1.14 open this port too; older ones do not know the option.
    if "-grpc-tls-port" in run([binary, "agent", "-help"]).output:
        options.append("-grpc-tls-port=-1")
    return options

"""What a run writes down: every answer, every look, every write, every fault. Times are seconds since its start."""

import json
from dataclasses import asdict, dataclass, field

CUT, TIMEOUT = 0, -1  # instead of a status: the connection ended without a whole answer, or nothing came


@dataclass(frozen=True)
class Answer:
    """What a visitor got through the load balancer. `message` and `number` are those of a page.

    `late`: by how much the asking process itself was held up meanwhile. `why`: how an answer that was cut ended.
    """

    client: int
    began: float
    ended: float
    status: int
    message: str = ""
    number: int | None = None
    late: float = 0.0
    why: str = ""


@dataclass(frozen=True)
class Look:
    """An answer of one instance to `/livez` or `/readyz`, asked for without the load balancer; `late` as above."""

    instance: str
    path: str
    began: float
    ended: float
    status: int
    pid: int = 0
    state: str = ""
    index: int | None = None
    late: float = 0.0


@dataclass(frozen=True)
class Write:
    """A change of the document in Consul, true from some moment between `sent` and `done`.

    `index`: None for a deletion. `message`: that of the document that is to be in force from then on. `server`: where
    it counts. `is_valid`: false for one that has to be rejected.
    """

    sent: float
    done: float
    index: int | None
    message: str
    server: str
    is_valid: bool = True


@dataclass(frozen=True)
class Step:
    """Faults at the same time. `recovered`: seconds from their end until all was well again, None if it never was.

    `cuts`: a process of the site was killed or stopped, which ends its requests. `leaves`: an instance was told to
    leave, which ends none. `hides`: what Consul says did not reach the site.
    """

    faults: tuple[str, ...]
    began: float
    ended: float
    recovered: float | None
    cuts: bool = False
    hides: bool = False
    leaves: bool = False


@dataclass(frozen=True)
class Account:
    """Redis's own: `hits` before and after. `may_lose`: a failover may forget what was acknowledged."""

    before: int
    after: int
    may_lose: bool = False


@dataclass
class Record:
    """A whole run.

    `resources`: for each instance, and for Consul, what it used before and after the faults. `restarts`: instances that
    had ended and were started by hand. `load`: when the load began and ended. `logs`: of the processes, by name.
    """

    answers: list[Answer] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    resources: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    restarts: int = 0
    load: tuple[float, float] = (0.0, 0.0)
    logs: dict[str, str] = field(default_factory=dict)

    def save(self, path):
        """Everything, for a look at a run afterwards: one JSON object a line."""
        with path.open("w") as file:
            for kind in ("writes", "steps", "looks", "answers"):
                for each in getattr(self, kind):
                    file.write(json.dumps({"kind": kind} | asdict(each)) + "\n")

"""Who takes part in a run whose nodes one launcher has started: those of its list, and each proves that it is one.

A launcher makes a secret and hands it to its processes, over the pipes by which it starts them. A proof is a keyed hash
of what a node says it is and to whom, so that it is worth nothing under another name, in another run, for another
incarnation, or to anybody else: whoever listens where a node has ended, and is dialed, can pass it on to nobody.
It keeps out who shares the machine. Between machines there are keys (docs/security.md).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

SECRET_BYTES = 32
BROKER = "broker"  # to whom one proves it who joins
BELOW = "/"  # between the name of a run and that of a region in that of the region's run


@dataclass(frozen=True, slots=True)
class Enrollment:
    """The secret of a launch, and the roles of its nodes and services by name; without a secret all are let in.

    `below` are the roles in runs below that of the launch, its regions', by the run's name: there an aggregator is the
    coordinator. Their nodes publish for the run of the launch: `publishers` are all who do, and as what.
    """

    secret: bytes = field(default=b"", repr=False)
    roles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    below: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    publishers: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        below = {node: role for roles in self.below.values() for node, role in roles.items()}
        object.__setattr__(self, "publishers", {**below, **self.roles})

    def proof(self, run: str, node: str, incarnation: int, to: str) -> str:
        """Return what shows a node or service, ``to``, that this one is of the launch; empty where there is none."""
        if not self.secret:
            return ""
        said = "\0".join((run, node, str(incarnation), to)).encode()
        return hmac.new(self.secret, said, "sha256").hexdigest()

    def refusal(self, run: str, node: str, role: str, incarnation: int, proof: str, by: str) -> str | None:
        """Return why a node is not let in by the one that it has told the proof, or None."""
        if not self.secret:
            return None
        # Whoever has no proof is told so before one is made: that is what most of the work would be.
        expected = self.proof(run, node, incarnation, by) if proof else ""
        if not proof or not hmac.compare_digest(expected.encode(), proof.encode(errors="replace")):
            return f"{node} does not prove to be of run '{run}', which takes only nodes that its launcher has started"
        if self.below.get(run, self.roles).get(node) != role:
            return f"{node} as {role} is not of run '{run}': its launcher has started no such node"
        return None

    def runs_of(self, run: str) -> tuple[str, ...]:
        """Return the runs for which who has joined `run` may publish: of one below that of the launch, that, too."""
        return (run, run.rpartition(BELOW)[0]) if run in self.below else (run,)


def run_below(run: str, region: str) -> str:
    """Return the name of the run of a region of a launched run."""
    return f"{run}{BELOW}{region}"


OPEN = Enrollment()
"""Of runs that anybody may join who is let in by address or key."""

"""All-reduce by its name: what it asks of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nervenet.models.aggregate import combine

from ...topology import Neighbors, Rows
from ..algorithms.base import Algorithm, AlgorithmError, Incoming, Needs, State, Stepped, Vector, in_order


@dataclass(frozen=True)
class AllReduce(Algorithm):
    """Average exactly over all peers, by their numbers of examples, at the least bytes a peer (Patarasuk & Yuan 2009).

    After local training every peer owns a part of the vector. It is sent all others' numbers of that part, takes the
    mean that federated averaging would take, and sends it to all (Thakur et al. 2005): of n peers each sends
    ``2 (n - 1) / n`` models a round. All peers have the same model then, to the bit. One that fails costs its own part
    (Ryabinin et al. 2021, arXiv 2103.03239). `AllReduceRounds` decides, `AllReduceWorker` computes.
    """

    needs: ClassVar[Needs] = Needs(doubly=False, varying=False, reduces=True)

    def check(self, out: Neighbors, rows: Rows) -> None:  # noqa: ARG002
        if any(len(others) < len(out) - 1 for others in out.values()):
            raise AlgorithmError("a peer does not reach all others, among whom it averages; expected 'complete'")

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        """Take the mean of whole models, which a run never does: its parts are made by their owners."""
        return Stepped(state, combine(*in_order(mine, inbox, row)))

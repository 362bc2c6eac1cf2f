"""D²: decentralized training over decentralized data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from nervenet.models.aggregate import combine

from ...topology import Neighbors, Rows
from .base import (
    Algorithm,
    AlgorithmError,
    Incoming,
    Needs,
    Outgoing,
    OutgoingVector,
    Progress,
    State,
    Stepped,
    Vector,
    in_order,
)

LEAST = -1.0 / 3.0  # what every eigenvalue of the mixing matrix must be above


@dataclass(frozen=True)
class D2(Algorithm):
    """Cancel what differs between the peers' data by remembering the step before (Tang et al. 2018).

    arXiv 1803.07068, Algorithm 1: with one gradient step a round, and W symmetric,
    ``x_i <- sum_j W_ij (2 x_j - x_j' - γ g_j + γ g_j')``, where the dashes are of the round before; in the first round
    as ``dpsgd``. It sends one vector where ``gradient-tracking`` sends two, but has no local steps, and every
    eigenvalue of W must be above -1/3. A ring of an even number of peers has just -1/3: hence `lazy`.
    """

    needs: ClassVar[Needs] = Needs(varying=False, plain=True, steps=1)

    lazy: bool = True  # mix by (I + W) / 2, which has no negative eigenvalue; agrees half as fast

    def check(self, out: Neighbors, rows: Rows) -> None:  # noqa: ARG002
        if self.lazy:
            return
        names = sorted(rows)
        matrix = np.array([[rows[i].get(j, 0.0) for j in names] for i in names])
        least = float(np.linalg.eigvalsh(matrix)[0])
        if least <= LEAST + 1e-9:
            raise AlgorithmError(
                f"the smallest eigenvalue of the mixing matrix must be above -1/3, and is {least:.4f}; "
                "expected gossip.lazy = true, or another gossip.topology"
            )

    def outgoing(self, state: State, progress: Progress) -> tuple[State, Outgoing]:
        """Extrapolate: ``x - γ g`` is the model after training, and that of the round before is remembered."""
        x = progress.after
        if state:
            x = x + (progress.before - state["stepped"])
        return {"stepped": progress.after}, Outgoing(OutgoingVector(x))

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:
        vectors, weights = in_order(mine, inbox, row)
        if self.lazy:
            weights = [w / 2 + (0.0 if name in inbox else 0.5) for name, w in row.items()]
        return Stepped(state, combine(vectors, weights))

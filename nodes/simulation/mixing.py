"""A round's mixing for all peers at once: sums of rows of one matrix, in the order in which each peer sums them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..gossip.algorithms.base import Needs
from ..gossip.membership.edge_agreement import row
from ..topology import Rows, Schedule, incoming
from ..topology.mixing import coefficients, weigh

Index = NDArray[np.intp]

BLOCK_BYTES = 1 << 19  # of the rows that are summed at a time
KEPT = 32  # rounds of a period that are remembered


@dataclass(frozen=True, eq=False)
class Terms:
    """Peers that sum equally many rows: `peers` (m,), the rows `of` whom (m, k), and by which coefficients (m, k)."""

    peers: Index
    of: Index
    coefficients: NDArray[Any]


class Mixing:
    """What each peer sums in each round, where all that is sent arrives.

    `place` is each peer's row in the matrix; `even`: all that is there counts alike, whatever the graph's weights.
    """

    def __init__(self, schedule: Schedule, needs: Needs, rule: str, place: Mapping[str, int], dtype: str) -> None:
        self._schedule, self._needs, self._rule, self._place, self._dtype = schedule, needs, rule, place, dtype
        # As `MembershipService` has it: on these graphs the weights follow from the degrees that both ends announce.
        self._announced = schedule.fixed and not schedule.directed and schedule.weights(1) is None
        self._terms: Callable[[int], tuple[Terms, ...]] = lru_cache(KEPT)(self._made)

    def terms(self, number: int) -> tuple[Terms, ...]:
        period = self._schedule.period
        return self._terms(number if period is None else 1 + (number - 1) % period)

    def mix(self, number: int, models: NDArray[Any], mixed: NDArray[Any]) -> None:
        """Write each peer's mixture of the rows of `models`, (peers, n), into its row of `mixed`."""
        step = max(1, BLOCK_BYTES // (models.itemsize * models.shape[1]))
        for terms in self.terms(number):
            for start in range(0, len(terms.peers), step):
                part = slice(start, start + step)
                of, by = terms.of[part], terms.coefficients[part]
                total = np.take(models, of[:, 0], axis=0)
                np.multiply(total, by[:, :1], out=total)
                for k in range(1, of.shape[1]):
                    product = np.take(models, of[:, k], axis=0)
                    np.multiply(product, by[:, k : k + 1], out=product)
                    np.add(total, product, out=total)
                mixed[terms.peers[part]] = total

    def _made(self, number: int) -> tuple[Terms, ...]:
        by_length: dict[int, list[tuple[int, list[int], list[float]]]] = {}
        for name, weights in self.rows(number).items():
            found = (self._place[name], [self._place[other] for other in weights], list(weights.values()))
            by_length.setdefault(len(weights), []).append(found)
        return tuple(
            Terms(
                np.array([peer for peer, _, _ in same], np.intp),
                np.array([of for _, of, _ in same], np.intp),
                np.array([by for _, _, by in same], self._dtype),
            )
            for _, same in sorted(by_length.items())
        )

    def rows(self, number: int) -> Rows:
        """Return the weights of each peer, in name order: those of its `Neighborhood` where nobody is missing."""
        out = self._schedule.out(number)
        heard = incoming(out)
        if not self._needs.doubly:
            return {me: dict.fromkeys(sorted({*there, me}), 1.0 / (len(there) + 1)) for me, there in heard.items()}
        if self._announced:
            return {me: row(me, len(out[me]), {p: len(out[p]) for p in there}) for me, there in heard.items()}
        weights = weigh(self._schedule, number, self._rule, doubly=True)
        return {me: coefficients(me, weights[me], there) for me, there in heard.items()}

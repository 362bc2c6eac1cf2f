"""The models of all peers as the rows of one matrix: trained as stacks, mixed by rows, judged together."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from nervenet.models.mlp.mlp import MLP
from nervenet.models.mlp.stacked import STACK_BYTES, StackedMLP, scores
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from numpy.typing import NDArray

from .mixing import Mixing

Matrix = NDArray[Any]

WORTH_THREADS = 4_000_000  # bytes of models; a round of fewer is over before threads have begun
MOST_AT_ONCE = 256  # peers of a stack: of smaller models more of them save nothing


@dataclass(frozen=True, eq=False)
class Part:
    """Peers that are trained as one stack: which rows of the matrix they are, and their own rows of data."""

    start: int
    names: tuple[str, ...]
    X: Matrix  # (peers, rows, features)
    y: Matrix  # (peers, rows)

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + len(self.names))


class PeerMatrix:
    """The models of peers, (peers, n).

    Parameters
    ----------
    model : MLP
        Built, with the weights that all begin with.
    sites
        Name and prepared rows of each peer, those with equally many rows next to each other: the order of the matrix.
    work
        Of each round.
    seed
        Of the run.
    """

    def __init__(
        self, model: MLP, sites: Sequence[tuple[str, tuple[Matrix, Matrix]]], work: LocalWork, seed: int
    ) -> None:
        self.names = tuple(name for name, _ in sites)
        self._model, self._work, self._seed = model, work, seed
        self.models = np.tile(model.get_weights(), (len(sites), 1))
        self._mixed = np.empty_like(self.models)
        self._moments: dict[str, Matrix] = {}
        if work.carry_optimizer:
            self._moments = {name: np.zeros_like(self.models) for name in self._moment_names}
        self._parts = _parts_of(sites, self.models.itemsize * self.models.shape[1])
        self._tools = threading.local()
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        shared = cores > 1 and self.models.nbytes > WORTH_THREADS
        self._pool = ThreadPoolExecutor(cores) if shared else None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    @property
    def _moment_names(self) -> list[str]:
        return [name for name in self._model.get_state() if name != "t"]

    def train(self, number: int) -> NDArray[np.float64]:
        """Train each peer for a round, in place; return the losses."""
        losses = np.empty(len(self.names))

        def train(part: Part) -> None:
            losses[part.place] = self._train(part, number)

        list((map if self._pool is None else self._pool.map)(train, self._parts))
        return losses

    def mix(self, mixing: Mixing, number: int) -> None:
        mixing.mix(number, self.models, self._mixed)
        self.models, self._mixed = self._mixed, self.models

    def evaluate(self, X: Matrix, y: Matrix) -> dict[str, Matrix]:
        return scores(self._model, self.models, X, y)

    def consensus_distance(self) -> float:
        """Return ``sqrt(mean_i ||x_i - mean||²)``."""
        mean = self.models.mean(axis=0, dtype=np.float64)
        squares = [np.square(self.models[part.place] - mean, dtype=np.float64).sum() for part in self._parts]
        return float(np.sqrt(sum(squares) / len(self.names)))

    def first_not_finite(self) -> str | None:
        """Return a peer whose model is not finite, None where all are."""
        sums = self.models.sum(axis=1, dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(sums))
        return self.names[int(bad[0])] if len(bad) else None

    def _train(self, part: Part, number: int) -> Matrix:
        work, rows = self._work, part.X.shape[1]
        steps, batches = work.steps(rows), -(-rows // min(work.batch_size, rows))
        draws = [generator(self._seed, name, number, "batches") for name in part.names]
        orders = [np.array([each.permutation(rows) for each in draws]) for _ in range(-(-steps // batches))]
        stack, zeros = self._stack(len(part.names))
        moments = {name: moment[part.place] for name, moment in self._moments.items()} or zeros
        for moment in zeros.values():
            moment.fill(0)
        before = steps * (number - 1) if work.carry_optimizer else 0
        return stack.train(self.models[part.place], moments, (part.X, part.y), orders, work, before)

    def _stack(self, count: int) -> tuple[StackedMLP, dict[str, Matrix]]:
        """Return the buffers of this thread for so many peers, and moments that are not carried."""
        if not hasattr(self._tools, "known"):
            self._tools.known = {}
        known: dict[int, tuple[StackedMLP, dict[str, Matrix]]] = self._tools.known
        if count not in known:
            names = () if self._moments else self._moment_names
            zeros = {name: np.zeros((count, self.models.shape[1]), self.models.dtype) for name in names}
            known[count] = StackedMLP(self._model, count), zeros
        return known[count]


def _parts_of(sites: Sequence[tuple[str, tuple[Matrix, Matrix]]], nbytes: int) -> list[Part]:
    """Return the stacks: peers with equally many rows, as many as a core's cache holds."""
    most, parts, start = max(1, min(MOST_AT_ONCE, STACK_BYTES // nbytes)), [], 0
    for _, group in groupby(sites, key=lambda site: len(site[1][1])):
        same = list(group)
        for i in range(0, len(same), most):
            some = same[i : i + most]
            X, y = (np.stack([rows[k] for _, rows in some]) for k in (0, 1))
            parts.append(Part(start, tuple(name for name, _ in some), X, y))
            start += len(some)
    return parts

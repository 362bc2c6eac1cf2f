"""When the peers of a run by whole rounds are done with each, where all that is sent arrives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from nervenet.models.rng import generator
from numpy.typing import NDArray

from ..config.simulation import SimulationConfig
from .mixing import Mixing

Times = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoundTimes:
    """In virtual seconds, by peer: how long a round took, and how long of that the peer waited for models."""

    duration_s: Times
    waiting_s: Times


@dataclass(eq=False)
class VirtualClock:
    """The rounds of all peers: `now` is when each of them has closed the last one."""

    config: SimulationConfig
    mixing: Mixing
    training_s: Times  # of each peer, every round
    nbytes: int  # of a model
    seed: int
    now: Times = field(init=False)

    def __post_init__(self) -> None:
        self.now = np.zeros(len(self.training_s))

    def round(self, number: int) -> RoundTimes:
        """Let a round pass: train, send, wait for what the others send."""
        config, began = self.config, self.now
        trained = began + self.training_s
        closed = trained.copy()
        transfer_s = self.nbytes / config.bandwidth if config.bandwidth else 0.0
        draws = generator(self.seed, "simulation", "jitter", number) if config.jitter_s else None
        sent = np.zeros(len(trained), np.intp)  # models that have left a peer's line before
        for terms in self.mixing.terms(number):
            for peer, sources in zip(terms.peers.tolist(), terms.of.tolist(), strict=True) if transfer_s else ():
                others = [source for source in sources if source != peer]
                leaves = np.array([trained[each] + (sent[each] + 1) * transfer_s for each in others])
                sent[others] += 1
                closed[peer] = max(closed[peer], _received(np.sort(leaves + config.latency_s), transfer_s))
            if not transfer_s:
                arrivals = trained[terms.of] + config.latency_s
                if draws is not None:
                    arrivals += config.jitter_s * draws.random(arrivals.shape)
                arrivals[terms.of == terms.peers[:, None]] = 0.0  # one's own
                closed[terms.peers] = np.maximum(closed[terms.peers], arrivals.max(axis=1))
        self.now = closed
        return RoundTimes(closed - began, closed - trained)


def _received(arrivals: Sequence[float] | Times, transfer_s: float) -> float:
    """Return when the last of several models is in, which come over one line."""
    free = 0.0
    for at in arrivals:
        free = max(at, free + transfer_s)
    return free

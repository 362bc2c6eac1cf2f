"""The network of a simulation: when a message arrives, if it does, and who cannot be reached."""

from __future__ import annotations

from nervenet.broker.messages import Lane
from nervenet.models.rng import generator

from ..config.simulation import SimulationConfig


class VirtualNetwork:
    """Latency, bandwidth, loss and absences, drawn from `seed`.

    `away` are the nodes that cannot be reached now. Models share a node's line, one after another; what is sent by the
    control lane is small, and passes them.
    """

    def __init__(self, config: SimulationConfig, seed: int) -> None:
        self.away: set[str] = set()
        self.latency_s = config.latency_s
        self._config = config
        self._draws = generator(seed, "simulation", "network")
        self._free_out: dict[str, float] = {}  # when a node's line has sent what it was given so far
        self._free_in: dict[str, float] = {}
        self._newest: dict[tuple[str, str, Lane], float] = {}  # arrival of the last message of a connection
        self._moving: dict[tuple[str, str], list[tuple[float, int]]] = {}  # arrivals and rounds of models on their way

    def arrival(self, sender: str, receiver: str, lane: Lane, nbytes: int, number: int, now: float) -> float | None:
        """Return when a message of round `number` arrives, None if it is lost; that takes its time on the line, too."""
        config, leaves = self._config, now
        transfer_s = nbytes / config.bandwidth if config.bandwidth and lane is Lane.BULK else 0.0
        if transfer_s:
            leaves = self._free_out[sender] = max(now, self._free_out.get(sender, 0.0)) + transfer_s
        if sender in self.away or receiver in self.away:
            return None
        if config.loss and self._draws.random() < config.loss:
            return None
        arrives = leaves + config.latency_s
        if config.jitter_s:
            arrives += self._draws.random() * config.jitter_s
        if transfer_s:
            # It comes in while it goes out, unless the receiver's line is taken.
            arrives = self._free_in[receiver] = max(arrives, self._free_in.get(receiver, 0.0) + transfer_s)
            self._moving.setdefault((sender, receiver), []).append((arrives, number))
        if config.jitter_s:
            key = (sender, receiver, lane)
            arrives = self._newest[key] = max(arrives, self._newest.get(key, 0.0))
        return arrives

    def sending(self, sender: str, receiver: str, now: float) -> tuple[int, ...]:
        """Return the rounds of the models that are on their way from one node to another."""
        moving = self._moving.get((sender, receiver))
        if not moving:
            return ()
        moving[:] = [(arrives, number) for arrives, number in moving if arrives > now]
        return tuple(sorted({number for _, number in moving}))

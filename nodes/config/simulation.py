"""The table [simulation] of an experiment: the network and the machines that `nervenet simulate` stands in for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .ranges import Natural, NotNegative, Part, Positive


@dataclass(frozen=True, kw_only=True)
class SimulationConfig:
    """On what network and machines the nodes of a simulation run; all seconds are virtual ones."""

    # machines: the deployed ones exchange messages. rounds: whole rounds of gossip at once, all peers' models in one
    # matrix, with the same bits; only where nothing is lost and nobody goes. auto: rounds where that is possible.
    engine: Literal["auto", "machines", "rounds"] = "auto"
    latency_s: NotNegative = 0.001  # how long every message is on its way
    jitter_s: NotNegative = 0.0  # and up to so much longer, drawn for each; messages of a connection keep their order
    # Bytes a second that each node sends and receives at most, one model after another; heartbeats and the like pass.
    bandwidth: Positive | None = None
    loss: Part = 0.0  # share of the messages that never arrive, each drawn by itself
    offline: Part = 0.0  # share of its time that each client or peer cannot be reached: what is sent meanwhile is lost
    offline_s: Positive = 10.0  # how long that lasts in the mean, each time
    lifetime_s: Positive | None = None  # after which each client or peer ends, as killed, in the mean; open: none does
    step_s: NotNegative = 0.001  # how long a mini-batch takes in training
    # How unlike the machines are: each one's step_s times exp(spread x a normal draw).
    spread: NotNegative = 0.0
    seed: Natural | None = None  # of these draws; open: the run's

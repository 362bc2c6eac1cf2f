"""Histories of a gossip run by rounds, drawn from a seed.

A history is a graph, an algorithm, and what befalls it for the first `CALM_AT` seconds: crashes, new incarnations of
the dead, stalls, partitions that heal, latecomers, and a network that loses, doubles and reorders messages. In some a
quick peer is alone for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from nervenet.models.rng import generator
from vocabulary import Cut, Kill, Stop

CALM_AT = 16.0  # seconds: from here on nothing befalls anybody
TRAIN_S = 0.8
DEADLINE_S = 4.0
ROUNDS = 44
LONG = 64  # rounds over a graph that changes each round: enough of them for those after it has to have mended
QUICK = 0.12  # of the usual time for a training
LONGEST = 130  # rounds where one is that quick: more than it does alone
SIZE = 4
KINDS = [
    ("d-psgd", "ring"),
    ("d-psgd", "random-regular"),
    ("d-psgd", "complete"),
    ("d-psgd", "one-peer-exponential"),
    ("sgp", "random-regular"),
    ("sgp", "static-exponential"),
    ("sgp", "one-peer-exponential"),
]


@dataclass(frozen=True)
class Weather:
    """What a network does to messages until a time."""

    until: float = 0.0
    loss: float = 0.0
    twice: float = 0.0
    slowest_s: float = 0.003
    ordered: bool = True


@dataclass(frozen=True)
class History:
    """One history; the same one always gives the same run."""

    seed: int
    n: int = 6
    algorithm: str = "d-psgd"
    topology: str = "ring"
    rounds: int = ROUNDS
    weather: Weather = Weather()
    kills: tuple[Kill, ...] = ()
    stops: tuple[Stop, ...] = ()
    cuts: tuple[Cut, ...] = ()
    late: tuple[tuple[str, float], ...] = ()
    pace: tuple[float, ...] = ()
    by_tree: bool = False  # whether they meet as many do

    @property
    def names(self) -> list[str]:
        return [f"peer-{i}" for i in range(self.n)]


def draw(seed: int) -> History:
    """Draw a history: at most half of the peers ever die, and two never do, so that there is a run to come back to."""
    rng = generator(seed, "history")
    n = int(rng.integers(5, 9))
    names = [f"peer-{i}" for i in range(n)]
    algorithm, topology = KINDS[rng.integers(len(KINDS))]

    def when() -> float:
        return round(float(rng.uniform(1.0, 12.0)), 3)

    mortal = [names[i] for i in rng.permutation(n)[: rng.integers(0, n // 2 + 1)]]
    kills = []
    for name in mortal:
        down = None if rng.random() < 0.4 else round(float(rng.choice([0.1, 1.0, 3.0]) + rng.random()), 3)
        kills.append(Kill(name, when(), bool(rng.random() < 0.6), down))
    stops = [
        Stop(str(rng.choice(names)), when(), round(float(rng.uniform(0.2, 4.0)), 3)) for _ in range(rng.integers(3))
    ]
    cuts = []
    for _ in range(rng.integers(3)):
        side = frozenset(names[i] for i in rng.permutation(n)[: rng.integers(1, n // 2 + 1)])
        start = when()
        end = min(CALM_AT, round(start + float(rng.uniform(0.3, 8.0)), 3))
        cuts.append(Cut(side, start, end - start, bool(rng.random() < 0.5)))
    weather = Weather(
        until=0.0 if rng.random() < 0.3 else CALM_AT,
        loss=float(rng.choice([0.0, 0.02, 0.1, 0.3])),
        twice=float(rng.choice([0.0, 0.1])),
        slowest_s=float(rng.choice([0.003, 0.05, 0.6])),
        ordered=bool(rng.random() < 0.5),
    )
    late = [(f"late-{k}", when()) for k in range(rng.integers(3))]
    pace = tuple(round(float(p), 3) for p in rng.uniform(0.8, 1.3, n + 2))
    rounds = LONG if topology == "one-peer-exponential" else ROUNDS
    rng = generator(seed, "history", "quick")
    if rng.random() < 0.15:  # one that trains faster than the others is alone for a while, and comes back
        who, start = int(rng.integers(n)), round(float(rng.uniform(1.0, 8.0)), 3)
        cuts.append(
            Cut(frozenset({names[who]}), start, round(float(rng.uniform(3.0, 7.5)), 3), bool(rng.random() < 0.5))
        )
        pace = (*pace[:who], QUICK, *pace[who + 1 :])
        rounds = LONGEST
    by_tree = bool(generator(seed, "history", "tree").random() < 0.5)
    befallen = (tuple(kills), tuple(stops), tuple(cuts), tuple(late))
    return History(seed, n, algorithm, topology, rounds, weather, *befallen, pace, by_tree)

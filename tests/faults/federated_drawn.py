"""Histories of a federation on virtual time, drawn from seeds; what must hold is checked by `fleet.Federation` itself.

It ends by itself, with a result or a named failure, within what its deadlines allow; every round that is opened closes
or fails by name, in order, none twice; what is folded was sent by those who were asked, for this very round and
attempt, and counts once, with weights that sum to one; a checkpoint is that of its round, and no two are written at
once; no node trains twice at a time; everybody is done in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fleet import Federation, Trouble
from nervenet.broker.messages import Lane
from nervenet.broker.testing.faults import Faults, Partition
from nervenet.models.rng import generator
from vocabulary import Kill, Stop

LANES = ((Lane.CONTROL, Lane.BULK), (Lane.BULK,), (Lane.CONTROL,))


@dataclass(frozen=True)
class FederatedHistory:
    """One history; the same one always gives the same run."""

    seed: int
    clients: int
    network: dict[str, Any]
    trouble: dict[str, Any]
    late: dict[str, float]
    questions: int
    rules: dict[str, Any]

    def play(self) -> Federation:
        """Run it. Raises `AssertionError` where a promise is broken."""
        network, trouble = Faults(**self.network), Trouble(**self.trouble)
        given = {"late": self.late, "questions": self.questions, **self.rules}
        return Federation(self.clients, faults=network, trouble=trouble, **given).run()


def draw(seed: int) -> FederatedHistory:
    """Draw one: half of them calm networks with faults of nodes, half of them bad networks."""
    rng = generator(seed, "federated history")
    clients = int(rng.integers(1, 9))
    names = [f"client-{k}" for k in range(clients)]
    everybody = [*names, "coordinator"]
    rounds = int(rng.integers(1, 9))

    def second() -> float:
        return round(float(rng.uniform(0.0, 40.0)), 3)

    def chosen(values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    def some(most: int) -> frozenset[tuple[str, int]]:
        return frozenset((chosen(names), int(rng.integers(1, rounds + 1))) for _ in range(rng.integers(most + 1)))

    stops = [Stop(chosen(everybody), second(), round(float(rng.uniform(0.1, 60.0)), 3)) for _ in range(rng.integers(3))]
    noticed = bool(rng.random() < 0.5)
    kills = []
    for name in rng.permutation(names)[: rng.integers(0, 4)]:
        down = None if rng.random() < 0.4 else round(float(rng.uniform(1.0, 30.0)), 3)
        kills.append(Kill(str(name), second(), noticed, down))
    bad = rng.random() < 0.5
    sides = [frozenset(str(n) for n in _some_of(rng, everybody)) for _ in range(rng.integers(3))]
    cuts = [Partition(side, at := second(), at + float(rng.uniform(0.1, 60.0))) for side in sides]
    network = {
        "seed": seed,
        "delay_s": (0.001, chosen([0.001, 0.05, 1.0, 4.0]) if bad else 0.003),
        "drop": chosen([0.0, 0.05, 0.3, 0.9]) if bad else 0.0,
        "duplicate": chosen([0.0, 0.3, 1.0]) if bad else 0.0,
        "ordered": bool(rng.random() < 0.5),
        "partitions": cuts,
        "lanes": chosen(LANES),
    }
    pace = [0.01, 0.5, 2.0, 9.0, 15.0, 40.0]
    trouble = {
        "train_s": {name: chosen(pace) for name in names if rng.random() < 0.3},
        "hangs": some(2),
        "fails": some(2),
        "faults": [*stops, *kills],
        "bad": some(1),
        "screened": some(2),
        "full": frozenset(int(n) for n in rng.integers(0, rounds + 1, rng.integers(3))),
    }
    rules = {
        "rounds": rounds,
        "quorum": chosen([0.5, 0.8, 1.0]),
        "participation": chosen([0.3, 1.0]),
        "sampling": chosen(["uniform", "weighted", "round-robin"]),
        "over_selection": chosen([1.0, 1.3, 3.0]),
        "probation_rounds": chosen([1, 5]),
        "min_clients": chosen([None, 1, 3]),
        "evaluate_sites": bool(rng.random() < 0.5),
        "evaluate_test": bool(rng.random() < 0.5),
        "site_matrix": bool(rng.random() < 0.2),
    }
    late = {f"late-{k}": second() for k in range(rng.integers(3))}
    return FederatedHistory(seed, clients, network, trouble, late, chosen([1, 3]), rules)


def _some_of(rng: np.random.Generator, names: list[str]) -> list[Any]:
    return list(rng.permutation(names)[: rng.integers(1, len(names))])

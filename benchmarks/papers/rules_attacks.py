"""Merging rules against attacks: MNIST, 20 clients of which 4 or 6 are hostile, IID and Dirichlet(0.5).

784-64-10 with ReLU, 6,000 images dealt to the clients, 20 rounds of two epochs, B = 20, plain SGD at 0.1, everybody
asked in every round. The figure is the accuracy on the 10,000 test images after the last round, the mean over the
seeds. Hostile clients know all honest updates (differences to the global model) and send

    sign flip     -10 times their mean
    Gaussian      normal noise of deviation 200 (Blanchard et al. 2017)
    IPM           -0.5 times their mean (Xie et al. 2019)
    ALIE          mean less z_max deviations in each coordinate (Baruch et al. 2019)
    NaN           not a number
    inflation     noise of deviation 1, and the claim of 1,000,000,000 examples

Every update passes the coordinator's screening first (`nervenet.nodes.runtime.payload_checks`), but for the first row
of each table.
A rule is told the true f, in the column without attack, too. What it refuses, because its theory wants more updates
than there are, is printed as the n that it got: with NaN and inflation the hostile ones have been sent home already,
and f of the n - f that are left is more than f of n.

What it shows, on one seed: a sign flipped and lengthened, or noise, is the end of plain averaging, and so are NaN and
inflation unless they are screened. ALIE at z_max does nothing, because z_max is small, .16 and .37 deviations; at 20 it
ends plain averaging and not the median. Krum keeps to one honest client for most of a run, so that clients that differ
cost it much without any attack. Under IPM multi-krum selects hostile clients in 18 to 20 of 20 rounds, who are alike
and near; so does Bulyan on Dirichlet. To IPM, which is short, plain averaging and clipping lose least of all. No rule
can bear half of the clients, nor, where the honest ones differ, always tell a hostile one from one of them. The scale
of the sign flip is large enough to turn the mean (4 needs more than 4 of 20), and BOUND was set by honest norms.

    NERVENET_DATA=… python benchmarks/papers/rules_attacks.py       about fifteen minutes on one core (--seeds 0: five)
    … --results rules.jsonl      resumable
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import attacks
import numpy as np
from harness import Federation, Notebook, Rows, sites_of, subset
from nervenet.broker.messages import Payload, Update
from nervenet.models import MLP, generator
from nervenet.models.datasets import load
from nervenet.models.local import LocalSettings
from nervenet.models.weights import IncompatibleWeights, Vector, is_finite
from nervenet.nodes.config.arguments import arguments_of
from nervenet.nodes.federated.strategies import Contribution, Strategy, StrategyError
from nervenet.nodes.federated.strategies.registry import STRATEGIES, build_strategy
from nervenet.nodes.runtime.events import Arrived
from nervenet.nodes.runtime.payload_checks import update_fault

CLIENTS, ROWS, ROUNDS = 20, 6000, 20
SETTINGS = LocalSettings(epochs=2, batch_size=20)
BOUND = 1.0  # of a norm, for centered clipping and the norm bound; honest updates have 0.8 to 2 in the first rounds
ATTACKS = ("none", "sign flip", "Gaussian", "IPM", "ALIE", "NaN", "inflation")
UNSCREENED = "fedavg unscreened"
RULES = (
    *(UNSCREENED, "fedavg", "median", "trimmed-mean", "krum", "multi-krum", "bulyan"),
    *("geometric-median", "centered-clipping", "norm-bound"),
)


def strategy_of(rule: str, f: int) -> Strategy:
    """Make the strategy of that name, and tell it f and the bound where it takes them."""
    name = "fedavg" if rule == UNSCREENED else rule
    given = {"f": f, "tau": BOUND, "bound": BOUND}
    return build_strategy(name, {key: given[key] for key in arguments_of(STRATEGIES[name]) if key in given})


def hostile_updates(attack: str, honest: list[Contribution], f: int, seed: int, number: int) -> list[Vector]:
    """Return the difference to the global model that each hostile client sends."""
    deltas = [c.delta() for c in honest]
    noise = [generator(seed, "attack", number, k) for k in range(f)]
    match attack:
        case "sign flip":
            return [attacks.sign_flip(deltas, 10.0)] * f
        case "Gaussian":
            return [attacks.gaussian(deltas, rng) for rng in noise]
        case "IPM":
            return [attacks.sign_flip(deltas, 0.5)] * f
        case "ALIE":
            return [attacks.alie(deltas, -attacks.alie_z_max(len(deltas) + f, f))] * f
        case "NaN":
            return [np.full_like(deltas[0], np.nan)] * f
        case "inflation":
            return [attacks.gaussian(deltas, rng, 1.0) for rng in noise]
    raise ValueError(f"no attack {attack!r}")


def screened(contributions: Sequence[Contribution], enrolled: dict[str, int], payload: Payload) -> list[Contribution]:
    """Leave out what the coordinator refuses at the door."""
    passed = []
    for c in contributions:
        update = Update(round=1, attempt=0, examples=c.examples, metrics={}, fields=None, payload=payload)
        arrived = Arrived(c.client, update, c.body, None if is_finite(c.body) else "values must be finite")
        if not update_fault(update, arrived, "train", payload, enrolled[c.client]):
            passed.append(c)
    return passed


@cache
def data(scheme: str, seed: int) -> tuple[dict[str, Rows], Rows]:
    """Return the sites and the test set."""
    mnist = load("mnist")
    assert mnist.test is not None
    return sites_of(subset(mnist, ROWS, seed=seed), CLIENTS, scheme, seed=seed), (mnist.test.X, mnist.test.y)


def model() -> MLP:
    """One hidden layer of 64."""
    return MLP(hidden=(64,), optimizer="sgd", learning_rate=0.1, l2=0.0)


def run(scheme: str, f: int, rule: str, attack: str, seed: int, rounds: int = ROUNDS) -> float | str:
    """Return the final accuracy, NaN where the model has become no number; or the n that the rule refused."""
    sites, test = data(scheme, seed)
    enrolled = {name: len(rows[1]) for name, rows in sites.items()}
    # Drawn, because where the clients differ it matters who is hostile.
    hostile = set(generator(seed, "hostile").permutation(sorted(sites))[: 0 if attack == "none" else f].tolist())
    strategy = strategy_of(rule, f)
    federation = Federation(sites, test, model, seed=seed, strategy=strategy)
    layout = federation.judge.layout
    payload = Payload(layout=layout.hash, dtype=layout.dtype, length=layout.size)
    for number in range(1, rounds + 1):
        try:
            came = federation.train(dict.fromkeys(set(sites) - hostile, SETTINGS), number)
        except (ArithmeticError, IncompatibleWeights):  # clients refuse a model that is not finite, or end at one
            return float("nan")
        if hostile:
            bad = hostile_updates(attack, came, f, seed, number)
            came += [
                replace(
                    came[0],
                    client=name,
                    body=federation.weights + delta,
                    examples=10**9 if attack == "inflation" else enrolled[name],
                )
                for name, delta in zip(sorted(hostile), bad, strict=True)
            ]
            came.sort(key=lambda c: c.client)
        if rule == UNSCREENED:  # not by the aggregator either, which leaves out what is not finite
            federation.weights = federation.outgoing = strategy.apply({}, federation.weights, came).weights
            continue
        counted = screened(came, enrolled, payload)
        try:
            federation.fold(counted, number)
        except StrategyError:
            return f"n={len(counted)}"
    return federation.accuracy()


def shown(found: Sequence[Any]) -> str:
    """Write the mean of a cell's seeds, or the first that is no number."""
    words = [value for value in found if isinstance(value, str)]
    return words[0] if words else f"{np.mean(found):.3f}"


def main() -> None:
    """Print a table for each way to deal the rows and each number of hostile clients."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="file to keep the results in, and to go on from")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    args = parser.parse_args()
    notebook = Notebook(args.results)
    for scheme in ("iid", "dirichlet"):
        for f in (4, 6):
            print(f"\n{scheme}, {f} of {CLIENTS} hostile\n{'':18}" + "".join(f"{attack:>10}" for attack in ATTACKS))
            for rule in RULES:
                cells = []
                for attack in ATTACKS:
                    words = [("rules", scheme, f, rule, attack, seed) for seed in args.seeds]
                    cells.append(shown([notebook.get(w, lambda w=w: run(*w[1:])) for w in words]))
                print(f"{rule:18}" + "".join(f"{cell:>10}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

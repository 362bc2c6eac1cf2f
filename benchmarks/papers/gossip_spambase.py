"""Gossip learning on Spambase, one row a peer (Ormándi, Hegedűs & Jelasity 2013, Concurrency and Computation 25(4)).

4,140 peers, each with one row of the published split and no more; a linear support vector machine by Pegasos, λ = 1e-4,
no bias, inputs as shipped. Every cycle each peer sends its model to one peer drawn at random; what comes is made into
the next model by a variant (RW, MU, UM). The error is that of a peer's model on the 461 test rows, averaged over all
peers.

What runs here is deployed code: `asynchronous.token_account`, the merging of `asynchronous.model_merge`, the recipes of
`asynchronous.gossip_learning` and the step of `models.pegasos`. Only the loop around them is leaner than machines on
virtual time, which would take some hours: a cycle is one period of every peer, in an order drawn anew, and a message
arrives at once. A peer trains and evaluates nothing that it would not in a run.

With --tokens the answers are at once, too, which no network is: some hundred hops a period then make models old before
they have learned as much, and their learning rate small (randomized account: error .141 from cycle 500 on).

    NERVENET_DATA=… python benchmarks/papers/gossip_spambase.py       some minutes on one core
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nervenet.models.pegasos import pegasos_step
from nervenet.models.rng import generator
from nervenet.nodes.gossip.asynchronous.gossip_learning import RECIPES, Act, WalkingModel, useful
from nervenet.nodes.gossip.asynchronous.model_merge import RULES, WHOLE, merged, strided, taken
from nervenet.nodes.gossip.asynchronous.token_account import STRATEGIES, TokenAccount
from numpy.typing import NDArray

FEATURES = 57
GOAL = 0.12
PAPER = ".11"
REPRODUCED = {500: ".120", 1000: ".116"}


def read(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read an svmlight file: rows (n, 57), and signs (n,) of float64."""
    root = os.environ.get("NERVENET_DATA")
    if not root:
        raise SystemExit("set NERVENET_DATA to the folder that holds spambase/")
    lines = [line for line in (Path(root) / "spambase" / name).read_text().splitlines() if line.strip()]
    X, signs = np.zeros((len(lines), FEATURES)), np.empty(len(lines))
    for i, line in enumerate(lines):
        label, *pairs = line.split()
        signs[i] = 1.0 if float(label) > 0 else -1.0
        for index, value in (pair.split(":") for pair in pairs):
            X[i, int(index) - 1] = float(value)
    return X, signs


@dataclass
class Peer:
    """One row, the model of the moment, the one that came last, and a token account."""

    X: NDArray[Any]
    signs: NDArray[Any]
    account: TokenAccount
    model: WalkingModel
    last: WalkingModel = field(init=False)

    def __post_init__(self) -> None:
        self.last = self.model

    def update(self, model: WalkingModel, penalty: float) -> WalkingModel:
        """Take one step on the one row."""
        weights = model.body.copy()
        pegasos_step(weights, self.X, self.signs, model.age + 1, penalty)
        return model.updated(weights, 1)


class Network:
    """All peers, and the messages between them."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        X, signs = read("spambase_train.dat")
        self.recipe, self.rule, self.penalty = RECIPES[args.variant], RULES[args.merge], args.penalty
        self.parts = strided(args.parts)
        self.against_last = args.against == "last"
        if self.against_last and args.parts > 1:
            raise SystemExit("parts are merged into the peer's own model: --against own")
        self.rng = generator(seed, "spambase")
        strategy = STRATEGIES[args.tokens](args.capacity, args.reactivity)
        start = WalkingModel(np.zeros(FEATURES), (0,) * len(self.parts))
        self.peers = [Peer(X[i : i + 1], signs[i : i + 1], TokenAccount(strategy), start) for i in range(len(X))]
        self.sent = 0

    def cycle(self) -> None:
        """Pass one period at every peer."""
        n, rng = len(self.peers), self.rng
        draws, targets = rng.random(n).tolist(), rng.integers(n - 1, size=n).tolist()
        for i in rng.permutation(n).tolist():
            if self.peers[i].account.tick(draws[i]):
                self._send(i, targets[i])

    def _send(self, sender: int, target: int) -> None:
        letters = deque([(sender, target + (target >= sender))])
        while letters:
            source, receiver = letters.popleft()
            self.sent += 1
            for _ in range(self._deliver(self.peers[source].model, self.peers[receiver])):
                other = int(self.rng.integers(len(self.peers) - 1))
                letters.append((receiver, other + (other >= receiver)))

    def _deliver(self, came: WalkingModel, peer: Peer) -> int:
        part = self.parts[0] if len(self.parts) == 1 else self.parts[int(self.rng.integers(len(self.parts)))]
        news = useful(peer.model.ages[part.number], came.ages[part.number])
        a, b = came, peer.last if self.against_last else peer.model
        for act in self.recipe:
            if act is Act.UPDATE:
                a = peer.update(a, self.penalty)
            elif act is Act.UPDATE_OTHER:
                b = peer.update(b, self.penalty)
            else:
                age, shares = a.ages[part.number], self.rule(b.ages[part.number], a.ages[part.number])
                theirs = a.body if part is WHOLE else taken(a.body, part)
                a = b.with_merged(merged(b.body, theirs, shares, part), part.number, age)
        peer.model, peer.last = a, came
        return peer.account.react(news, self.rng.random())

    def error(self, X: NDArray[Any], signs: NDArray[Any]) -> float:
        """Return the share of wrong answers on these rows, averaged over the peers."""
        weights = np.stack([peer.model.body for peer in self.peers])
        return float(np.mean((X @ weights.T > 0) != (signs > 0)[:, None]))


def run(args: argparse.Namespace, seed: int) -> float:
    """Print the error on the way; gives the last."""
    network, test, began, error = Network(args, seed), read("spambase_test.dat"), time.perf_counter(), float("nan")
    for cycle in range(1, args.cycles + 1):
        network.cycle()
        if cycle in (1, 2, 5, 10, 20, 50) or cycle % 100 == 0 or cycle == args.cycles:
            error = network.error(*test)
            ages = np.mean([peer.model.age for peer in network.peers])
            paper, reproduced = PAPER if cycle >= 1000 else "", REPRODUCED.get(cycle, "")
            print(
                f"{seed:4} | {cycle:5} | {paper:5} | {reproduced:5} | {error:.4f}"
                f" | {network.sent / cycle / len(network.peers):6.3f} | {ages:8.1f}"
                f" | {time.perf_counter() - began:6.0f}",
                flush=True,
            )
    return error


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variant", choices=sorted(RECIPES), default="mu")
    parser.add_argument("--merge", choices=sorted(RULES), default="mean", help="mean: as in 2013; age: as in 2021")
    parser.add_argument("--against", choices=("last", "own"), default="last", help="last: as in 2013; own: as in 2021")
    parser.add_argument("--penalty", type=float, default=1e-4)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--tokens", choices=sorted(STRATEGIES), default="proactive")
    parser.add_argument("--capacity", type=int, default=20)
    parser.add_argument("--reactivity", type=int, default=10)
    args = parser.parse_args()
    print(f"Spambase, one row a peer; {args.variant}, merge by {args.merge} with {args.against}, {args.tokens} account")
    print("seed | cycle | paper | numpy | error  | sent a cycle | mean age | seconds")
    found = [run(args, seed) for seed in args.seeds]
    if args.cycles >= 1000:
        worst = max(found)
        print(f"error <= {GOAL}: {'holds' if worst <= GOAL else 'FALLS SHORT'} (worst of {len(found)}: {worst:.4f})")


if __name__ == "__main__":
    main()

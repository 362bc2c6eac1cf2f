"""One peer process on the digits, at a set pace.

python gossiper.py BROKER|+SEED_PEER|++SEED_PEER RUN NAME SHARE PEERS ROUNDS PACE_S [HOST FOLDER]

GOSSIPER_DATA names an .npz file of the digits, split (test_gossip_churn.py writes it: a process that needs no
scikit-learn is there in half the time), GOSSIPER_SUSPECTS a silence in seconds. SHARE is which eighth of the training
rows is its own. With ++ it takes its name even from one that answers. It binds at HOST, and writes its weights to
FOLDER every five rounds. Says "at ADDRESS" when it is there, and a line of JSON for each round and at its end. Before
the last round that is brought about by SIGTERM, or by the file that GOSSIPER_LAST names once it is there: with a
measured round not before the one in it.
"""

import asyncio
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from nervenet.models import MLP
from nervenet.nodes import Experiment, NodeFailed, Peer

Reports = list[dict[str, Any]]


def last() -> float:
    """The round that is to be the last, as soon as that is said."""
    try:
        return float(Path(os.environ["GOSSIPER_LAST"]).read_text() or "inf")
    except FileNotFoundError:
        return math.inf


class Paced(MLP):
    """A network on a machine of a given speed: a training takes at least so long."""

    pace_s = 0.0

    def fit(self, *given: Any) -> Any:
        """Train, and be ready when the time is over."""
        began = time.monotonic()
        report = super().fit(*given)
        time.sleep(max(0.0, began + self.pace_s - time.monotonic()))
        return report


async def take_part(
    way_in: str, run: str, name: str, share: int, peers: int, rounds: int, pace_s: float, *place: str
) -> None:
    """Be a peer until the run is over."""
    digits = np.load(os.environ["GOSSIPER_DATA"])
    rows = np.random.default_rng(0).permutation(len(digits["y"]))[share::8]
    plan = Experiment.from_dict(
        {
            "mode": "gossip",
            "nodes": peers,
            "rounds": rounds,
            "evaluation": {"every": 50},
            "gossip": {"topology": "ring", "deadline_s": 10},
            "network": {"join_deadline_s": 60, "suspect_after_s": float(os.environ.get("GOSSIPER_SUSPECTS", "2"))}
            | ({"bind": place[0], "insecure": True} if place else {}),
        }
    )
    model = Paced()
    model.pace_s = pace_s
    way = {"seed_peer": way_in.lstrip("+")} if way_in.startswith("+") else {"broker": way_in}
    data = (digits["X"][rows], digits["y"][rows])
    test, replace = (digits["test_X"], digits["test_y"]), way_in.startswith("++")
    peer = Peer(model, data, run=run, name=name, replace=replace, test=test, experiment=plan, **way)
    found: dict[str, Any] = {"name": name}
    reported = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, reported.set)
    try:
        async with peer:
            print("at", peer.session.transport.addresses["control"], flush=True)
            async for report in peer.rounds():
                if place and report.round % 5 == 0:
                    np.save(Path(place[1]) / f"{name}-{report.round}.npy", peer.weights)
                found |= {"round": report.round, "accuracy": report.accuracy or found.get("accuracy")}
                print(json.dumps({"round": report.round, "time": time.time()}), flush=True)
                if reported.is_set() or (report.accuracy is not None and report.round >= last()):
                    break
    except NodeFailed as error:
        found["failed"] = str(error)
    facts = peer.session.stats.report(peer.session.transport.counters)
    print(json.dumps(found | {"disturbed": facts["disturbed"], "warnings": facts["warnings"]}), flush=True)


if __name__ == "__main__":
    asyncio.run(
        take_part(
            *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]), float(sys.argv[7]), *sys.argv[8:]
        )
    )

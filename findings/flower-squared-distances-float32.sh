#!/bin/sh
# flwr 1.42.0, compute_distances, by which its strategies that choose among models by their distances choose, in
# float32.
#
# Guess: the distance of two clients' models depends on how they differ, and not on how large the weights are: float32
#        has seven digits, and a client in the middle of the others is found to be the nearest to them.
# Seen:  a squared distance is taken as the difference of squared norms of whole models, in the weights' own type. Of
#        100,000 weights about 1 large, which training moves by 1e-4, squared distances of 0.002 come out anywhere
#        between -0.1 and 0.1. The client whose model is the mean of the nine others, at half the squared distance, is
#        chosen no more often than any other; in float64 always. The nearer to convergence, the less is left.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet flwr==1.42.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging
from importlib.metadata import version

import numpy as np

logging.disable(logging.CRITICAL)
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum

CLIENTS, SIZE, DRAWS, MIDDLE = 10, 100_000, 10, 7


def reply(client, weights):
    return RecordDict({"arrays": ArrayRecord([weights]), "metrics": MetricRecord({"client": client})})


print("flwr", version("flwr"))
rng = np.random.default_rng(0)
chosen = {"float32": [], "float64": []}
for _ in range(DRAWS):
    model = rng.normal(size=SIZE)
    weights = [model + 1e-4 * rng.normal(size=SIZE) for _ in range(CLIENTS)]
    weights[MIDDLE] = np.mean(weights[:MIDDLE] + weights[MIDDLE + 1 :], axis=0)
    for kind, clients in chosen.items():
        replies = [reply(client, each.astype("float32").astype(kind)) for client, each in enumerate(weights)]
        clients.append(int(select_multikrum(replies, 0, 1)[0]["metrics"]["client"]))
exact = np.array([[((a - b) ** 2).sum() for b in weights] for a in weights])
pairs = ~np.eye(CLIENTS, dtype=bool)
print(f"squared distances of the last draw: {exact[pairs].min():.4f} to {exact[pairs].max():.4f}")
for kind, clients in chosen.items():
    found = compute_distances([ArrayRecord([each.astype("float32").astype(kind)]) for each in weights])[pairs]
    print(f"{kind}: found {found.min():.4f} to {found.max():.4f}; chosen {clients}, in the middle is {MIDDLE}")
assert chosen["float64"] == [MIDDLE] * DRAWS
if chosen["float32"] == [MIDDLE] * DRAWS:
    raise SystemExit("changed: float32 weights have distances that are good enough")
PYTHON

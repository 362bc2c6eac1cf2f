#!/bin/sh
# flwr 1.42.0, the strategies Krum, MultiKrum and Bulyan (which select alike), with float32 weights.
#
# Guess: ten clients, two of them Byzantine, at three times the distance of the others: Multi-Krum never takes one, as
#        it does not in float64. Distances between updates do not depend on how large the model is.
# Seen:  a distance is the difference of squared norms of whole models, in the weights' own type. Of 100,000 weights
#        about 1 large, which a round of training moves by 1e-4, squared distances of 0.002 come out anywhere between
#        -0.1 and 0.1, and the two are taken about as often as any other. It grows as training converges, just when
#        nothing else shows it. Weights cast to float64, or updates in place of models, end it.
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

CLIENTS, BYZANTINE, SIZE, DRAWS = 10, 2, 100_000, 8


def reply(client, weights):
    return RecordDict({"arrays": ArrayRecord([weights]), "metrics": MetricRecord({"client": client})})


print("flwr", version("flwr"))
rng = np.random.default_rng(0)
taken = {"float32": 0, "float64": 0}
for _ in range(DRAWS):
    model, step = rng.normal(size=SIZE), 1e-4 * rng.normal(size=SIZE)
    trained = [model + step + 1e-4 * rng.normal(size=SIZE) for _ in range(CLIENTS - BYZANTINE)]
    weights = [*[model - 3 * step] * BYZANTINE, *trained]
    for kind in taken:
        replies = [reply(client, vector.astype("float32").astype(kind)) for client, vector in enumerate(weights)]
        chosen = select_multikrum(replies, BYZANTINE, CLIENTS - BYZANTINE)
        taken[kind] += sum(content["metrics"]["client"] < BYZANTINE for content in chosen)
for kind in taken:
    distances = compute_distances([ArrayRecord([vector.astype("float32").astype(kind)]) for vector in weights])
    honest = distances[BYZANTINE:, BYZANTINE:][~np.eye(CLIENTS - BYZANTINE, dtype=bool)]
    print(f"{kind}: squared distances of honest clients {honest.min():.4f} to {honest.max():.4f},", end=" ")
    print(f"to a Byzantine one {distances[0, BYZANTINE:].min():.4f} to {distances[0, BYZANTINE:].max():.4f};", end=" ")
    print(f"Byzantine models taken by Multi-Krum: {taken[kind]} of {BYZANTINE * DRAWS}")
assert taken["float64"] == 0
if taken["float32"] == 0:
    raise SystemExit("changed: float32 weights have distances that are good enough")
PYTHON

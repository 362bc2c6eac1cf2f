#!/bin/sh
# flwr 1.42.0, the average behind its strategy FedAvg, of models that are sent as float16 to halve what is transferred.
#
# Guess: the average of many equal models is this model, to the 3 digits of float16, as numpy.average makes it.
# Seen:  each model times its share, and the running sum, are float16 again: shares of 1 / 1000 make products that
#        float16 holds poorly, and a sum that a product hardly moves. 1,000 equal models average to one that is 6 % away
#        from them (norm of the difference by norm), 3,000 to one that is 18 % away. Where clients differ by 0.01 a
#        weight, the average of 3,000 is farther from their mean than a single client is. float32 loses 2e-5 there.
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
from flwr.common import ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords

print("flwr", version("flwr"), "numpy", np.__version__)


def averaged(models):
    replies = [RecordDict({"a": ArrayRecord([each]), "m": MetricRecord({"num-examples": 100})}) for each in models]
    (found,) = aggregate_arrayrecords(replies, "num-examples").to_numpy_ndarrays()
    assert found.dtype == models[0].dtype
    return found.astype(float)


def norm(vector):
    return float(np.linalg.norm(vector))


weights = np.random.default_rng(0).normal(0, 0.1, 1000)
off = {}
for dtype in (np.float32, np.float16):
    model = weights.astype(dtype)
    for clients in (10, 100, 1000, 3000):
        off[dtype, clients] = norm(averaged([model] * clients) - model) / norm(model)
        direct = np.average([model] * clients, axis=0, weights=[100] * clients)
        assert norm(direct - model) / norm(model) < 1e-3
        print(f"{clients} equal models of {dtype.__name__}: the average is {off[dtype, clients]:.1e} away from them")

sites = [np.random.default_rng(site).normal(weights, 0.01).astype(np.float16) for site in range(3000)]
mean = np.mean(np.asarray(sites, float), axis=0)
average, single = norm(averaged(sites) - mean), norm(sites[0] - mean)
print(f"3000 clients that differ: their average is {average:.3f} from their mean, one client {single:.3f}")
if off[np.float16, 1000] < 0.002:
    raise SystemExit("changed: float16 models are averaged as they are by numpy")
assert off[np.float16, 1000] > 0.03 and off[np.float16, 3000] > 0.1 and average > single
assert off[np.float32, 3000] < 1e-4
PYTHON

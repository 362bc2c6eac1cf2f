#!/bin/sh
# flwr 1.42.0, the merge behind its strategy FedXgbBagging, with xgboost 3.2.0 at each client.
#
# Guess: it does not matter which client's trees come first: a merged model is a sum of trees.
# Seen:  a sum of trees and of one `base_score`, which xgboost estimates from each client's own labels unless it is
#        given; the merge keeps that of the client whose reply came first, and the other's trees, grown from another
#        one. With 2 % positives at one site and 60 % at the other the model of ten rounds predicts 0.31 on average,
#        the share that both have together, or stays below 0.001, whichever site was faster. `base_score` in the
#        parameters of all clients ends it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet flwr==1.42.0 xgboost-cpu==3.2.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import json
import logging
from importlib.metadata import version

import numpy as np
import xgboost

logging.disable(logging.CRITICAL)
from flwr.serverapp.strategy.strategy_utils import aggregate_bagging

print("flwr", version("flwr"), "xgboost", xgboost.__version__)
rng = np.random.default_rng(0)


def site(share):
    return rng.normal(size=(500, 3)), (rng.random(500) < share).astype(int)


def one_round(model, rows, parameters):
    """Return a booster of the one tree that a client adds to the global model; at first, there is none."""
    data = xgboost.DMatrix(*rows)
    if not model:
        return bytes(xgboost.train(parameters, data, 1).save_raw("json"))
    booster = xgboost.Booster(parameters, model_file=bytearray(model))
    rounds = booster.num_boosted_rounds()
    booster.update(data, rounds)
    return bytes(booster[rounds : rounds + 1].save_raw("json"))


def predicted(sites, **given):
    parameters = {"objective": "binary:logistic", "eta": 0.3, "max_depth": 3, "nthread": 1, **given}
    model = b""
    for _ in range(10):
        for reply in [one_round(model, rows, parameters) for rows in sites]:
            model = aggregate_bagging(model, reply)
    base = json.loads(model)["learner"]["learner_model_param"]["base_score"]
    inputs = xgboost.DMatrix(np.concatenate([X for X, _ in sites]))
    return base, float(xgboost.Booster(model_file=bytearray(model)).predict(inputs).mean())


few, many = site(0.02), site(0.6)
print("share of positives, all rows:", np.concatenate([few[1], many[1]]).mean())
few_first, many_first = predicted([few, many]), predicted([many, few])
print("few positives first: base_score and mean prediction", few_first)
print("many first:          base_score and mean prediction", many_first)
given = predicted([few, many], base_score=0.3), predicted([many, few], base_score=0.3)
print("base_score=0.3 given, few first and many first:", given)
assert abs(given[0][1] - given[1][1]) < 0.01
if few_first[0] == many_first[0] or abs(few_first[1] - many_first[1]) < 0.01:
    raise SystemExit("changed: the order of clients no longer matters")
assert few_first[1] < 0.001 and many_first[1] > 0.25
PYTHON

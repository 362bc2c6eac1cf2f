"""What strategies ask of clients, clients do and tell: the two halves together, without a network between them."""

from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.federated.coordinator_worker import Aggregator
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.strategies.registry import STRATEGIES, build_strategy
from nervenet.nodes.runtime import effects as e

CLIENTS = 7


def rows(seed: int, n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 2)) + 3.0 * np.c_[y, -y], y


@pytest.mark.parametrize("name", tuple(STRATEGIES.builtin))
@pytest.mark.parametrize("encoding", ["", "delta+int8"])
def test_the_model_gets_better_under_every_strategy(name: str, encoding: str) -> None:
    from nervenet.models.compress import parse

    strategy = build_strategy(name, {"server_rate": 0.1} if name in ("fedadam", "fedyogi") else {})
    site_models = {
        f"c{i}": SiteModel(MLP(hidden=(4,)), *rows(i, 20 + 10 * i), columns=("a", "b")) for i in range(CLIENTS)
    }
    agreement = agree({client: site_model.statistics() for client, site_model in site_models.items()}, scale="standard")
    for site_model in site_models.values():
        layout = site_model.build(agreement, 0)
    clients = {client: LocalTraining(site_model, node=client, seed=0) for client, site_model in site_models.items()}
    weights = site_models["c0"].get_weights()
    aggregator = Aggregator(strategy, CLIENTS)
    going_out = aggregator.begin(weights)
    settings = LocalSettings.from_dict({"epochs": 1, "encoding": encoding, **strategy.demands.settings})
    parts = len(strategy.demands.parts)
    losses = []
    for number in range(1, 6):
        reported, contributions = [], []
        for client, training in clients.items():
            result = training.train(going_out, settings, number)
            body: Any = result.vector
            if encoding:
                body = parse(encoding).decode(body, layout.size, layout.dtype, parts=parts)
            contributions.append(Contribution(client, body, weights, result.examples, result.metrics, bool(encoding)))
            site_models[client].set_weights(weights)
            reported.append(site_models[client].training_loss())
        losses.append(float(np.mean(reported)))
        folded = aggregator.fold(e.Fold(number, 0, weights, contributions))
        assert folded.rejected == {}
        weights, going_out = folded.body, folded.outgoing
        assert going_out.size == parts * weights.size
    assert losses[-1] < 0.8 * losses[0]

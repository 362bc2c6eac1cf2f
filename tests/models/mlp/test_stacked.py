"""Networks that are trained as a stack end at the bits of networks that are trained one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP, generator
from nervenet.models.mlp import stacked
from nervenet.models.mlp.stacked import StackedMLP
from nervenet.models.model import LocalWork
from nervenet.models.weights import Array

COUNT, ROWS = 5, 23


def rows_of(features: int, classes: int | None) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    X = (3 * rng.standard_normal((COUNT, ROWS, features))).astype(np.float32)
    y = rng.integers(0, classes, (COUNT, ROWS)) if classes else rng.standard_normal((COUNT, ROWS)).astype(np.float32)
    return X, y


def built(features: int, classes: int | None, **parameters: Any) -> MLP:
    model = MLP(**parameters)
    model.build(features, classes, generator(0, "init"))
    return model


def one_by_one(
    rows: tuple[Array, Array], classes: int | None, work: LocalWork, rounds: int, **parameters: Any
) -> tuple[Array, list[float]]:
    weights, losses = [], []
    for k, (X, y) in enumerate(zip(*rows, strict=True)):
        model = built(X.shape[1], classes, **parameters)
        for number in range(rounds):
            report = model.fit(X.astype(model.dtype), y, work, generator(0, k, number), lambda: False)
        weights.append(model.get_weights())
        losses.append(report.loss)
    return np.array(weights), losses


def as_stack(
    rows: tuple[Array, Array], classes: int | None, work: LocalWork, rounds: int, **parameters: Any
) -> tuple[Array, Array]:
    X, y = rows
    model = built(X.shape[2], classes, **parameters)
    stack = StackedMLP(model, COUNT)
    # In the middle of a larger matrix, as where each stack is a part of all networks.
    whole = np.zeros((COUNT + 2, model.layout.size + 3), model.dtype)
    parameters_of = whole[1:-1, : model.layout.size]
    parameters_of[:] = model.get_weights()
    names = model.get_state().keys() - {"t"}
    moments = {name: np.zeros_like(parameters_of) for name in names}
    steps, losses = work.steps(ROWS), np.empty(0)
    epochs = -(-steps // -(-ROWS // min(work.batch_size, ROWS)))
    for number in range(rounds):
        draws = [generator(0, k, number) for k in range(COUNT)]
        orders = [np.array([each.permutation(ROWS) for each in draws]) for _ in range(epochs)]
        if not work.carry_optimizer:
            for moment in moments.values():
                moment.fill(0)
        before = number * steps if work.carry_optimizer else 0
        losses = stack.train(parameters_of, moments, (X.astype(model.dtype), y), orders, work, before)
    return parameters_of, losses


@pytest.mark.parametrize(
    ("classes", "work", "parameters"),
    [
        (3, LocalWork(2, batch_size=8), {"hidden": (6,)}),
        (3, LocalWork(2, batch_size=8, carry_optimizer=True), {"hidden": (6, 4), "activation": "tanh"}),
        (2, LocalWork(1, batch_size=64), {"hidden": (5,), "activation": "logistic", "optimizer": "momentum"}),
        (None, LocalWork(local_steps=4, batch_size=8), {"hidden": (6,), "optimizer": "sgd", "learning_rate": 0.01}),
        (10, LocalWork(1, batch_size=16, carry_optimizer=True), {"hidden": (), "optimizer": "adam"}),
        (4, LocalWork(3, batch_size=7), {"hidden": (30,), "activation": "identity", "dtype": "float64"}),
        (3, LocalWork(8, batch_size=8, learning_rate=0.3), {"hidden": (6,)}),  # values large enough to be shifted
    ],
)
def test_bits_and_losses_are_those_of_networks_trained_one_by_one(
    classes: int | None, work: LocalWork, parameters: dict[str, Any]
) -> None:
    rows = rows_of(9, classes)
    alone, losses = one_by_one(rows, classes, work, 3, **parameters)
    together, found = as_stack(rows, classes, work, 3, **parameters)
    assert together.tobytes() == alone.tobytes()
    assert found.tolist() == pytest.approx(losses, rel=1e-6)
    assert len({row.tobytes() for row in together}) == COUNT


def test_wide_inputs_are_cut_as_for_a_single_network() -> None:
    rows = rows_of(600, 3)
    alone, _ = one_by_one(rows, 3, LocalWork(1, batch_size=23), 1, hidden=(100,))
    together, _ = as_stack(rows, 3, LocalWork(1, batch_size=23), 1, hidden=(100,))
    assert together.tobytes() == alone.tobytes()


def test_another_cut_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself can fail."""
    rows = rows_of(600, 3)
    alone, _ = one_by_one(rows, 3, LocalWork(1, batch_size=23), 1, hidden=(100,))
    monkeypatch.setattr(stacked, "UNPACKED", 400_000)
    together, _ = as_stack(rows, 3, LocalWork(1, batch_size=23), 1, hidden=(100,))
    assert together.tobytes() != alone.tobytes()

"""A model that no message can carry is refused by its size, before anything is started."""

from collections.abc import Callable
from typing import Any

import pytest
from nervenet.models import MLP
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.validation import check_size


def plan(**model: Any) -> Experiment:
    return Experiment.from_dict({"model": model, "network": {"max_message_bytes": 65_536}})


def check_it_is_refused(**model: Any) -> None:
    with pytest.raises(ExperimentError, match=r"model: .* parameters .* network.max_message_bytes = 65,536"):
        check_size(plan(**model), 4, 3)


def test_a_network_is_refused_by_its_parameters_without_being_built(monkeypatch: pytest.MonkeyPatch) -> None:
    build: Callable[..., Any] = lambda *_: pytest.fail("built")  # noqa: E731
    monkeypatch.setattr(MLP, "build", build)
    check_it_is_refused(hidden=[1_000_000, 1_000_000])
    check_it_is_refused(hidden=[2_050])  # 16,403 parameters: 65,612 bytes
    check_size(plan(hidden=[2_000]), 4, 3)


def test_other_models_are_built_to_know() -> None:
    sgd = "sklearn.linear_model.SGDClassifier"
    check_size(plan(name=sgd), 4, 3)
    with pytest.raises(ExperimentError, match=r"model: 10,001 parameters of float64 are 80,008 bytes"):
        check_size(plan(name=sgd), 10_000, 2)


def test_with_room_for_the_weights_alone_it_would_be_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message has a header, too: 65,536 bytes of weights do not fit into one of 65,536."""
    hidden = [2_047]  # 16,379 parameters, 65,516 bytes
    check_it_is_refused(hidden=hidden)
    monkeypatch.setattr("nervenet.nodes.experiment.validation.HEADER_BYTES", 0)
    with pytest.raises(pytest.fail.Exception):
        check_it_is_refused(hidden=hidden)

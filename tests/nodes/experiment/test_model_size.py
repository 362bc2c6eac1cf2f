"""A model that no message can carry is refused by its size, before anything is started."""

from collections.abc import Callable
from typing import Any

import pytest
from nervenet.models import MLP
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.model_size import check_size
from sklearn.linear_model import SGDClassifier


def plan(more: dict[str, Any] | None = None, **model: Any) -> Experiment:
    """An experiment whose strategy needs each update as a whole, in one message, unless `more` says otherwise."""
    whole = {"mode": "federated", "federated": {"strategy": "krum"}}
    chosen = {**whole, "model": model, "network": {"max_message_bytes": 65_536}, **(more or {})}
    return Experiment.from_dict(chosen)


FEDERATED = {"mode": "federated", "federated": {}}
GOSSIP = {"mode": "gossip", "federated": {}}


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
    monkeypatch.setattr("nervenet.nodes.experiment.model_size.HEADER_BYTES", 0)
    with pytest.raises(pytest.fail.Exception):
        check_it_is_refused(hidden=hidden)


IN_TWO_PARTS: list[dict[str, Any]] = [
    {"mode": "federated", "federated": {"strategy": "scaffold"}},
    {**GOSSIP, "gossip": {"algorithm": "gradient-tracking"}, "cluster": {"on": "dask"}},
]


@pytest.mark.parametrize("more", [FEDERATED, GOSSIP, {**GOSSIP, "gossip": {"algorithm": "gradient-tracking"}}])
def test_larger_models_travel_in_chunks(more: dict[str, Any]) -> None:
    check_size(plan(more, hidden=[1_000_000, 1_000_000]), 4, 3)


def test_peers_of_a_cluster_engine_report_theirs_in_a_message() -> None:
    with pytest.raises(ExperimentError, match=r"peers that cluster.on places report their models in a message each"):
        check_size(plan({**GOSSIP, "cluster": {"on": "dask"}}, hidden=[2_050]), 4, 3)


UNSUITED: list[tuple[dict[str, Any], str]] = [
    ({"strategy": "krum"}, r"federated.strategy = 'krum' needs each update as a whole: fedavg, fedprox"),
    ({"strategy": "norm-bound"}, "needs each update as a whole"),
    ({"strategy": "qfedavg"}, "needs each update as a whole"),
    ({"strategy": "fedbuff"}, "has no rounds"),
    ({"strategy": "scaffold"}, "sends control beside the weights"),
    ({"compression": "float16"}, "federated.compression = 'float16' encodes whole vectors"),
    ({"report_outliers": True}, "federated.report_outliers measures whole updates"),
]


@pytest.mark.parametrize(("federated", "reason"), UNSUITED)
def test_what_needs_whole_vectors_refuses_them_by_name(federated: dict[str, Any], reason: str) -> None:
    with pytest.raises(ExperimentError, match=reason):
        check_size(plan({"mode": "federated", "federated": federated}, hidden=[2_050]), 4, 3)


def check_parts_count(more: dict[str, Any]) -> None:
    """8,179 parameters of float32 are 32,716 bytes: a message holds them once, and two such parts never."""
    check_size(plan(hidden=[1_022]), 4, 3)
    with pytest.raises(ExperimentError, match=r"8,179 parameters of float32 each in 2 parts \(weights, .*65,432 bytes"):
        check_size(plan(more, hidden=[1_022]), 4, 3)


@pytest.mark.parametrize("more", IN_TWO_PARTS)
def test_all_parts_that_travel_together_must_fit(more: dict[str, Any]) -> None:
    check_parts_count(more)


@pytest.mark.parametrize("more", IN_TWO_PARTS)
def test_counting_the_weights_alone_would_let_them_through(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervenet.nodes.experiment.model_size._parts", lambda _: ("weights",))
    with pytest.raises(pytest.fail.Exception):
        check_parts_count(more)


def test_the_type_is_the_models_own() -> None:
    """Pegasos may have a default of its own, and says itself what it cannot learn."""
    build_model = "nervenet.nodes.experiment.model_size.build_model"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(build_model, lambda _: MLP((2_000,), dtype="float64"))
        with pytest.raises(ExperimentError, match=r"16,003 parameters of float64 are 128,024 bytes"):
            check_size(plan(), 4, 3)
    check_size(plan(name="pegasos"), 4, 3)


class Unlicensed(SGDClassifier):
    """An estimator of a user's own that fails."""

    def partial_fit(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no license for this solver")


def test_what_a_users_own_estimator_raises_is_said_in_a_line() -> None:
    own = f"{__name__}:Unlicensed"
    with pytest.raises(ExperimentError, match=rf"{own}' fails .* 4 columns: RuntimeError: no license for this solver"):
        check_size(plan(name=own), 4, 3)

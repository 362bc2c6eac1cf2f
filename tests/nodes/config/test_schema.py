"""The tables of an experiment: defaults, round trips, and what follows from them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.config.keys import override
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment


def test_the_defaults_are_those_of_the_surface() -> None:
    experiment = load_experiment()
    assert (experiment.mode, experiment.nodes, experiment.rounds, experiment.seed) == ("federated", 8, 20, 0)
    assert (experiment.data.name, experiment.data.test_size, experiment.data.split_seed) == ("digits", 0.2, 42)
    assert (experiment.model.name, experiment.model.hidden, experiment.model.activation) == ("mlp", (64,), "relu")
    training = experiment.training
    assert (training.epochs, training.batch_size, training.learning_rate, training.rule) == (5, 16, 0.05, "nesterov")
    assert (experiment.federated.quorum, experiment.deadline_s, experiment.min_clients) == (1.0, 30.0, 4)
    assert not experiment.carry_optimizer
    assert load_experiment(overrides={"mode": "gossip"}).carry_optimizer


PROPERTIES = {
    "mode": ["federated", "gossip"],
    "nodes": [1, 2, 8, 12],
    "rounds": [1, 20],
    "data.partition": ["iid", "dirichlet"],
    "data.scale": ["standard", "none"],
    "model.hidden": [[], [64], [32, 16]],
    "training.momentum": [0, 0.5],
    "gossip.topology": ["ring", "complete", "star", "random-regular"],
    "gossip.deadline_s": [1, 2.5],
    "federated.quorum": [0.5, 1],
    "evaluation.scorers": [[], ["f1_macro"]],
    "evaluation.until": ["accuracy=0.9", "loss<=0.1"],
    "evaluation.patience": [1, 5],
    "evaluation.budget_s": [0.5, 60],
}


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in PROPERTIES.items()}))
def test_an_experiment_survives_maps_and_toml(overrides: dict[str, object]) -> None:
    import tomllib

    experiment = Experiment.from_dict(override({}, overrides))
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    again = Experiment.from_dict(tomllib.loads(experiment.to_toml()))
    assert again == experiment.resolved()
    assert again.to_toml() == experiment.to_toml()


def test_the_resolved_experiment_writes_every_default_down() -> None:
    tables = load_experiment(overrides={"data.name": "iris"}).resolved().to_dict()
    assert (tables["data"]["alpha"], tables["data"]["scale"]) == (0.5, "standard")
    assert tables["model"] == {"name": "mlp", "hidden": [64], "activation": "relu", "dtype": "float32"}
    assert tables["training"]["epochs"] == 5
    assert tables["federated"]["min_clients"] == 4
    assert tables["network"]["max_message_bytes"] == 256 * 2**20


def test_the_shortcut_that_forgot_the_defaults_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    # msgspec leaves a default on the class when it builds a dataclass, and its own export then does not see it.
    import msgspec

    monkeypatch.setattr("nervenet.nodes.config.schema.dataclasses.asdict", msgspec.to_builtins)
    with pytest.raises((AssertionError, KeyError)):
        test_the_resolved_experiment_writes_every_default_down()


def test_an_estimator_keeps_its_own_arguments() -> None:
    experiment = load_experiment(
        overrides={"model.name": "sklearn.linear_model.SGDClassifier", "model.alpha": 0.1, "model.eta0": 0.5}
    )
    assert experiment.model.parameters == {"alpha": 0.1, "eta0": 0.5}
    assert experiment.to_dict()["model"]["alpha"] == 0.1
    assert Experiment.from_dict(experiment.to_dict()) == experiment


@pytest.mark.parametrize(
    ("momentum", "nesterov", "rule"), [(0.0, True, "sgd"), (0.9, False, "momentum"), (0.9, True, "nesterov")]
)
def test_the_update_rule_follows_from_momentum(momentum: float, nesterov: bool, rule: str) -> None:
    assert (
        load_experiment(overrides={"training.momentum": momentum, "training.nesterov": nesterov}).training.rule == rule
    )


@pytest.mark.parametrize(("name", "scaling"), [("digits", "standard"), ("mnist", "none"), ("fashion_mnist", "none")])
def test_an_open_scale_suits_the_data_and_is_written_down(name: str, scaling: str) -> None:
    experiment = Experiment.from_dict({"data": {"name": name}})
    assert experiment.data.scaling == experiment.resolved().data.scale == scaling
    assert Experiment.from_dict({"data": {"name": name, "scale": "unit"}}).data.scaling == "unit"

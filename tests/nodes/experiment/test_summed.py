"""What a run may ask of a model that is a sum over rows, and what it takes where nothing is said."""

from typing import Any

import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.summed import MOST_ROUNDS, idle_training, problems
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import experiment_from_keywords, load_experiment
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB

LINEAR = {"model.name": "sklearn.linear_model.LinearRegression"}
GOSSIP = {**LINEAR, "mode": "gossip"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"federated.strategy": "fedadam"}, "only their plain mean has a meaning; expected 'fedavg'"),
        ({"federated.strategy": "median"}, "LinearRegression is a sum over the rows of all sites"),
        ({"federated.strategy": "fedbuff"}, "federated.strategy = 'fedbuff'"),
        ({"federated.participation": 0.5}, "federated.participation = 0.5"),
        ({"federated.fine_tune": 2}, "federated.fine_tune = 2"),
        ({"federated.personal": ["sum"]}, "federated.personal = ['sum']"),
        ({"federated.compression": "float16"}, "expected 'deflate', or none"),
        ({"federated.compression": "delta"}, "federated.compression = 'delta'"),
        ({"mode": "gossip", "gossip.algorithm": "choco"}, "expected 'dpsgd' or 'sgp'"),
        ({"mode": "gossip", "gossip.algorithm": "ad-psgd"}, "gossip.algorithm = 'ad-psgd'"),
        (
            {"model.name": "sklearn.linear_model.PoissonRegressor", "mode": "gossip"},
            "gossip.topology = 'ring': each step of PoissonRegressor needs the sums of all sites",
        ),
        ({"model.name": "sklearn.cluster.KMeans"}, "KMeans has no target, and a run of commands learns one"),
        ({"model.name": "sklearn.naive_bayes.MultinomialNB", "data.scale": "standard"}, "expected data.scale = 'none'"),
    ],
)
def test_what_has_no_meaning_for_sums_is_refused_by_name(overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError) as refused:
        load_experiment(overrides={**LINEAR, **overrides})
    assert words in str(refused.value)


def test_what_keeps_the_mean_is_allowed() -> None:
    for allowed in ({"federated.compression": "deflate"}, {"federated.quorum": 0.5}):
        load_experiment(overrides={**LINEAR, **allowed})
    load_experiment(overrides={**GOSSIP, "gossip.algorithm": "sgp", "gossip.topology": "static-exponential"})


def test_a_program_may_bring_a_model_without_a_target() -> None:
    loaded = experiment_from_keywords("gossip", {"gossip.topology": "complete"}, None, KMeans(3))
    assert (loaded.rounds, loaded.data.scaling) == (20, "none")


def test_the_solver_says_whether_a_logistic_regression_is_one_of_sums() -> None:
    logistic: dict[str, Any] = {"model.name": "sklearn.linear_model.LogisticRegression", "mode": "gossip"}
    load_experiment(overrides=logistic)
    newton = {**logistic, "model.parameters.solver": "newton-cholesky"}
    with pytest.raises(ExperimentError, match=r"gossip\.topology = 'ring'"):
        load_experiment(overrides=newton)
    loaded = load_experiment(overrides={**newton, "gossip.topology": "complete"})
    assert (loaded.rounds, loaded.data.scaling) == (20, "none")


def test_one_round_and_columns_as_they_are_unless_something_else_is_said() -> None:
    left_open = load_experiment(overrides=LINEAR)
    assert (left_open.rounds, left_open.data.scaling) == (1, "none")
    said = load_experiment(overrides={**LINEAR, "rounds": 3, "data.scale": "standard"})
    assert (said.rounds, said.data.scaling) == (3, "standard")
    assert load_experiment(overrides=GOSSIP).rounds == 106
    assert load_experiment(overrides={**GOSSIP, "gossip.topology": "one-peer-exponential"}).rounds == 3
    assert load_experiment(overrides={**GOSSIP, "nodes": 100}).rounds == MOST_ROUNDS
    assert load_experiment(overrides={**GOSSIP, "gossip.topology": "complete"}).rounds == 1
    other = load_experiment(overrides={"model.name": "sklearn.linear_model.SGDRegressor"})
    assert (other.rounds, other.data.scaling) == (20, "standard")
    embedded = experiment_from_keywords("federated", {}, None, GaussianNB())
    assert (embedded.rounds, embedded.data.scaling) == (1, "none")
    assert experiment_from_keywords("federated", {}, None, MLP()).rounds == 20


def test_settings_of_steps_are_named_as_without_effect() -> None:
    given = {**LINEAR, "training.epochs": 3, "training.batch_size": 8, "model.n_jobs": 2}
    found = warnings(load_experiment(overrides=given))
    assert [line.partition(" ")[0] for line in found] == ["model.n_jobs", "training.epochs", "training.batch_size"]
    assert "LinearRegression, which is solved from sums over rows" in found[1]
    assert warnings(load_experiment(overrides=LINEAR)) == []


def test_a_round_that_may_close_without_a_site_is_named() -> None:
    [line] = warnings(load_experiment(overrides={**LINEAR, "federated.quorum": 0.5}))
    assert line.startswith("federated.quorum = 0.5: a round may close before all sites have answered, and the rows")
    assert warnings(load_experiment(overrides={"federated.quorum": 0.5})) == []  # a mean of some sites is one, too


def test_too_few_rounds_of_mixing_are_named() -> None:
    (line,) = warnings(load_experiment(overrides={**GOSSIP, "rounds": 20}))
    assert line.startswith("rounds = 20: on gossip.topology = 'ring' it takes 106 until the sums of all have reached")
    assert warnings(load_experiment(overrides={**GOSSIP, "rounds": 106})) == []
    assert warnings(load_experiment(overrides={"mode": "gossip", "rounds": 2})) == []


def test_other_models_are_asked_for_nothing() -> None:
    experiment = experiment_from_keywords("federated", {"federated.strategy": "median", "training.epochs": 3}, None)
    assert list(problems(experiment, MLP())) == idle_training(experiment.training, MLP()) == []
    refused = list(problems(experiment, named := _adapter()))
    assert len(refused) == 1
    assert len(idle_training(experiment.training, named)) == 1


def _adapter() -> Any:
    from nervenet.models.registry import as_model

    return as_model(LinearRegression())

"""What theory excludes is refused by name, before anything starts: the two that do not fit, and what would."""

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.gossip.algorithms.registry import SYNCHRONOUS

PLAIN = {"training.momentum": 0.0}
ONE_STEP = {**PLAIN, "training.local_steps": 1}


def gossip(algorithm: str, **overrides: object) -> Experiment:
    keys = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_experiment(overrides={"mode": "gossip", "nodes": 8, "gossip.algorithm": algorithm, **keys})


@pytest.mark.parametrize(
    ("algorithm", "overrides", "words"),
    [
        ("dpsdg", {}, ["gossip.algorithm = 'dpsdg'", *SYNCHRONOUS, "ad-psgd", "(did you mean dpsgd?)"]),
        ("d2", {}, ["'d2'", "plain gradient steps", "training.momentum = 0.9", "expected training.optimizer = 'sgd'"]),
        ("gradient-tracking", {"training.optimizer": "adam"}, ["'gradient-tracking'", "training.optimizer = 'adam'"]),
        ("d2", PLAIN, ["'d2': takes 1 local step a round, and training.epochs = 5; expected training.local_steps = 1"]),
        ("d2", {**ONE_STEP, "gossip.lazy": False}, ["'d2'", "'ring'", "-1/3", "gossip.lazy = true"]),
        (
            "choco",
            {"gossip.topology": "one-peer-exponential"},
            ["one-peer-exponential", "go one way", "sgp"],
        ),
        ("choco", {"gossip.topology": "base-k"}, ["'choco'", "'base-k'", "changes from round to round", "dpsgd"]),
        ("dpsgd", {"gossip.topology": "epidemic-local"}, ["'dpsgd'", "doubly stochastic", "epidemic-local", "sgp"]),
        ("dpsgd", {"gossip.topology": "star", "gossip.mixing": "uniform"}, ["doubly stochastic", "'star'"]),
        ("dpsgd", {"gossip.mixing": "push-sum"}, ["'dpsgd'", "gossip.mixing = 'push-sum'", "expected sgp"]),
        ("sgp", {"gossip.mixing": "uniform"}, ["'sgp'", "'uniform'", "expected push-sum"]),
        ("epidemic", {"gossip.mixing": "metropolis-hastings"}, ["'epidemic'", "expected uniform"]),
        ("dpsgd", {"gossip.compression": "int8"}, ["gossip.compression = 'int8'", "'dpsgd'", "choco"]),
        ("choco", {"gossip.compression": "int9"}, ["gossip.compression = 'int9'", "int8"]),
        ("choco", {"gossip.gamma": 2.0}, ["gossip.gamma = 2.0", "<= 1.0"]),
        ("choco", {"gossip.gama": 1.0}, ["gossip.gama", "did you mean gossip.gamma?"]),
        ("dpsgd", {"gossip.gamma": 1.0}, ["gossip.gamma: there is no such key"]),
        ("trimmed-mean", {}, ["'trimmed-mean'", "'ring'", "gossip.byzantine = 1", "at least 3 neighbors", "has 2"]),
        ("clipped-gossip", {"gossip.byzantine": 2}, ["gossip.byzantine = 2", "at least 3 neighbors"]),
        (
            "ad-psgd",
            {"gossip.topology": "static-exponential"},
            ["gossip.algorithm = 'ad-psgd'", "'static-exponential'", "whose edges go one way", "sgp"],
        ),
        ("ad-psgd", {"gossip.topology": "base-k"}, ["'ad-psgd'", "'base-k'", "changes from round to round", "dpsgd"]),
        ("ad-psgd", {"gossip.topology": "epidemic-oracle"}, ["'ad-psgd'", "'epidemic-oracle'", "changes"]),
        ("ad-psgd", {"gossip.compression": "int8"}, ["gossip.compression = 'int8'", "'ad-psgd'", "choco"]),
        ("all-reduce", {"gossip.topology": "ring"}, ["'all-reduce'", "'ring'", "all others", "expected 'complete'"]),
        ("all-reduce", {"gossip.topology": "base-k"}, ["'all-reduce'", "'base-k'", "changes from round to round"]),
        ("all-reduce", {"gossip.compression": "int8"}, ["gossip.compression = 'int8'", "'all-reduce'", "choco"]),
        ("all-reduce", {"gossip.mixing": "metropolis-hastings"}, ["'all-reduce'", "expected uniform"]),
        (
            "all-reduce",
            {"model.name": "sklearn.naive_bayes.GaussianNB"},
            ["gossip.algorithm = 'all-reduce'", "GaussianNB", "expected"],
        ),
        ("gossip-learning", {"gossip.mixing": "uniform"}, ["gossip.mixing = 'uniform'", "'gossip-learning'"]),
        (
            "gossip-learning",
            {"model.name": "sklearn.neural_network.MLPClassifier", "model.learning_rate": "adaptive"},
            ["model.learning_rate = 'adaptive'", "constant or invscaling"],
        ),
        (
            "gradient-tracking",
            {"model.name": "sklearn.linear_model.LogisticRegression"},
            ["gossip.algorithm = 'gradient-tracking'", "LogisticRegression", "models that can: mlp"],
        ),
    ],
)
def test_what_theory_excludes_is_refused_by_name(
    algorithm: str, overrides: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(ExperimentError) as caught:
        gossip(algorithm, **overrides)
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("algorithm", "overrides"),
    [
        ("dpsgd", {"gossip.topology": "one-peer-exponential"}),
        ("dpsgd", {"gossip.topology": "static-exponential"}),
        ("dpsgd", {"gossip.topology": "base-k"}),
        ("dpsgd", {"gossip.mixing": "uniform"}),
        ("epidemic", {"gossip.topology": "epidemic-local"}),
        ("epidemic", {"gossip.topology": "ring"}),
        ("sgp", {"gossip.topology": "epidemic-local", "gossip.mixing": "push-sum"}),
        ("choco", {"gossip.compression": "top-k:0.01+int8", "gossip.gamma": 0.1}),
        ("choco", {"gossip.compression": "delta+int4"}),
        ("gradient-tracking", {**PLAIN, "gossip.topology": "torus", "gossip.exchange_step": 0.5}),
        ("d2", {**ONE_STEP, "gossip.topology": "complete", "gossip.lazy": False}),
        ("ad-psgd", {"gossip.topology": "star"}),
        ("gossip-learning", {"gossip.topology": "static-exponential"}),
        ("gossip-learning", {"gossip.topology": "base-k"}),
        ("clipped-gossip", {"gossip.byzantine": 1}),
        ("self-centered-clipping", {"gossip.radius": 0.5}),
        ("trimmed-mean", {"gossip.topology": "complete", "gossip.byzantine": 3}),
        ("all-reduce", {"gossip.topology": "complete"}),
    ],
)
def test_what_theory_allows_goes_through_the_file_and_back(algorithm: str, overrides: dict[str, object]) -> None:
    experiment = gossip(algorithm, **overrides)
    again = Experiment.from_dict(experiment.resolved().to_dict())
    assert again.gossip.arguments == experiment.gossip.arguments
    assert again.gossip.algorithm == algorithm
    assert again.gossip.compression == overrides.get("gossip.compression", "")


def test_compression_is_that_of_the_mode_s_own_table() -> None:
    one = load_experiment(overrides={"mode": "gossip", "gossip.algorithm": "choco", "compression": "int8"})
    assert (one.gossip.compression, one.federated.compression) == ("int8", "")
    assert load_experiment(overrides={"compression": "delta+int8"}).federated.compression == "delta+int8"


def test_peers_that_average_over_all_reach_all_unless_another_graph_is_asked_for() -> None:
    assert gossip("all-reduce").gossip.topology == "complete"
    assert gossip("dpsgd").gossip.topology == "ring"

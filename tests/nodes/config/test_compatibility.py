"""What must be the same at every node, and what need not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from nervenet.broker import messages as m
from nervenet.broker.directory import Directory
from nervenet.models import MLP, SiteModel
from nervenet.models.sklearn.adapters import Adapter
from nervenet.models.sklearn.logistic import LogisticAdapter
from nervenet.nodes.config.compatibility import shared_config_of
from nervenet.nodes.config.factory import build_model, task_settings
from nervenet.nodes.config.schema import Experiment
from sklearn.base import BaseEstimator


def shared(**keys: Any) -> dict[str, Any]:
    experiment = Experiment.from_dict(keys)
    return shared_config_of(experiment, SiteModel(build_model(experiment)))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"nodes": 4}, "nodes"),
        ({"seed": 5}, "seed"),
        ({"mode": "gossip"}, "mode"),
        ({"data": {"scale": "none"}}, "data.scale"),
        ({"model": {"hidden": [7]}}, "model.hidden"),
        ({"model": {"activation": "tanh"}}, "model.activation"),
        ({"model": {"dtype": "float64"}}, "model.dtype"),
        ({"model": {"name": "sklearn.linear_model.SGDClassifier"}}, "model.name"),
        ({"training": {"optimizer": "adam"}}, "training.optimizer"),
        ({"training": {"momentum": 0.5}}, "training.momentum"),
        ({"training": {"l2": 0.5}}, "training.l2"),
        ({"data": {"task": "regression"}}, "data.task"),
    ],
)
def test_a_node_that_differs_here_could_not_take_part(keys: dict[str, Any], named: str) -> None:
    assert shared(**keys).get(named) != shared().get(named)


SGD = {"name": "sklearn.linear_model.SGDClassifier", "random_state": 1}
LOGISTIC = {"name": "sklearn.linear_model.LogisticRegression"}


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [
        (SGD, "loss", "log_loss"),
        (SGD, "penalty", "l1"),
        (SGD, "alpha", 0.1),
        (SGD, "eta0", 0.5),
        (SGD, "fit_intercept", False),
        (LOGISTIC, "C", 10.0),
        (LOGISTIC, "solver", "newton-cg"),
    ],
)
def test_an_update_of_another_meaning_is_refused_by_name(model: dict[str, Any], key: str, value: Any) -> None:
    assert refused(shared(model=model), shared(model={**model, key: value})) == f"model.{key}"


def test_by_the_name_of_the_model_alone_it_would_be_taken() -> None:
    named = [{key: shared(model=model)[key] for key in ("mode", "nodes", "model.name")} for model in (SGD, OTHER)]
    assert refused(*named) is None
    assert refused(shared(model=SGD), shared(model=OTHER)) == "model.loss"


OTHER = SGD | {"loss": "log_loss"}


def refused(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """The key by which a broker refuses a node that brings `theirs` to a run that was opened with `ours`."""
    directory = Directory("tcp://in", "tcp://out", lease_s=5.0)
    outcomes = []
    for number, (name, brought) in enumerate([("a", ours), ("b", theirs)]):
        role = "peer" if ours.get("mode") == "gossip" else "client"
        join = m.Join(number, "run", name, role, 1, 1, {}, brought, 2, 5.0)
        outcomes = directory.handle(name.encode(), join, 0.0)
    reply = outcomes[0].message
    return reply.reason.split(" brings: ")[1].split("=")[0] if isinstance(reply, m.Failed) else None


def test_what_no_weight_depends_on_may_differ() -> None:
    for key, value in (("random_state", 7), ("n_jobs", 2), ("verbose", 1), ("warm_start", True)):
        assert refused(shared(model=SGD), shared(model={**SGD, key: value})) is None, key


class Older(BaseEstimator):
    """What LogisticRegression takes in another release: a parameter more, and defaults spelled otherwise."""

    def __init__(self, penalty: str = "l2", C: float = 1.0, l1_ratio: float | None = None, multi_class: str = "auto"):
        self.penalty, self.C, self.l1_ratio, self.multi_class = penalty, C, l1_ratio, multi_class


def older(**parameters: Any) -> dict[str, Any]:
    model = LogisticAdapter(Older(**parameters), LOGISTIC["name"])
    return shared_config_of(Experiment.from_dict({"model": LOGISTIC}), SimpleNamespace(model=model))  # type: ignore[arg-type]


def check_sites_of_two_releases_of_scikit_learn_meet() -> None:
    assert refused(shared(model=LOGISTIC), older()) is None
    assert refused(shared(model=LOGISTIC | {"C": 3.0}), older(C=3.0)) is None


def test_sites_of_two_releases_of_scikit_learn_meet() -> None:
    check_sites_of_two_releases_of_scikit_learn_meet()
    assert refused(shared(model=LOGISTIC), older(C=3.0)) == "model.C"


def test_by_all_parameters_they_would_refuse_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter, "chosen_parameters", lambda self: self.describe()["parameters"])
    with pytest.raises(AssertionError):
        check_sites_of_two_releases_of_scikit_learn_meet()


def test_what_training_by_rounds_leaves_unused_may_differ() -> None:
    network = {"name": "sklearn.neural_network.MLPClassifier"}
    for model, key, value in ((SGD, "tol", 0.5), (SGD, "n_iter_no_change", 9), (network, "batch_size", 7)):
        assert refused(shared(model=model), shared(model={**model, key: value})) is None, key
    assert refused(shared(model=LOGISTIC), shared(model={**LOGISTIC, "tol": 0.5})) == "model.tol"


@pytest.mark.parametrize(
    "keys",
    [
        {"training": {"epochs": 9}},
        {"training": {"learning_rate": 0.5}},
        {"data": {"name": "wine"}},
        {"rounds": 3},
        {"federated": {"quorum": 0.5}},
    ],
)
def test_how_a_node_trains_is_its_own_affair(keys: dict[str, Any]) -> None:
    assert shared(**keys) == shared()


@pytest.mark.parametrize(
    ("gossip", "named"),
    [({"topology": "star"}, "gossip.topology"), ({"topology": "random-regular", "degree": 4}, "gossip.degree")],
)
def test_peers_agree_on_their_graph(gossip: dict[str, Any], named: str) -> None:
    assert shared(mode="gossip", gossip=gossip).get(named) != shared(mode="gossip").get(named)


def test_peers_agree_on_what_is_in_their_file_of_edges(tmp_path: Path) -> None:
    digests = []
    for folder, text in (("a", "0 1\n"), ("b", "0 1\n"), ("c", "0 1 # other\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "graph").write_text(text)
        gossip = {"topology": "edges", "edges": str(tmp_path / folder / "graph")}
        digests.append(shared(mode="gossip", nodes=2, gossip=gossip)["gossip.edges"])
    assert digests[0] == digests[1] != digests[2], "what is compared is its text, not where it lies"


def test_what_nodes_share_and_what_tasks_say_survives_msgpack() -> None:
    for sent in (shared(mode="gossip"), task_settings(Experiment(), MLP())):
        assert msgpack.unpackb(msgpack.packb(sent)) == sent


def test_a_model_given_as_an_object_is_described_like_one_that_is_named() -> None:
    experiment = Experiment.from_dict({"model": {"hidden": [8]}})
    assert shared_config_of(experiment, SiteModel(MLP((8,)))) == shared_config_of(
        experiment, SiteModel(build_model(experiment))
    )


def test_peers_bring_the_same_class_weights_and_clients_are_told() -> None:
    balanced = {"training": {"class_weight": "balanced"}}
    by_label = {"training": {"class_weight": {"b": 2.0, "a": 3.0}}}
    for one, other in ((balanced, {}), (balanced, by_label)):
        assert refused(shared(mode="gossip", **one), shared(mode="gossip", **other)) == "training.class_weight"
        assert refused(shared(**one), shared(**other)) is None
    turned = {"training": {"class_weight": {"a": 3.0, "b": 2.0}}}
    assert refused(shared(mode="gossip", **by_label), shared(mode="gossip", **turned)) is None
    assert "training.class_weight" not in shared(mode="gossip")

"""What must be the same at every node, and what need not."""

from pathlib import Path
from typing import Any

import msgpack
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.models.model import LocalWork
from nervenet.nodes.config.compatibility import shared_config_of
from nervenet.nodes.config.factory import build_model, task_settings
from nervenet.nodes.config.schema import Experiment


def terms(**keys: Any) -> dict[str, Any]:
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
    ],
)
def test_a_node_that_differs_here_could_not_take_part(keys: dict[str, Any], named: str) -> None:
    assert terms(**keys).get(named) != terms().get(named)


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
    assert terms(**keys) == terms()


@pytest.mark.parametrize(
    ("gossip", "named"),
    [({"topology": "star"}, "gossip.topology"), ({"topology": "random-regular", "degree": 4}, "gossip.degree")],
)
def test_peers_agree_on_their_graph(gossip: dict[str, Any], named: str) -> None:
    assert terms(mode="gossip", gossip=gossip).get(named) != terms(mode="gossip").get(named)


def test_peers_agree_on_what_is_in_their_file_of_edges(tmp_path: Path) -> None:
    said = []
    for folder, text in (("a", "0 1\n"), ("b", "0 1\n"), ("c", "0 1 # other\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "graph").write_text(text)
        gossip = {"topology": "edges", "edges": str(tmp_path / folder / "graph")}
        said.append(terms(mode="gossip", nodes=2, gossip=gossip)["gossip.edges"])
    assert said[0] == said[1] != said[2], "what is compared is its text, not where it lies"


def test_terms_and_settings_travel() -> None:
    for said in (terms(mode="gossip"), task_settings(Experiment())):
        assert msgpack.unpackb(msgpack.packb(said)) == said


def test_settings_are_what_a_round_of_work_takes() -> None:
    experiment = Experiment.from_dict({"training": {"epochs": 3, "batch_size": 4}})
    assert LocalWork(**task_settings(experiment)) == LocalWork(epochs=3, batch_size=4, carry_optimizer=False)
    assert LocalWork(**task_settings(Experiment.from_dict({"mode": "gossip"}))).carry_optimizer


def test_a_model_given_as_an_object_is_described_like_one_that_is_named() -> None:
    experiment = Experiment.from_dict({"model": {"hidden": [8]}})
    assert shared_config_of(experiment, SiteModel(MLP((8,)))) == shared_config_of(
        experiment, SiteModel(build_model(experiment))
    )

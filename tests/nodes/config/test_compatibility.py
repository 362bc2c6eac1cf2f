"""What must be the same at every node, and what need not."""

from pathlib import Path
from typing import Any

import msgpack
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.nodes.config.compatibility import shared_config_of
from nervenet.nodes.config.factory import build_model, task_settings
from nervenet.nodes.config.schema import Experiment


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
    ],
)
def test_a_node_that_differs_here_could_not_take_part(keys: dict[str, Any], named: str) -> None:
    assert shared(**keys).get(named) != shared().get(named)


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
    for sent in (shared(mode="gossip"), task_settings(Experiment())):
        assert msgpack.unpackb(msgpack.packb(sent)) == sent


def test_a_model_given_as_an_object_is_described_like_one_that_is_named() -> None:
    experiment = Experiment.from_dict({"model": {"hidden": [8]}})
    assert shared_config_of(experiment, SiteModel(MLP((8,)))) == shared_config_of(
        experiment, SiteModel(build_model(experiment))
    )

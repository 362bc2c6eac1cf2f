"""Settings that do not go together are named, with what is allowed."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from nervenet.nodes.config.factory import build_schedule, default_node_names
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import DataConfig, Experiment, GossipConfig
from nervenet.nodes.experiment import validation
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.experiment.validation import check_class_weight
from nervenet.nodes.runtime.identity import inbox_address
from nervenet.nodes.topology import TOPOLOGIES


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"nodes": 0}, "nodes = 0: expected a whole number >= 1"),
        ({"nodes": "eight"}, "nodes = 'eight': expected a whole number"),
        ({"rounds": 0}, "rounds = 0: expected a whole number >= 1"),
        ({"federated.quorum": 1.5}, "federated.quorum = 1.5: expected a number <= 1"),
        ({"federated.participation": 0}, "federated.participation = 0: expected a number > 0"),
        ({"data.alpha": -1}, "data.alpha = -1: expected a number > 0"),
        ({"model.hidden": [0]}, "model.hidden = [0]: expected a whole number >= 1"),
        ({"model.hidden": 0}, "model.hidden = [0]: expected a whole number >= 1"),
        ({"model.name": "mpl"}, "model.name = 'mpl': expected mlp, pegasos, an import path"),
        ({"mode": "telepathy"}, "mode = 'telepathy': expected one of federated, gossip"),
        (
            {"gossip.topology": "rinq"},
            "epidemic-oracle, epidemic-local, edges (did you mean ring?)",
        ),
        ({"no.such": 1}, "no: there is no such key; the top level has mode, nodes"),
        (
            {"training.class_weight": "balancd"},
            "training.class_weight = 'balancd': expected one of balanced, or a table (--set training.class_weight.NAME",
        ),
        ({"training.class_weight": {"poor": 0}}, "training.class_weight.poor = 0: expected a number > 0"),
        ({"training.class_weight": {"a": 1, "b": "x"}}, "training.class_weight.b = 'x': expected a number"),
        (
            {"training.class_weight": "balanced", "data.task": "regression"},
            "training.class_weight: is for classification, and the t",
        ),
        (
            {"training.class_weight": {"a": 2}, "model.name": "sklearn.linear_model.SGDRegressor"},
            "training.class_weight: is for classification, and sklearn.linear_model.SGDRegressor is a regressor",
        ),
        (
            {"training.class_weight": "balanced", "model.name": "pegasos"},
            "training.class_weight: pegasos takes no sample_weight, and so no class weights; models that do: mlp, SGD",
        ),
        (
            {"data.weight": "w", "data.name": "a.csv", "model.name": "pegasos"},
            "data.weight: pegasos takes no sample_weight, and so no weights of rows; models that do: mlp",
        ),
        ({"data.columns": ["a"]}, "data.columns = ['a']: expected a table for each name, as in [data.columns.NAME]"),
        ({"data.partition": "column", "data.name": "a.csv"}, "data.partition = 'column': needs data.column"),
        ({"epochs": 3}, "epochs: there is no such key; did you mean training.epochs?"),
        ({"training.epoch": 3}, "training.epoch: there is no such key; did you mean training.epochs?"),
        ({"data.alhpa": 3}, "data.alhpa: there is no such key; did you mean data.alpha?"),
        ({"model.learning_rate": 3}, "model.learning_rate: there is no such key; did you mean training.learning_rate?"),
        ({"data": "iris"}, "data = 'iris': expected a table with the keys name, sites"),
        ({"nodes": 3, "nodes.more": 1}, "nodes.more: nodes is a single value, not a table"),
        ({"training.epochs": 1, "training.local_steps": 1}, "training.local_steps: excludes training.epochs"),
        ({"mode": "gossip", "gossip.min_peers": 9}, "gossip.min_peers = 9: expected at most nodes = 8"),
        (
            {"mode": "gossip", "gossip.min_peers": 2, "gossip.algorithm": "ad-psgd"},
            "gossip.min_peers = 2: is for rounds, and ad-psgd has none",
        ),
        ({"processes": 9}, "processes = 9: expected at most one a node, and nodes = 8"),
        ({"federated.min_clients": 9}, "federated.min_clients = 9: expected at most nodes = 8"),
        ({"federated.min_clients": 5, "federated.participation": 0.5}, "at most the 4 that federated.participation"),
        ({"mode": "gossip", "gossip.topology": "torus", "nodes": 7}, "nodes = 7: a torus is a rectangle"),
        (
            {"mode": "gossip", "gossip.topology": "random-regular", "gossip.degree": 3, "nodes": 5},
            "gossip.degree = 3: degree x nodes must be even, and nodes = 5",
        ),
        (
            {"mode": "gossip", "gossip.topology": "random-regular", "gossip.degree": 8},
            "gossip.degree = 8: expected fewer neighbors than nodes = 8",
        ),
        (
            {"mode": "gossip", "gossip.degree": 4},
            "= 4: is for topology = 'random-regular', 'small-world', ",
        ),
        ({"mode": "gossip", "gossip.probability": 0.5}, "is for topology = 'erdos-renyi', 'small-world', not 'ring'"),
        ({"mode": "gossip", "gossip.probability": 1.5}, "gossip.probability = 1.5: expected a number <= 1"),
        ({"mode": "gossip", "gossip.edges": "x"}, "is for topology = 'edges', not 'ring'"),
        ({"mode": "gossip", "gossip.topology": "edges"}, "gossip.edges = None: topology = 'edges' needs the path"),
        (
            {"mode": "gossip", "gossip.topology": "edges", "gossip.edges": "none.csv"},
            "none.csv': cannot be read",
        ),
        ({"mode": "gossip", "gossip.topology": "hypercube", "nodes": 12}, "nodes = 12: a hypercube has a power of two"),
        (
            {"mode": "gossip", "gossip.topology": "base-k", "gossip.degree": 8},
            "expected fewer neighbors than nodes = 8",
        ),
        (
            {"mode": "gossip", "gossip.topology": "small-world", "gossip.degree": 3},
            "gossip.degree = 3: a small world joins as many neighbors on either side; expected an even number",
        ),
        (
            {"mode": "gossip", "gossip.topology": "erdos-renyi", "gossip.probability": 0.01},
            "gossip.probability = 0.01: no connected erdos-renyi graph over 8 nodes",
        ),
        (
            {"mode": "gossip", "gossip.topology": "epidemic-oracle", "gossip.degree": 3, "nodes": 5},
            "gossip.degree = 3: degree x nodes must be even, and nodes = 5; expected for example 2 or 4",
        ),
        ({"network.bind": "0.0.0.0"}, "network.bind = '0.0.0.0': a wildcard tells nobody where to dial"),
        ({"network.bind": "*", "network.advertise": "*"}, "network.advertise = '*'"),
        ({"network.suspect_after_s": 0.6}, "network.suspect_after_s = 0.6: expected at least two heartbeats"),
        ({"network.transport": "ipc", "network.bind": "/tmp/" + 70 * "x"}, "an ipc folder of 75 bytes"),
        ({"network.transport": "ipc", "network.bind": "a/b"}, "network.bind = 'a/b': expected the whole path"),
        ({"network.transport": "inproc"}, "reaches nodes of one process only"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate = nan: expected a finite number"),
        ({"training.l2": float("inf")}, "training.l2 = inf: expected a finite number"),
        ({"federated.compression": "int8"}, "federated.compression = 'int8': codec 'int8': int8 is for differences"),
        ({"federated.compression": "delta+int9"}, "do you mean 'int8'? Allowed, in this order: delta, top-k:SHARE"),
        ({"federated.ditto": 0.1, "federated.fine_tune": 1}, "federated.ditto and federated.fine_tune"),
        ({"federated.ditto": 0.1, "federated.personal": ["bias.1"]}, "federated.personal and federated.ditto"),
        (
            {"federated.strategy": "scaffold", "training.optimizer": "adam"},
            "federated.strategy = 'scaffold': mlp: ",
        ),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        load_experiment(overrides=overrides)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("nodes", "overrides"),
    [
        (1, {"gossip.topology": "ring"}),
        (2, {"gossip.topology": "ring"}),
        (4, {"gossip.topology": "torus"}),
        (3, {"gossip.topology": "random-regular"}),
        (2, {"gossip.topology": "random-regular"}),
        (1, {"gossip.topology": "erdos-renyi"}),
        (2, {"gossip.topology": "small-world"}),
        (5, {"gossip.topology": "one-peer-exponential"}),
        (5, {"gossip.topology": "base-k"}),
        (3, {"gossip.topology": "epidemic-local", "gossip.algorithm": "epidemic"}),
    ],
)
def test_small_graphs_are_fine(nodes: int, overrides: dict[str, object]) -> None:
    experiment = load_experiment(overrides={"mode": "gossip", "nodes": nodes, **overrides})
    assert experiment.degree is None or experiment.degree <= nodes - 1
    again = Experiment.from_dict(experiment.resolved().to_dict())
    assert (again.degree, again.probability) == (experiment.degree, experiment.probability)
    made = build_schedule(experiment, default_node_names(nodes, "peer"))
    assert made.out(1) == build_schedule(again, default_node_names(nodes, "peer")).out(1)


@pytest.mark.parametrize("mode", ["federated", "gossip"])
def test_an_unknown_topology_is_refused_in_either_mode(mode: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        load_experiment(overrides={"mode": mode, "gossip.topology": "tours"})
    words = f"gossip.topology = 'tours': expected one of {', '.join(TOPOLOGIES)} (did you mean torus?)"
    assert words in str(caught.value)


def test_a_file_of_edges_that_falls_apart_is_refused_with_its_parts(tmp_path: Path) -> None:
    (tmp_path / "graph.csv").write_text("0 1\n2 3\n")
    given = {"mode": "gossip", "nodes": 4, "gossip.topology": "edges", "gossip.edges": str(tmp_path / "graph.csv")}
    with pytest.raises(ExperimentError, match="2 components: peer-0, peer-1; peer-2, peer-3; join"):
        load_experiment(overrides=given)


def test_class_weights_are_for_labels_that_there_are() -> None:
    experiment = load_experiment(overrides={"training.class_weight": {"poor": 3}})
    check_class_weight(load_experiment(), None)
    check_class_weight(experiment, ("good", "poor"))
    check_class_weight(load_experiment(overrides={"training.class_weight": {"1": 3}}), (0, 1))
    with pytest.raises(ExperimentError, match=r"class_weight\.poor: there is no such class; the target has 0, 1"):
        check_class_weight(experiment, (0, 1))
    with pytest.raises(ExperimentError, match="is for classification"):
        check_class_weight(experiment, None)


IPC = {"network.transport": "ipc"}


def test_where_no_folder_for_sockets_is_named_that_for_temporary_files_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_experiment(overrides=IPC).network.transport == "ipc"
    monkeypatch.setattr(tempfile, "tempdir", "/" + 89 * "x")
    with pytest.raises(ExperimentError, match=r"network.bind = '127.0.0.1': .* TMPDIR has 90 bytes; expected a folder"):
        load_experiment(overrides=IPC)
    assert load_experiment(overrides=IPC | {"network.bind": "/tmp"}).network.bind == "/tmp"
    assert load_experiment().network.transport == "tcp", "which needs none"


def test_unless_it_is_measured_a_long_one_is_met_by_the_first_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + 89 * "x")
    monkeypatch.setattr(validation, "IPC_FOLDER_BYTES", 1000)
    socket = inbox_address(load_experiment(overrides=IPC).network).removeprefix("ipc://")
    assert len(socket) > zmq.IPC_PATH_MAX_LEN


NO_UTF8 = {"data.name": "rows-\udcff.csv"}


@pytest.mark.parametrize("key", ["data.name", "data.sites", "gossip.edges"])
def test_a_name_that_no_file_can_hold_is_refused_at_once(key: str) -> None:
    name = "rows-\udcff.csv"
    value = [name, "other.csv"] if key == "data.sites" else name
    with pytest.raises(ExperimentError, match=rf"^{key}: \S*rows-\\udcff.csv: the name is no UTF-8, and cannot be"):
        load_experiment(overrides={key: value})


def test_else_it_would_be_met_when_the_experiment_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "ALWAYS", tuple(each for each in validation.ALWAYS if each != validation._text))
    text = load_experiment(overrides=NO_UTF8).to_toml()
    with pytest.raises(UnicodeEncodeError):
        text.encode()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": "iris"}, "data = 'iris': expected a DataConfig; Experiment.from_dict takes plain tables"),
        ({"training": {"epochs": 2}}, "training = {'epochs': 2}: expected a TrainingConfig"),
        ({"rounds": "ten"}, "rounds = 'ten': expected a whole number"),
        ({"nodes": -1}, "nodes = -1: expected a whole number >= 1"),
        ({"mode": "fed"}, "mode = 'fed': expected one of federated, gossip"),
        ({"data": DataConfig(test_size="some")}, "data.test_size = 'some': expected a number"),
        ({"gossip": GossipConfig(topology=4)}, "gossip.topology = 4: expected a text in quotes"),
    ],
)
def test_what_a_program_gives_the_dataclasses_is_checked_too(fields, words):
    with pytest.raises(ExperimentError) as caught:
        validation.validate(Experiment(**fields))
    assert str(caught.value).startswith(words)


def test_without_a_look_at_the_types_a_text_would_be_a_number_of_rounds(monkeypatch):
    monkeypatch.setattr(validation, "check_types", lambda _: None)
    validation.validate(Experiment(rounds="ten"))


def test_arguments_of_a_model_may_be_what_no_file_can_hold():
    given = Experiment.from_dict({"model": {"name": "sklearn.linear_model.SGDClassifier", "alpha": 0.1}})
    validation.validate(replace(given, model=replace(given.model, parameters={"alpha": float("inf")})))

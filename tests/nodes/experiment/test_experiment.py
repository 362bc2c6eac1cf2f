"""The experiment file: defaults, overrides, round trips, and errors that name the key and what is allowed."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.config.factory import build_schedule, default_node_names
from nervenet.nodes.config.keys import ExperimentError, override, parse_set
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.experiment.validation import check_members
from nervenet.nodes.topology import TOPOLOGIES

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


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in PROPERTIES.items()}))
def test_an_experiment_survives_maps_and_toml(overrides: dict[str, object]) -> None:
    import tomllib

    experiment = Experiment.from_dict(override({}, overrides))
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    again = Experiment.from_dict(tomllib.loads(experiment.to_toml()))
    assert again == experiment.resolved()
    assert again.to_toml() == experiment.to_toml()


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
        ({"model.name": "mpl"}, "model.name = 'mpl': expected mlp, pegasos, or an import path"),
        ({"mode": "telepathy"}, "mode = 'telepathy': expected one of federated, gossip"),
        (
            {"gossip.topology": "rinq"},
            "epidemic-oracle, epidemic-local, edges (did you mean ring?)",
        ),
        ({"no.such": 1}, "no: there is no such key; the top level has mode, nodes"),
        ({"epochs": 3}, "epochs: there is no such key; did you mean training.epochs?"),
        ({"training.epoch": 3}, "training.epoch: there is no such key; did you mean training.epochs?"),
        ({"data.alhpa": 3}, "data.alhpa: there is no such key; did you mean data.alpha?"),
        ({"model.learning_rate": 3}, "model.learning_rate: there is no such key; did you mean training.learning_rate?"),
        ({"data": "iris"}, "data = 'iris': expected a table with the keys name, target"),
        ({"nodes": 3, "nodes.more": 1}, "nodes.more: nodes is a single value, not a table"),
        ({"training.epochs": 1, "training.local_steps": 1}, "training.local_steps: excludes training.epochs"),
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
        ({"network.transport": "inproc"}, "reaches nodes of one process only"),
        ({"training.learning_rate": float("nan")}, "training.learning_rate = nan: expected a finite number"),
        ({"training.l2": float("inf")}, "training.l2 = inf: expected a finite number"),
        ({"federated.compression": "int8"}, "federated.compression = 'int8': codec 'int8': int8 is for differences"),
        ({"federated.compression": "delta+int9"}, "do you mean 'int8'? Allowed, in this order: delta, top-k:SHARE"),
        ({"federated.ditto": 0.1, "federated.fine_tune": 1}, "federated.ditto and federated.fine_tune"),
        ({"federated.ditto": 0.1, "federated.personal": ["bias.1"]}, "federated.personal and federated.ditto"),
        (
            {"federated.strategy": "scaffold", "training.optimizer": "adam"},
            "model.name = 'mlp': ",
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


@pytest.mark.parametrize("edges", ["0 1\n1 2\n2 0\n", "peer-0,peer-1\npeer-1,2\n", "ada bea\nbea cleo\n"])
def test_a_file_of_edges_is_found_beside_the_experiment(tmp_path: Path, edges: str) -> None:
    (tmp_path / "graph.csv").write_text(edges)
    file = tmp_path / "one.toml"
    file.write_text('mode = "gossip"\nnodes = 3\n[gossip]\ntopology = "edges"\nedges = "graph.csv"\n')
    experiment = load_experiment(file)
    assert experiment.gossip.edges == str(tmp_path / "graph.csv")
    if "ada" in edges:
        assert build_schedule(experiment, ["cleo", "bea", "ada"]).out(1)["bea"] == ("ada", "cleo")
        with pytest.raises(
            ExperimentError, match=r"gossip.edges = .*: there is no member 'ada'; expected one of peer-0"
        ):
            check_members(experiment, default_node_names(3, "peer"))
    else:
        check_members(experiment, default_node_names(3, "peer"))


def test_a_file_of_edges_that_falls_apart_is_refused_with_its_parts(tmp_path: Path) -> None:
    (tmp_path / "graph.csv").write_text("0 1\n2 3\n")
    given = {"mode": "gossip", "nodes": 4, "gossip.topology": "edges", "gossip.edges": str(tmp_path / "graph.csv")}
    with pytest.raises(ExperimentError, match="2 components: peer-0, peer-1; peer-2, peer-3; join"):
        load_experiment(overrides=given)


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


def test_flags_win_over_the_file_and_the_deadline_goes_to_the_mode(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text('mode = "gossip"\nrounds = 7\n[data]\npath = "rows.csv"\n[model]\nhidden = 5\n')
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    experiment = load_experiment(file, {"rounds": 9, "deadline_s": 4})
    assert (experiment.rounds, experiment.model.hidden) == (9, (5,))
    assert (experiment.gossip.deadline_s, experiment.federated.deadline_s) == (4.0, 30.0)
    assert experiment.data.name == str(tmp_path / "rows.csv")
    assert experiment.data.label == "rows"
    assert load_experiment(file, {"data.name": "wine"}).data.name == "wine"


def test_a_run_folder_with_other_nodes_keeps_what_was_chosen_and_nothing_that_followed(tmp_path: Path) -> None:
    plan = {"nodes": 20, "gossip": {"topology": "erdos-renyi"}, "federated": {"participation": 0.5}}
    (tmp_path / "experiment.toml").write_text(Experiment.from_dict(plan).to_toml())
    again = load_experiment(tmp_path, {"nodes": 3, "mode": "gossip"})
    fresh = Experiment.from_dict({**plan, "nodes": 3, "mode": "gossip"})
    assert again.resolved() == fresh.resolved()
    assert (again.process_count, again.min_nodes) == (3, 3)
    assert load_experiment(tmp_path).resolved() == Experiment.from_dict(plan).resolved()

    chosen = {"nodes": 20, "processes": 2, "network": {"min_nodes": 15}, "federated": {"min_clients": 7}}
    (tmp_path / "experiment.toml").write_text(Experiment.from_dict(chosen).to_toml())
    again = load_experiment(tmp_path, {"nodes": 18})
    assert (again.process_count, again.min_nodes, again.min_clients) == (2, 15, 7)


def test_a_run_folder_can_be_launched_again(tmp_path: Path) -> None:
    first = load_experiment(overrides={"data.name": "iris", "nodes": 4})
    (tmp_path / "experiment.toml").write_text(first.to_toml())
    assert load_experiment(tmp_path) == first.resolved()
    (tmp_path / "experiment.toml").write_text(load_experiment(overrides={"mode": "gossip"}).to_toml())
    assert warnings(load_experiment(tmp_path)) == []


def test_an_estimator_keeps_its_own_arguments() -> None:
    experiment = load_experiment(
        overrides={"model.name": "sklearn.linear_model.SGDClassifier", "model.alpha": 0.1, "model.eta0": 0.5}
    )
    assert experiment.model.parameters == {"alpha": 0.1, "eta0": 0.5}
    assert experiment.to_dict()["model"]["alpha"] == 0.1
    assert Experiment.from_dict(experiment.to_dict()) == experiment


def test_settings_without_effect_are_remarked_only_when_changed() -> None:
    assert warnings(load_experiment()) == []
    assert warnings(load_experiment(overrides={"gossip.topology": "star"})) == [
        "gossip.topology has no effect in federated mode"
    ]
    assert "data.alpha has no effect" in warnings(load_experiment(overrides={"data.alpha": 0.3}))[0]
    given = {"model.name": "sklearn.linear_model.SGDClassifier", "training.learning_rate": 0.1}
    assert "training.learning_rate has no effect" in warnings(load_experiment(overrides=given))[0]
    steering = {
        "evaluation.until": "r2=0.4",
        "evaluation.patience": 3,
        "evaluation.budget_s": 9,
        "evaluation.sites": True,
    }
    assert warnings(load_experiment(overrides=steering)) == []
    told = warnings(load_experiment(overrides={**steering, "mode": "gossip"}))
    assert sorted(told) == sorted(f"{key} has no effect in gossip mode" for key in steering)
    alone = warnings(load_experiment(overrides={"evaluation.min_delta": 0.1}))
    assert alone == ["evaluation.min_delta has no effect without evaluation.patience"]


@pytest.mark.parametrize(
    ("momentum", "nesterov", "rule"), [(0.0, True, "sgd"), (0.9, False, "momentum"), (0.9, True, "nesterov")]
)
def test_the_update_rule_follows_from_momentum(momentum: float, nesterov: bool, rule: str) -> None:
    assert (
        load_experiment(overrides={"training.momentum": momentum, "training.nesterov": nesterov}).training.rule == rule
    )


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a=0.5", ("a", 0.5)),
        ("a=[1, 2]", ("a", [1, 2])),
        ("a=true", ("a", True)),
        ("a=ring", ("a", "ring")),
        ('a="3"', ("a", "3")),
        ("a=x=y", ("a", "x=y")),
        ("a=1\nb=2", ("a", "1\nb=2")),
    ],
)
def test_set_reads_toml_values_and_plain_words(text: str, pair: tuple[str, object]) -> None:
    assert parse_set(text) == pair


@pytest.mark.parametrize("text", ["a", "=1", "a..b=1", ""])
def test_set_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="expected KEY=VALUE"):
        parse_set(text)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no such experiment file"), (b"a = = 1", "is not TOML"), (b"\xff", "cannot be read")],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "missing.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ExperimentError, match=words) as caught:
        load_experiment(file)
    assert str(file) in str(caught.value)


@pytest.mark.e2e
def test_reading_a_configuration_loads_nothing_heavy() -> None:
    code = "import sys; from nervenet.nodes import load_experiment; load_experiment(); print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"zmq", "sklearn", "networkx", "numpy", "matplotlib", "asyncio", "tomli_w"}
    assert not heavy & set(result.stdout.split())


@pytest.mark.parametrize(("name", "scaling"), [("digits", "standard"), ("mnist", "none"), ("fashion_mnist", "none")])
def test_an_open_scale_suits_the_data_and_is_written_down(name: str, scaling: str) -> None:
    experiment = Experiment.from_dict({"data": {"name": name}})
    assert experiment.data.scaling == experiment.resolved().data.scale == scaling
    assert Experiment.from_dict({"data": {"name": name, "scale": "unit"}}).data.scaling == "unit"

"""Experiments from files, run directories and flags."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nervenet.models.tables.options import ColumnOptions
from nervenet.nodes.config.factory import build_schedule, default_node_names
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import checked_experiment, experiment_from_keywords, load_experiment
from nervenet.nodes.experiment.validation import check_members, validate
from nervenet.nodes.topology import TopologyError


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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"data.preprocess = '.*prepare.json': cannot be read: No such file or directory"),
        ("{", r"data.preprocess = '.*prepare.json': is not JSON: "),
        ("[]", r"data.preprocess = '.*prepare.json': describes no pipeline; a run folder's preprocess.json does"),
        ('{"step": "sklearn.cluster.KMeans", "parameters": {}}', r"data.preprocess: KMeans has no exact merge"),
    ],
)
def test_a_file_that_describes_no_pipeline_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    (tmp_path / "one.toml").write_text('[data]\npreprocess = "prepare.json"\n')
    if content is not None:
        (tmp_path / "prepare.json").write_text(content)
    with pytest.raises(ExperimentError, match=message):
        load_experiment(tmp_path / "one.toml")


def test_a_pipe_to_which_nobody_writes_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "one.toml")
    with pytest.raises(ExperimentError, match=r"one\.toml: is a named pipe, to which nobody may ever write"):
        load_experiment(tmp_path / "one.toml")


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


def test_a_run_directory_with_other_nodes_keeps_what_was_chosen_and_nothing_that_followed(tmp_path: Path) -> None:
    tables = {"nodes": 20, "gossip": {"topology": "erdos-renyi"}, "federated": {"participation": 0.5}}
    (tmp_path / "experiment.toml").write_text(Experiment.from_dict(tables).to_toml())
    again = load_experiment(tmp_path, {"nodes": 3, "mode": "gossip"})
    fresh = Experiment.from_dict({**tables, "nodes": 3, "mode": "gossip"})
    assert again.resolved() == fresh.resolved()
    assert (again.process_count, again.min_nodes) == (3, 3)
    assert load_experiment(tmp_path).resolved() == Experiment.from_dict(tables).resolved()

    chosen = {"nodes": 20, "processes": 2, "network": {"min_nodes": 15}, "federated": {"min_clients": 7}}
    (tmp_path / "experiment.toml").write_text(Experiment.from_dict(chosen).to_toml())
    again = load_experiment(tmp_path, {"nodes": 18})
    assert (again.process_count, again.min_nodes, again.min_clients) == (2, 15, 7)


def test_a_run_directory_can_be_launched_again(tmp_path: Path) -> None:
    first = load_experiment(overrides={"data.name": "iris", "nodes": 4})
    (tmp_path / "experiment.toml").write_text(first.to_toml())
    assert load_experiment(tmp_path) == first.resolved()
    (tmp_path / "experiment.toml").write_text(load_experiment(overrides={"mode": "gossip"}).to_toml())
    assert warnings(load_experiment(tmp_path)) == []


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


@pytest.mark.parametrize("key", ["seed", "nodes", "rounds"])
def test_a_number_that_no_message_can_carry_is_refused_by_its_key(key: str) -> None:
    with pytest.raises(ExperimentError, match=f"^{key} = 9223372036854775808: expected a whole number <= "):
        load_experiment(None, {key: 2**63})


def test_keywords_become_the_same_checked_experiment() -> None:
    made = experiment_from_keywords("gossip", {"nodes": 3, "gossip.topology": None, "seed": 4}, None)
    assert (made.mode, made.nodes, made.seed, made.gossip.topology) == ("gossip", 3, 4, "ring")
    with pytest.raises(ExperimentError, match="moebius"):
        experiment_from_keywords("gossip", {"gossip.topology": "moebius"}, None)


def test_a_run_directory_whose_topology_is_not_known_any_more_is_refused_by_its_key(tmp_path: Path) -> None:
    text = Experiment.from_dict({"mode": "gossip", "gossip": {"topology": "torus"}}).to_toml()
    (tmp_path / "experiment.toml").write_text(text.replace('"torus"', '"tourus"'))
    for overrides in ({}, {"rounds": 5}):
        with pytest.raises(ExperimentError, match=r"gossip\.topology = 'tourus'"):
            load_experiment(tmp_path, overrides)
    assert load_experiment(tmp_path, {"gossip.topology": "ring"}).gossip.topology == "ring"


def test_uncaught_the_error_of_the_topology_would_lack_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.experiment.loader.TopologyError", ZeroDivisionError)
    text = Experiment.from_dict({"mode": "gossip", "gossip": {"topology": "torus"}}).to_toml()
    (tmp_path / "experiment.toml").write_text(text.replace('"torus"', '"tourus"'))
    with pytest.raises(TopologyError):
        load_experiment(tmp_path, {"rounds": 5})


def test_sites_are_as_many_nodes_and_stand_in_place_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text('nodes = 5\n[data]\nname = "iris"\n')
    found = load_experiment(tmp_path / "run.toml", {"data.sites": ["a.csv", "b.csv"]})
    assert (found.nodes, found.data.label) == (2, "sites")
    assert found.data.sites == (str(tmp_path / "a.csv"), str(tmp_path / "b.csv"))
    (tmp_path / "again.toml").write_text(found.to_toml())
    assert load_experiment(tmp_path / "again.toml") == found.resolved()
    other = load_experiment(tmp_path / "again.toml", {"data.name": "iris"})
    assert (other.nodes, other.data.sites, other.data.label) == (8, (), "iris")
    with pytest.raises(ExperimentError, match=r"data.sites: excludes data.name"):
        load_experiment(overrides={"data.sites": ["a.csv"], "data.name": "iris"})
    with pytest.raises(ExperimentError, match=r"nodes = 3: expected 2, one for each file of data.sites \(a, b\)"):
        load_experiment(overrides={"data.sites": ["a.csv", "b.csv"], "nodes": 3})


def test_what_is_said_of_columns_is_kept_by_the_run_folder(tmp_path: Path) -> None:
    said = {"kind": "date", "format": "%d/%m/%Y", "gaps": ["-"]}
    found = load_experiment(overrides={"data.name": "a.csv", "data.columns": {"on it": said}, "data.drop": ["x"]})
    assert found.data.options.of("on it") == ColumnOptions("date", "%d/%m/%Y", ("-",))
    (tmp_path / "again.toml").write_text(found.to_toml())
    assert load_experiment(tmp_path / "again.toml").data == found.resolved().data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"columns": {"a": {"kind": "text"}}}, "data.columns.a.kind = 'text': expected one of number, category, date"),
        ({"columns": {"b": {}, "a": {"knd": 1}}}, "data.columns.a.knd: there is no such key (did you mean kind?)"),
        ({"columns": {"a": 1}}, "data.columns.a = 1: expected a table with the keys kind, format, gaps"),
        ({"name": "iris", "drop": ["a"]}, "data.drop: is for files; iris brings its own columns"),
        ({"name": "a.csv", "id": "a", "weight": "a"}, "column 'a' cannot be both the id and the weight"),
    ],
)
def test_what_is_wrong_of_columns_is_named(data: dict[str, object], words: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        checked_experiment({"data": data})
    assert words in str(caught.value)


def test_a_path_may_be_text(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[site]\nunrecorded = true\n")
    (tmp_path / "one.toml").write_text("nodes = 3\n")
    found = load_experiment(str(tmp_path / "one.toml"), site=str(tmp_path / "site.toml"))
    assert found == load_experiment(tmp_path / "one.toml", site=tmp_path / "site.toml")
    assert (found.nodes, found.site.unrecorded) == (3, True)


def test_what_is_no_experiment_is_told_what_is_one() -> None:
    for given in ({"nodes": 3}, "one.toml", Path("one.toml")):
        with pytest.raises(
            TypeError, match=f"experiment is a {type(given).__name__}; expected an Experiment, as load_"
        ):
            validate(given)  # type: ignore[arg-type]

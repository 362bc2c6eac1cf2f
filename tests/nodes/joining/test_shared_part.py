"""An invitation yields what the coordinator, or the other peers, compare; a site says only what is its own."""

from __future__ import annotations

import dataclasses
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.config.compatibility import shared_config_of
from nervenet.nodes.config.factory import build_model, build_site_model
from nervenet.nodes.config.keys import ExperimentError, flat
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.joining.shared_part import (
    NEVER,
    OWN,
    OWN_OF_PEERS,
    check_part,
    shared_part,
    site_experiment,
    with_own,
)

SGD = "sklearn.linear_model.SGDClassifier"
RUNS: list[dict[str, Any]] = [
    {},
    {"nodes": 3, "rounds": 7, "seed": 5, "model.hidden": [8, 4], "training.optimizer": "adam", "training.l2": 0.1},
    {"data.name": "mnist", "data.task": "classification", "network.min_nodes": 2},
    {"data.scale": "unit", "training.class_weight": {"yes": 2.0}, "federated.site_settings": ["epochs"]},
    {"model.name": SGD, "model.loss": "log_loss", "model.alpha": 0.01, "training.epochs": 2},
    {"federated.strategy": "fedprox", "federated.mu": 0.1, "federated.compression": "delta+int8"},
    {"mode": "gossip"},
    {"mode": "gossip", "gossip.topology": "random-regular", "gossip.degree": 3, "training.class_weight": "balanced"},
    {"mode": "gossip", "gossip.algorithm": "choco", "gossip.compression": "top-k:0.1", "gossip.gamma": 0.5},
    {"mode": "gossip", "data.min_frequency": 4},
]


def compared(experiment: Experiment) -> dict[str, Any]:
    return shared_config_of(experiment, build_site_model(build_model(experiment), None, experiment))


def joined(part: dict[str, Any], file: dict[str, Any] | None = None, **own: Any) -> Experiment:
    said = {key.replace("__", "."): value for key, value in own.items()}
    return site_experiment(with_own(part, file or {}, said, "hub"))


@pytest.mark.parametrize("said", RUNS, ids=str)
def test_a_site_brings_exactly_what_is_compared(said: dict[str, Any]) -> None:
    hub = load_experiment(None, said)
    part = shared_part(hub)
    check_part(part, "client" if hub.mode == "federated" else "peer")
    site = joined(part, data__name="iris", network__keys="north")
    assert compared(site) == compared(hub)
    assert (site.rounds, site.federated, site.training) == (
        hub.rounds,
        hub.resolved().federated,
        hub.resolved().training,
    )
    assert [line for line in warnings(site) if line not in warnings(hub)] == []


LOGISTIC = "sklearn.linear_model.LogisticRegression"
ITS_OWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"data.name": "north.csv", "data.target": "died", "data.drop": ["x"], "data.id": "y", "data.weight": "w"}),
    ({}, {"data.name": "north.csv", "data.categorical": ["a"], "data.numeric": ["b"], "data.date": ["c"]}),
    ({}, {"data.min_rows": 30, "data.test_size": 0.5, "data.split_seed": 7, "data.in_memory_mb": 1.0}),
    ({}, {"evaluation.report_rows": 50, "evaluation.site_matrix": True, "evaluation.every": 3}),
    ({}, {"network.heartbeat_s": 1.0, "network.rejoin_deadline_s": 9.0, "network.bind": "127.0.0.2"}),
    (
        {"federated.site_settings": ["epochs", "learning_rate"]},
        {"training.local_steps": 3, "training.learning_rate": 1},
    ),
    ({"model.name": LOGISTIC}, {"model.n_jobs": 2, "model.verbose": 1}),
    ({"mode": "gossip"}, {"training.epochs": 2, "training.batch_size": 8, "training.carry_optimizer": False}),
    ({"mode": "gossip"}, {"gossip.deadline_s": 9.0, "gossip.min_peers": 2, "training.learning_rate": 0.2}),
]


@pytest.mark.parametrize(("said", "own"), ITS_OWN, ids=str)
def test_whatever_a_site_may_say_changes_nothing_that_is_compared(said: dict[str, Any], own: dict[str, Any]) -> None:
    hub = load_experiment(None, said)
    site = site_experiment(with_own(shared_part(hub), {}, {"data.name": "iris", **own}, "hub"))
    assert compared(site) == compared(hub)


def test_every_key_that_is_a_sites_own_is_one_of_an_experiment() -> None:
    known = set(flat(dataclasses.asdict(Experiment()))) | {"deadline_s", "model.n_jobs", "model.verbose", "data.path"}
    patterns = (*OWN, *OWN_OF_PEERS, *NEVER)
    assert [one for one in patterns if not any(fnmatchcase(key, one) for key in (*known, "data.columns.x.kind"))] == []


def test_without_a_key_of_the_invitation_the_comparison_would_fail() -> None:
    hub = load_experiment(None, RUNS[1])
    part = shared_part(hub)
    del part["model"]["hidden"]
    assert compared(joined(part, data__name="iris")) != compared(hub)


def test_nothing_of_one_machine_travels() -> None:
    said = {
        "network.bind": "127.0.0.5",
        "network.advertise": "hub",
        "data.name": "hub.csv",
        "processes": 2,
        "init": None,
    }
    part = shared_part(load_experiment(None, {**said, "network.keys": "hub"}))
    assert "network" not in part
    assert part["data"] == {"scale": "standard"}
    assert "processes" not in part


@pytest.mark.parametrize(
    ("part", "key", "found"),
    [
        ({}, "rounds", "20"),
        ({}, "training.epochs", "5"),
        ({"federated.site_settings": ["batch_size"]}, "training.epochs", "5"),
        ({}, "data.task", "nothing of it"),
        ({}, "federated.strategy", "'fedavg'"),
        ({"mode": "gossip"}, "gossip.topology", "'ring'"),
        ({"network.min_nodes": 2}, "network.min_nodes", "2"),
        ({}, "network.insecure", "nothing of it"),
    ],
)
def test_a_site_cannot_say_what_all_have_in_common(part: dict[str, Any], key: str, found: str) -> None:
    tables = shared_part(load_experiment(None, part))
    with pytest.raises(ExperimentError, match=f"{key}: is the same at every site.*{found}.*made by hub"):
        with_own(tables, {}, {key: 3}, "hub")


@pytest.mark.parametrize(("key", "said"), [("data.min_row", "did you mean data.min_rows"), ("x", "no such key")])
def test_a_key_that_there_is_not_is_no_key_of_the_run(key: str, said: str) -> None:
    with pytest.raises(ExperimentError, match=f"{key}: there is no such key.*{said}|{key}: there is {said}"):
        with_own(shared_part(load_experiment(None, {})), {}, {key: 3}, "hub")


def test_a_site_says_what_is_its_own_by_a_file_and_options_win() -> None:
    part = shared_part(load_experiment(None, {"data.target": "outcome", "federated.site_settings": ["epochs"]}))
    columns = {"visit.date": {"kind": "date", "format": "%d/%m/%Y"}}
    file = {"data": {"name": "north.csv", "target": "y", "columns": columns, "min_rows": 10}, "training": {"epochs": 2}}
    site = joined(part, file, data__target="died", evaluation__report_rows=20, network__heartbeat_s=1.0)
    assert (Path(site.data.name).name, site.data.target, site.data.min_rows) == ("north.csv", "died", 10)
    assert site.data.columns["visit.date"].kind == "date"
    assert (site.training.epochs, site.evaluation.report_rows) == (2, 20)
    assert joined(part, data__name="north.csv").data.target == "outcome"
    with pytest.raises(ExperimentError, match="rounds: is the same"):
        with_own(part, {"rounds": 3}, {}, "hub")
    for said in ({"file": {"site": {}}, "overrides": {}}, {"file": {}, "overrides": {"site.unrecorded": True}}):
        with pytest.raises(ExperimentError, match=r"site.*is said by its own file: --site FILE"):
            with_own(part, whom="hub", **said)


def test_epochs_and_steps_take_each_others_place() -> None:
    part = shared_part(load_experiment(None, {"mode": "gossip"}))
    assert joined(part, data__name="iris", training__local_steps=3).training.local_steps == 3
    part = shared_part(load_experiment(None, {"mode": "gossip", "training.local_steps": 3}))
    assert joined(part, data__name="iris", training__epochs=2).training.local_steps is None


def test_a_client_needs_nothing_of_the_coordinators_own_code() -> None:
    part = shared_part(load_experiment(None, {}))
    part["federated"] |= {"strategy": "nowhere.mine:Own", "strength": 3}
    part["data"]["preprocess"] = "nowhere.mine:pipeline"
    check_part(part, "client")
    site = joined(part, data__name="iris")
    assert (site.federated.strategy, site.data.preprocess) == ("fedavg", "auto")


def test_to_check_an_invitation_imports_nothing_that_it_names() -> None:
    part = shared_part(load_experiment(None, {}))
    part["model"] = {"name": "antigravity:Model"}
    check_part(part, "client")
    with_own(part, {}, {}, "hub")
    assert "antigravity" not in sys.modules

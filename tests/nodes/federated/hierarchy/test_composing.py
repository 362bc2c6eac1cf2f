"""What an aggregator refuses from its own experiment, and what its command line must say."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.messages import Manifest, Payload, Task
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.federated.hierarchy.composing import STRATEGIES, problems, unsuited
from nervenet.nodes.federated.strategies.registry import STRATEGIES as ALL
from nervenet.nodes.large.sizes import Sizes
from nervenet.scripts.main import execute

AT = ["node", "aggregator", "--broker", "tcp://127.0.0.1:1", "--run", "north"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_plain_experiment_goes_with_an_aggregator(strategy: str) -> None:
    assert list(problems(load_experiment(overrides={"federated.strategy": strategy}))) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        *(({"federated.strategy": name}, f"{name} needs each client's own") for name in ALL if name not in STRATEGIES),
        ({"compression": "delta+int8"}, "federated.compression: what an encoding leaves out"),
        ({"federated.personal": ["bias.1"]}, "federated.personal: its arrays stay"),
        ({"federated.ditto": 0.1}, "federated.ditto: its models stay"),
        ({"federated.fine_tune": 1}, "federated.fine_tune: its models stay"),
        ({"training.carry_optimizer": True}, "training.carry_optimizer: what is carried"),
        ({"training.class_weight": "balanced"}, "training.class_weight: does not go"),
        ({"evaluation.site_matrix": True, "evaluation.sites": True}, "evaluation.site_matrix = true"),
        ({"mode": "gossip"}, "mode = 'gossip'"),
        ({"model.name": "sklearn.naive_bayes.GaussianNB"}, "are sums or trees"),
        ({"model.name": "sklearn.ensemble.RandomForestClassifier"}, "are sums or trees"),
    ],
)
def test_what_means_do_not_go_with_is_refused(given: dict[str, Any], words: str) -> None:
    from nervenet.nodes.config.factory import build_model

    experiment = load_experiment(overrides=given)
    assert words in "\n".join(problems(experiment, build_model(experiment)))


def test_a_start_is_for_the_coordinator_at_the_top() -> None:
    experiment = dataclasses.replace(load_experiment(), init="runs/before")
    assert "give it to the coordinator at the top" in "\n".join(problems(experiment))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task(1, 0, "train", 9.0, False, {"epochs": 2, "proximal": 0.1}, payload=Payload("l", "float32", 4)), None),
        (Task(1, 0, "alone", 9.0, False, {}), "a region does no alone"),
        (Task(1, 0, "train", 9.0, False, {}, strategy="krum"), "krum needs each client's own"),
        (Task(1, 0, "train", 9.0, False, {"encoding": "int8"}), "federated.compression"),
        (
            Task(1, 0, "train", 9.0, False, {}, payload=Payload("l", "float32", 8, parts=("weights", "control"))),
            "weights, control travel",
        ),
        (
            Task(1, 0, "train", 9.0, False, {}, manifest=Manifest(Payload("l", "float32", 1 << 40), 1)),
            "larger than a message",
        ),
        (Task(1, 0, "train", 9.0, False, {}, payload=Payload("l", "float32", 1 << 40)), "larger than a message"),
    ],
)
def test_a_task_is_looked_at_for_what_means_do_not_go_with(task: Task, words: str | None) -> None:
    found = unsuited(task, None, Sizes())
    assert found is None if words is None else found is not None and words in found


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (AT, "expected --upstream, its broker"),
        ([*AT, "--upstream", "tcp://127.0.0.1:1"], "expected --upstream-run"),
        ([*AT, "--upstream", "tcp://127.0.0.1:2"], "hierarchy.regions: an aggregator must know how many"),
        (
            [*AT, "--upstream", "tcp://127.0.0.1:2", "--regions", "2", "--strategy", "krum"],
            "krum needs each client's own",
        ),
        (["node", "client", *AT[2:], "--upstream", "tcp://127.0.0.1:2"], "is for aggregators; a client has no run"),
    ],
)
def test_the_command_line_is_refused_by_name(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert execute(arguments) == 2
    assert words in capsys.readouterr().err


def test_regions_are_one_at_least() -> None:
    with pytest.raises(ExperimentError, match=r"hierarchy\.regions"):
        load_experiment(overrides={"hierarchy.regions": 0})

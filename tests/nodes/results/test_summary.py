"""The summary says what happened, for both modes, with nodes lost and models that diverged."""

import json
from typing import Any

import numpy as np
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results.run_dir import to_json
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.summary import summarize

GOSSIP = load_experiment(overrides={"mode": "gossip", "nodes": 3, "rounds": 5})
FEDERATED = load_experiment(overrides={"nodes": 2, "rounds": 5})


def summary_of(experiment: Experiment, reports: dict[str, Any], **more: Any) -> dict[str, Any]:
    return summarize(experiment, RunResult(reports, **more))


def peer(accuracy: float, rounds: int = 5, **more: Any) -> dict[str, Any]:
    return {
        "role": "peer",
        "completed_rounds": rounds,
        "metrics": {"accuracy": accuracy, "loss": 1 - accuracy, "examples": 30},
        "bytes_sent": 100,
        "bytes_sent_by_kind": {"weights": 90, "control": 10},
        "round_s": [0.1, 0.2, 0.3],
        **more,
    }


def test_gossip_reports_the_mean_the_worst_and_the_best_peer() -> None:
    results = {"peer-0": peer(0.9), "peer-1": peer(0.8), "peer-2": peer(1.0)}
    summary = summary_of(GOSSIP, results, weights=np.zeros(10), consensus_distance=0.5, wall_s=1.0, startup_s=0.5)
    assert (summary["accuracy"], summary["accuracy_min"], summary["accuracy_max"]) == (0.9, 0.8, 1.0)
    assert (summary["bytes_sent"], summary["bytes_sent_by_kind"]) == (300, {"control": 30, "weights": 270})
    assert (summary["round_s_median"], summary["consensus_distance"], summary["parameters"]) == (0.2, 0.5, 10)
    assert summary["undisturbed"]
    assert summary["status"] == "completed"


def test_a_lost_peer_is_named_and_does_not_count_among_the_survivors() -> None:
    results = {"peer-0": peer(0.9), "peer-1": peer(0.7), "peer-2": peer(0.1, rounds=2)}
    summary = summary_of(GOSSIP, results, lost={"peer-2": "killed"}, wall_s=1.0)
    assert (summary["completed_rounds"], summary["accuracy_min"]) == (5, 0.7)
    assert summary["nodes_lost"] == ["peer-2"]
    assert summary["lost_because"] == {"peer-2": "killed"}
    assert not summary["undisturbed"]


def test_push_sum_mass_of_dead_peers_is_accounted_for_by_name() -> None:
    results = {
        "peer-0": peer(0.9, mass={"held": 1.3, "out": {"peer-1": 0.0, "peer-2": -0.3}}),
        "peer-1": peer(0.9, mass={"held": 0.9, "out": {"peer-0": 0.0, "peer-2": 0.1}}),
    }
    mass = summary_of(GOSSIP, results, lost={"peer-2": "killed"}, wall_s=1.0)["mass"]
    assert mass["held"] == 2.2
    assert mass["gone"] == {"peer-2": 0.8}
    assert abs(mass["held"] + sum(mass["gone"].values()) - 3) < 1e-9
    assert "mass" not in summary_of(GOSSIP, {"peer-0": peer(0.9)}, wall_s=1.0)


def test_federated_reports_the_coordinators_figures() -> None:
    coordinator = {**peer(0.95), "role": "coordinator", "rejected": {"client-1": 2}}
    client = {"role": "client", "bytes_sent": 7, "metrics": {"accuracy": 0.1}, "completed_rounds": 1}
    summary = summary_of(FEDERATED, {"coordinator": coordinator, "client-0": client, "client-1": client}, wall_s=1.0)
    assert (summary["accuracy"], summary["accuracy_min"], summary["completed_rounds"]) == (0.95, 0.95, 5)
    assert (summary["bytes_sent"], summary["updates_rejected"]) == (114, {"client-1": 2})
    assert summary["consensus_distance"] is None
    assert not summary["undisturbed"], "an update was refused"


SITES = {"round": 5, "source": "sites", "accuracy": 0.8, "spread": {"accuracy": {"std": 0.1, "min": 0.6, "max": 1.0}}}


def test_least_and_greatest_of_one_model_are_those_of_the_sites_that_judged_it() -> None:
    coordinator = {**peer(0.8), "role": "coordinator", "evaluated_on": "holdout", "sites": SITES}
    summary = summary_of(FEDERATED, {"coordinator": coordinator}, wall_s=1.0)
    assert (summary["accuracy"], summary["accuracy_min"], summary["accuracy_max"]) == (0.8, 0.6, 1.0)
    assert (summary["evaluated_on"], summary["by_node"]["coordinator"]["evaluated_on"]) == ("holdout", "holdout")


def test_without_what_the_sites_said_they_would_be_the_mean() -> None:
    coordinator = {**peer(0.8), "role": "coordinator"}
    summary = summary_of(FEDERATED, {"coordinator": coordinator}, wall_s=1.0)
    assert (summary["accuracy_min"], summary["accuracy_max"]) == (0.8, 0.8)


def test_any_irregularity_disturbs_a_run() -> None:
    three = {f"peer-{i}": peer(0.9) for i in range(3)}
    assert summary_of(GOSSIP, three, wall_s=1)["undisturbed"]
    assert not summary_of(GOSSIP, three | {"peer-1": peer(0.9, rounds=4)}, wall_s=1)["undisturbed"]
    assert not summary_of(GOSSIP, three, status="interrupted", wall_s=1)["undisturbed"]
    late = summary_of(GOSSIP, three | {"peer-1": peer(0.9, disturbed=["round 3 closed by deadline"])}, wall_s=1)
    assert not late["undisturbed"]
    assert late["disturbances"] == ["peer-1: round 3 closed by deadline"]


def test_what_diverged_is_null_and_the_text_is_json() -> None:
    nan = float("nan")
    results = {"peer-0": peer(0.9), "peer-1": peer(nan), "peer-2": peer(0.8)}
    summary = summary_of(GOSSIP, results, baseline={"centralised": nan, "local_only_mean": 0.5}, wall_s=1.0)
    assert summary["baseline"] == {"centralised": None, "local_only_mean": 0.5}
    assert summary["accuracy"] is None
    assert json.loads(to_json(summary)) == summary


def test_a_regression_has_r2_and_a_failed_run_its_reason() -> None:
    results = {"coordinator": {"role": "coordinator", "metrics": {"r2": 0.4, "loss": 1.0}, "completed_rounds": 5}}
    summary = summary_of(FEDERATED, results, task="regression", status="failed", reason="why", wall_s=1.0)
    assert (summary["r2"], summary["reason"], summary["status"]) == (0.4, "why", "failed")
    assert "accuracy" not in summary


def test_a_run_that_stopped_early_is_undisturbed_and_has_reason_and_best_round() -> None:
    sites = {"round": 3, "source": "sites", "accuracy": 0.8, "worst": {"site": "client-1", "accuracy": 0.6}}
    report = {
        "role": "coordinator",
        "metrics": {"accuracy": 0.9, "loss": 0.2, "f1_macro": 0.85},
        "completed_rounds": 3,
        "best": {"round": 2, "metrics": {"accuracy": 0.95, "loss": float("nan")}},
        "sites": sites,
    }
    plan = load_experiment(overrides={"nodes": 2, "rounds": 5, "evaluation.scorers": ["f1_macro"]})
    stopped = {"stopped_by": "patience", "reason": "no better"}
    summary = summary_of(plan, {"coordinator": {**report, "stopped": stopped}}, wall_s=1.0)
    assert (summary["stopped_by"], summary["reason"], summary["undisturbed"]) == ("patience", "no better", True)
    assert summary["best"] == {"round": 2, "accuracy": 0.95, "loss": None}
    assert summary["scores"] == {"f1_macro": 0.85}
    assert (summary["worst_site"], summary["sites"]["accuracy"]) == ("client-1", 0.8)
    without = summary_of(plan, {"coordinator": report}, wall_s=1.0)
    assert not without["undisturbed"]  # three of five rounds, and nobody said why
    assert "stopped_by" not in without


def test_a_run_without_any_report_still_has_a_summary() -> None:
    summary = summary_of(FEDERATED, {}, status="failed", reason="nobody came", wall_s=1.0)
    assert (summary["completed_rounds"], summary["accuracy"], summary["round_s_median"]) == (0, None, None)


def test_without_a_report_the_last_round_of_the_events_counts() -> None:
    client = {"role": "client", "completed_rounds": 9}
    known = {"status": "failed", "reason": "killed", "last_round": 7, "wall_s": 1.0}
    assert summary_of(FEDERATED, {"client-0": client}, **known)["completed_rounds"] == 7
    assert (
        summary_of(FEDERATED, {"coordinator": {**peer(0.9), "role": "coordinator"}}, **known)["completed_rounds"] == 5
    )


def test_personalized_models_are_summarized_apart() -> None:
    own = {"client-0": {"accuracy": 0.8, "global_accuracy": 0.5}, "client-1": {"accuracy": 0.6, "global_accuracy": 0.7}}
    results = {name: {"role": "client", "personal": figures} for name, figures in own.items()}
    summary = summary_of(FEDERATED, {**results, "coordinator": {**peer(0.9), "role": "coordinator"}}, wall_s=1.0)
    assert summary["accuracy"] == 0.9
    assert summary["personal"] == {
        "clients": 2,
        "accuracy": 0.7,
        "accuracy_min": 0.6,
        "worst": "client-1",
        "global_accuracy": 0.6,
    }
    assert "personal" not in summary_of(FEDERATED, {"coordinator": peer(0.9)}, wall_s=1.0)

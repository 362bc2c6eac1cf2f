"""Gossip by whole rounds comes to what the machines of all peers come to, and is done only where it does."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.simulation import room
from nervenet.nodes.simulation.mixing import Mixing
from nervenet.nodes.simulation.nodes import Rows
from nervenet.nodes.simulation.rounds import why_not

Simulate = Callable[..., Awaitable[RunResult]]

UNEQUAL = {"name": "iris", "partition": "quantity", "alpha": 2.0}


def bits(result: RunResult) -> dict[str, bytes]:
    return {name: weights.tobytes() for name, weights in result.peers.items()}


@pytest.mark.parametrize(
    ("gossip", "more"),
    [
        ({"topology": "ring"}, {}),
        ({"topology": "star"}, {"data": UNEQUAL}),
        ({"topology": "complete", "algorithm": "epidemic"}, {"training": {"local_steps": 3}}),
        ({"topology": "one-peer-exponential"}, {"model": {"hidden": []}, "data": UNEQUAL}),
        ({"topology": "static-exponential"}, {"training": {"optimizer": "adam", "epochs": 2}}),
        ({"topology": "random-regular", "degree": 3}, {"model": {"dtype": "float64"}}),
        ({"topology": "epidemic-local", "algorithm": "epidemic", "degree": 2}, {"data": {"name": "diabetes"}}),
        ({"topology": "base-k"}, {"training": {"carry_optimizer": False, "momentum": 0.0}}),
    ],
    ids=str,
)
async def test_every_peer_has_the_bits_that_its_machine_comes_to(
    gossip: dict[str, Any], more: dict[str, Any], simulated: Simulate
) -> None:
    tables = {"mode": "gossip", "nodes": 6, "gossip": gossip, **more}
    machines = await simulated(out="machines", simulation={"engine": "machines"}, **tables)
    rounds = await simulated(out="rounds", simulation={"engine": "rounds"}, **tables)
    assert (machines["engine"], rounds["engine"]) == ("machines", "rounds")
    assert machines["undisturbed"]
    assert bits(rounds) == bits(machines)
    score = "r2" if "r2" in machines else "accuracy"
    for key in (score, f"{score}_min", "loss", "consensus_distance"):
        assert rounds[key] == pytest.approx(machines[key], rel=1e-5), key
    assert rounds["round_s_median"] == pytest.approx(machines["round_s_median"], rel=0.35)
    assert rounds["undisturbed"]


async def test_another_order_of_sums_would_be_seen(simulated: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself can fail."""
    tables = {"mode": "gossip", "nodes": 6, "gossip": {"topology": "complete"}}
    before = await simulated(out="before", **tables)
    rows = Mixing.rows
    monkeypatch.setattr(
        Mixing, "rows", lambda self, number: {me: dict(reversed(row.items())) for me, row in rows(self, number).items()}
    )
    assert bits(await simulated(out="after", **tables)) != bits(before)


async def test_a_network_with_jitter_and_unlike_machines_takes_longer_and_changes_no_bit(simulated: Simulate) -> None:
    tables = {"mode": "gossip", "nodes": 6, "gossip": {"topology": "one-peer-exponential"}}
    slow = {"latency_s": 0.01, "jitter_s": 0.02, "spread": 0.5, "step_s": 0.05, "bandwidth": 1e5}
    quick = await simulated(out="quick", **tables)
    by_rounds = await simulated(out="rounds", simulation=slow, **tables)
    by_machines = await simulated(out="machines", simulation={**slow, "engine": "machines"}, **tables)
    assert by_rounds["engine"] == "rounds"
    assert bits(quick) == bits(by_rounds) == bits(by_machines)
    assert by_rounds["virtual_s"] == pytest.approx(by_machines["virtual_s"], rel=0.1)


async def test_without_bandwidth_and_jitter_every_round_takes_as_long_as_by_the_machines(simulated: Simulate) -> None:
    tables = {"mode": "gossip", "nodes": 6, "data": UNEQUAL}
    unlike = {"spread": 0.5, "latency_s": 0.02}
    by_rounds = await simulated(out="rounds", simulation=unlike, **tables)
    by_machines = await simulated(out="machines", simulation={**unlike, "engine": "machines"}, **tables)
    rows = [
        [json.loads(line) for line in (result.path / "round_metrics.jsonl").read_text().splitlines()]
        for result in (by_rounds, by_machines)
        if result.path is not None
    ]
    for one, other in zip(*rows, strict=True):
        assert one["duration_s"] == pytest.approx(other["duration_s"], rel=1e-6)
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-6)
        assert one["closings"] == other["closings"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"mode": "federated"}, "a federation goes by the machines"),
        ({"gossip": {"algorithm": "sgp"}}, "sends and remembers more than a model"),
        ({"gossip": {"algorithm": "ad-psgd"}}, "has no rounds"),
        ({"simulation": {"loss": 0.1}}, "simulation.loss"),
        ({"simulation": {"lifetime_s": 9.0}}, "simulation.lifetime_s"),
        ({"simulation": {"latency_s": 0.2}}, "pings would come back after 0.4 s"),
        ({"training": {"class_weight": "balanced"}}, "weights"),
        ({"evaluation": {"scorers": ["f1_macro"], "baseline": False}}, "evaluation.scorers"),
    ],
    ids=str,
)
async def test_what_the_machines_alone_can_do_is_refused_by_name(
    more: dict[str, Any], reason: str, simulated: Simulate, tmp_path: Path
) -> None:
    tables = {"mode": "gossip", **more}
    tables["simulation"] = {**more.get("simulation", {}), "engine": "rounds"}
    with pytest.raises(ExperimentError, match=f"simulation.engine = 'rounds': .*{reason}.*expected auto or machines"):
        await simulated(**tables)
    assert not (tmp_path / "run").exists()


def test_other_models_are_trained_one_by_one() -> None:
    tables = {"mode": "gossip", "model": {"name": "sklearn.linear_model.SGDClassifier", "loss": "log_loss"}}
    assert why_not(Experiment.from_dict({**tables, "nodes": 2}), Rows({}, None, (), "classification")) == (
        "model.name = 'sklearn.linear_model.SGDClassifier' is not the built-in network"
    )


async def test_where_a_peer_would_not_wait_for_another_the_machines_decide(simulated: Simulate) -> None:
    unlike = {"spread": 3.0, "step_s": 0.2, "seed": 3}
    tables = {"mode": "gossip", "nodes": 6, "gossip": {"deadline_s": 1.0}, "simulation": unlike}
    result = await simulated(**tables)
    assert result["engine"] == "machines"
    assert not result["undisturbed"]


async def test_many_peers_settle_round_0_at_once_on_what_they_would_have_flooded(
    simulated: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = {"mode": "gossip", "nodes": 6, "data": UNEQUAL, "simulation": {"engine": "machines"}}
    flooded = await simulated(out="flooded", **tables)
    monkeypatch.setattr("nervenet.nodes.simulation.run.FLOODED", 0)
    at_once = await simulated(out="at-once", **tables)
    assert bits(at_once) == bits(flooded)
    assert at_once["bytes_sent"] < flooded["bytes_sent"]


async def test_more_machines_than_fit_are_refused_before_they_fill_the_memory(
    simulated: Simulate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(room, "_memory", lambda: 1e5)
    lossy = {"mode": "gossip", "simulation": {"loss": 0.1}}
    with pytest.raises(ExperimentError, match=r"nodes = 4: .* 0.0 GB; whole rounds take far less, but .*loss"):
        await simulated(**lossy)
    with pytest.raises(ExperimentError, match=r"nodes = 4: .* 0.0 GB; .*'gossip-learning' has no rounds"):
        await simulated(mode="gossip", gossip={"algorithm": "gossip-learning"})
    assert not (tmp_path / "run").exists()
    await simulated(mode="gossip")
    monkeypatch.undo()
    await simulated(out="fits", **lossy)

"""One node by itself, as ``nervenet node`` runs it, here several in one program."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nervenet.broker.broker import Broker
from nervenet.broker.errors import BrokerError
from nervenet.models.artifact import load_model
from nervenet.models.data.data import DataError
from nervenet.models.local.alone import train_alone
from nervenet.models.model import LocalWork
from nervenet.models.score_report import report_on
from nervenet.models.site_model import SiteModel, kept_rows
from nervenet.models.site_statistics import agree
from nervenet.nodes.config.factory import build_model, build_site_model
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import standalone
from nervenet.nodes.launching.data_shares import load_for
from nervenet.nodes.launching.standalone import run_node
from nervenet.nodes.roles.base import Role
from nervenet.nodes.runtime.identity import NodeFailed
from nervenet.nodes.runtime.session import Session
from sklearn import metrics


def site(folder: Path, name: str, seed: int, columns: str = "a,b,y") -> str:
    rng = np.random.default_rng(seed)
    rows = [f"{a:.3f},{b:.3f},{int(a + b > 0)}" for a, b in rng.normal(size=(40, 2))]
    path = folder / f"{name}.csv"
    path.write_text("\n".join([columns, *rows]) + "\n")
    return str(path)


def plan(file: str = "digits", mode: str = "federated", **more: Any) -> Experiment:
    wanted = {"mode": mode, "nodes": 2, "rounds": 2, "data": {"name": file}, "network": {"join_deadline_s": 60}}
    return Experiment.from_dict({**wanted, **more})


async def together(*nodes: Any) -> list[Any]:
    async with asyncio.timeout(240):
        return list(await asyncio.gather(*nodes, return_exceptions=True))


async def test_each_leaves_what_it_knows(tmp_path: Path) -> None:
    files = [site(tmp_path, f"s{k}", k) for k in range(2)]
    events: list[dict[str, Any]] = []
    targets: list[str] = []
    async with Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.addresses["directory"], "run": "r", "on_target": targets.append}
        found = await together(
            run_node("coordinator", plan(), **where, out=tmp_path / "c", on_event=events.append),
            *(run_node("client", plan(f), **where, name=f"s{k}", out=tmp_path / f"s{k}") for k, f in enumerate(files)),
        )
    assert targets == ["y", "y"], "a coordinator reads no file"
    summary = found[0]
    assert (summary["status"], summary["completed_rounds"], summary["baseline"]) == ("completed", 2, None)
    assert summary["accuracy"] > 0.5
    assert summary["worst_site"] in ("s0", "s1")
    for folder in ("c", "s0", "s1"):
        for name in ("experiment.toml", "events.jsonl", "summary.json", "model.json", "model.safetensors"):
            assert (tmp_path / folder / name).exists(), (folder, name)
    for name in ("s0", "s1"):  # each site sees for itself how the model does on what it has kept
        report = json.loads((tmp_path / name / "summary.json").read_text())["report"]
        assert (report["evaluated_on"], report["rows"]) == ("holdout", 8)
    weights = {(tmp_path / folder / "model.safetensors").read_bytes() for folder in ("c", "s0", "s1")}
    assert len(weights) == 1
    assert {e["round"] for e in events if e["type"] == "round.completed"} == {0, 1, 2}
    lines = (tmp_path / "c" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == events


def own_site(file: str) -> SiteModel:
    """A site of `plan` with its rows."""
    experiment = plan(file)
    source = load_for(build_model(experiment), experiment)
    rows = (source.X, source.y)
    return build_site_model(build_model(experiment), rows, experiment, columns=source.columns, holdout=0.2)


def hold_out_of(file: str) -> tuple[Any, Any]:
    """The rows that it keeps."""
    own = own_site(file)
    own.build(agree({"one": own.statistics()}), 0)
    found = kept_rows(own)
    assert found is not None
    return found


async def test_what_sites_tell_is_the_report_of_all_their_rows(tmp_path: Path) -> None:
    files = [site(tmp_path, f"s{k}", k) for k in range(3)]
    floors = (5, 8, 9)  # of rows below which a site tells no counts: each keeps 8
    async with Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.addresses["directory"], "run": "r"}
        found = await together(
            run_node("coordinator", plan(nodes=3), **where, out=tmp_path / "c"),
            *(
                run_node("client", plan(f, nodes=3, evaluation={"report_rows": floor}), **where, name=f"s{k}")
                for k, (f, floor) in enumerate(zip(files, floors, strict=True))
            ),
        )
    summary = found[0]
    assert set(summary["site_reports"]) == {"s0", "s1"}
    model = load_model(tmp_path / "c")
    kept = [hold_out_of(file) for file in files[:2]]
    X, y = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
    pooled, launched = summary["report"], report_on(model, X, y)  # as the launcher makes it, which has the rows
    assert (pooled["evaluated_on"], pooled["sites"], pooled["rows"]) == ("holdout", 2, 16)
    for name in ("accuracy", "macro_f1", "confusion", "per_class"):
        assert pooled[name] == launched[name]
    assert pooled["confusion"]["matrix"] == metrics.confusion_matrix(y, model.predict(X)).tolist()
    assert pooled["brier"] == pytest.approx(launched["brier"], rel=1e-6)
    assert pooled["reliability"]["rows"] == launched["reliability"]["rows"]
    for (X, y), name in zip(kept, ("s0", "s1"), strict=True):
        there = summary["site_reports"][name]
        assert there["accuracy"] == metrics.accuracy_score(y, model.predict(X))
        assert there["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, model.predict_proba(X)[:, 1]))
    assert summary["sites"]["sites"] == 3, "the scores of the third count all the same"


async def test_by_hand_each_sites_own_model_is_judged_at_all_sites(tmp_path: Path) -> None:
    files = [site(tmp_path, f"s{k}", k) for k in range(3)]
    async with Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.addresses["directory"], "run": "r"}
        wanted = {"evaluation": {"site_matrix": True}}
        found = await together(
            run_node("coordinator", plan(nodes=3, **wanted), **where, out=tmp_path / "c"),
            *(
                run_node("client", plan(f, nodes=3, **(wanted if k < 2 else {})), **where, name=f"s{k}")
                for k, f in enumerate(files)
            ),
        )
    summary = found[0]
    matrix = summary["site_matrix"]
    assert (summary["status"], summary["undisturbed"]) == ("completed", True)
    assert (matrix["sites"], matrix["rows"], matrix["score"]) == (["s0", "s1", "s2"], [8, 8, 8], "accuracy")
    assert matrix["missing"] == {
        "s2": "has sent no model of its own: declined: evaluation.site_matrix is not true at this site, "
        "whose model stays there"
    }
    assert matrix["scores"][2] == [None] * 3
    common = load_model(tmp_path / "c")
    own = own_site(files[0])
    own.build(common.preprocessing, 0)
    weights = train_alone(own, LocalWork(), 2, node="s0", seed=0, stop=lambda: False)
    assert weights is not None
    own.set_weights(weights)
    kept = [hold_out_of(file) for file in files]
    assert matrix["scores"][0] == [metrics.accuracy_score(y, own.predict(X)) for X, y in kept]
    assert matrix["shared"] == [None] * 3, "of fewer than ten rows no report is told"


async def ended(tmp_path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Summary and `run.completed` of a coordinator by itself that goes on after its last round, each for both times."""
    files = [site(tmp_path, f"s{k}", k) for k in range(2)]
    events: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    async with Broker("tcp://127.0.0.1:0") as broker:
        for number, into in enumerate(({"out": tmp_path / "c"}, {"resume": tmp_path / "c"})):
            where = {"broker": broker.addresses["directory"], "run": f"r{number}"}
            rounds = 2 + number
            found = await together(
                run_node("coordinator", plan(rounds=rounds), **where, **into, on_event=events.append),
                *(run_node("client", plan(f, rounds=rounds), **where, name=f"s{k}") for k, f in enumerate(files)),
            )
            for error in found:
                if isinstance(error, BaseException):
                    raise error  # with where it comes from
            assert found[0]["completed_rounds"] == rounds
            summaries.append(json.loads((tmp_path / "c" / "summary.json").read_text()))
    return summaries, [event for event in events if event["type"] == "run.completed"]


FIGURES = ("status", "completed_rounds", "wall_s", "bytes_sent")


async def test_its_end_is_published_with_the_figures_of_all_incarnations(tmp_path: Path) -> None:
    summaries, ends = await ended(tmp_path)
    assert [[end[key] for key in FIGURES] for end in ends] == [[known[key] for key in FIGURES] for known in summaries]
    assert summaries[1]["bytes_sent"] > summaries[0]["bytes_sent"]
    assert summaries[1]["wall_s"] > summaries[0]["wall_s"]
    assert "unattributed" not in summaries[1]["bytes_sent_by_kind"]


async def test_with_its_own_alone_it_would_be_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ended = standalone.run_ended

    def own(summary: dict[str, Any]) -> dict[str, Any]:
        sent = sum(node["bytes_sent"] for node in summary["by_node"].values())
        return {**run_ended(summary), "bytes_sent": sent}

    monkeypatch.setattr(standalone, "run_ended", own)
    summaries, ends = await ended(tmp_path)
    assert ends[1]["bytes_sent"] < summaries[1]["bytes_sent"]


async def failed(tmp_path: Path) -> tuple[dict[str, Any], list[Any], dict[str, Any]]:
    """Summary of a coordinator whose sites have other columns, how each node ended, and its `run.failed`."""
    events: list[dict[str, Any]] = []
    files = [site(tmp_path, "s0", 0), site(tmp_path, "s1", 1, "a,other,y")]
    async with Broker("tcp://127.0.0.1:0") as broker:
        where = {"broker": broker.addresses["directory"], "run": "r"}
        found = await together(
            run_node("coordinator", plan(), **where, out=tmp_path / "c", on_event=events.append),
            *(run_node("client", plan(f), **where, name=f"s{k}") for k, f in enumerate(files)),
        )
    (end,) = (event for event in events if event["type"] == "run.failed")
    return json.loads((tmp_path / "c" / "summary.json").read_text()), found, end


async def test_sites_that_do_not_fit_fail_everywhere_by_name(tmp_path: Path) -> None:
    summary, found, end = await failed(tmp_path)
    for error in found:
        assert isinstance(error, NodeFailed), error
        assert "other" in str(error)
    assert summary["status"] == "failed"
    assert "other" in summary["reason"]
    assert (end["status"], end["completed_rounds"], end["reason"]) == ("failed", 0, summary["reason"])
    assert 0 < end["bytes_sent"] <= summary["bytes_sent"]
    assert 0 < end["wall_s"] <= summary["wall_s"]


async def test_the_word_of_its_machine_alone_would_lack_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "run_so_far", property(lambda _: None, lambda *_: None), raising=False)
    *_, end = await failed(tmp_path)
    assert not set(FIGURES) & set(end)


async def test_mistakes_come_before_anything_is_joined(tmp_path: Path) -> None:
    nowhere = {"broker": "tcp://127.0.0.1:1", "run": "r"}
    with pytest.raises(DataError, match="missing"):
        await run_node("client", plan("missing.csv"), **nowhere)
    file = site(tmp_path, "s", 0)
    with pytest.raises(DataError, match="zzz"):
        await run_node("peer", plan(mode="gossip", data={"name": file, "target": "zzz"}), **nowhere)


async def test_a_broker_that_is_not_there_is_named_within_the_deadline(tmp_path: Path) -> None:
    wanted = plan(site(tmp_path, "s", 0), network={"join_deadline_s": 0.2})
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        async with asyncio.timeout(240):
            await run_node("client", wanted, broker="tcp://127.0.0.1:1", run="r")


async def interrupted(tmp_path: Path) -> tuple[dict[str, Any], list[str], set[str]]:
    """A site leaves at its owner's wish, and then the coordinator: its summary, what it said, and its files."""
    files = [site(tmp_path, f"s{k}", k) for k in range(3)]
    events: list[dict[str, Any]] = []
    running, lost = asyncio.Event(), asyncio.Event()

    def listen(event: dict[str, Any]) -> None:
        events.append(event)
        if event["type"] == "round.completed" and event["round"] >= 3:
            running.set()
        if event["type"] == "node.lost":
            lost.set()

    def of(file: str = "digits") -> Experiment:
        return plan(file, nodes=3, rounds=1_000_000, federated={"min_clients": 1})

    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(240):
        where = {"broker": broker.addresses["directory"], "run": "r"}
        coordinator = asyncio.create_task(run_node("coordinator", of(), **where, out=tmp_path / "c", on_event=listen))
        clients = [
            asyncio.create_task(run_node("client", of(file), **where, name=f"s{k}")) for k, file in enumerate(files)
        ]
        await running.wait()
        clients[0].cancel()
        await lost.wait()
        coordinator.cancel()
        ended = await asyncio.gather(coordinator, *clients, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    said = [e["reason"] for e in events if e["type"] in ("node.lost", "run.failed")]
    summary = tmp_path / "c" / "summary.json"
    found = json.loads(summary.read_text()) if summary.exists() else {}
    return found, said, {file.name for file in (tmp_path / "c").iterdir()}


async def test_whoever_is_interrupted_says_so_and_leaves_what_was_learned(tmp_path: Path) -> None:
    summary, said, files = await interrupted(tmp_path)
    assert (summary["status"], summary["reason"]) == ("interrupted", "interrupted")
    assert summary["completed_rounds"] >= 3
    assert said[0] == "left: interrupted"
    assert said[-1] == "interrupted"
    assert {"model.safetensors", "model.json", "checkpoints", "round_metrics.jsonl", "report.html"} <= files


async def test_by_the_old_rules_it_would_be_done_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Role, "_leaving", staticmethod(lambda _error: "done"))
    monkeypatch.setattr(standalone, "asyncio", SimpleNamespace(CancelledError=KeyError))
    summary, said, files = await interrupted(tmp_path)
    assert summary == {}
    assert said[0] == "left: left before the run was over"
    assert "model.safetensors" not in files

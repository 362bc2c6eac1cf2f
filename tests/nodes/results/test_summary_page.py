"""docs/summary.md names every key of summary.json, and none that there is not."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.score_report import classification_report, regression_report
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.results import summary as module
from nervenet.nodes.results.earlier import Earlier
from nervenet.nodes.results.run_dir import to_json
from nervenet.nodes.results.run_result import RunResult
from nervenet.nodes.results.summary import summarize

PAGE = (Path(__file__).parents[3] / "docs" / "summary.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| [^|]+ \| (?P<mode>both|federated|gossip) \| [^|]+ \|$")
NAMES = ("client-0", "coordinator", "peer-0", "peer-1", "peer-2")
BY_NAME = ("updates_rejected", "lost_because", "mass.gone", "by_node.NAME.mixed_with", "scores")  # whose keys are names
BY_NAME += ("class_weights", "report.per_class", "report.weighted", "site_reports", "site_matrix.missing", "regions")
Rows = Mapping[str, str]


def documented(page: str = PAGE) -> dict[str, str]:
    """The mode of each key."""
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    rows = [ROW.match(line) for line in lines]
    assert None not in rows, [line for line, row in zip(lines, rows, strict=True) if row is None]
    return {row["key"]: row["mode"] for row in rows if row}


def keys(value: object, path: str = "") -> Iterator[str]:
    """Every key in a summary as the page writes it."""
    if not isinstance(value, Mapping) or path in BY_NAME:
        return
    for name, below in value.items():
        part = "NAME" if name in NAMES else "FIGURE" if path.endswith(".spread") else name
        part = re.sub(r"\b(global_)?(accuracy|r2)(_min|_max)?\b", lambda m: f"{m[1] or ''}SCORE{m[3] or ''}", part)
        key = f"{path}.{part}" if path else part
        if part not in ("NAME", "FIGURE"):
            yield key
        yield from keys(below, key)


def report(role: str, score: str, **more: Any) -> dict[str, Any]:
    """What a node reports that has everything to report."""
    return {
        "role": role,
        "completed_rounds": 5,
        "last_round": 6,
        "metrics": {score: 0.1, "loss": 0.5, "examples": 30, "f1_macro": 0.8},
        "evaluated_on": "holdout",
        "bytes_sent": 100,
        "bytes_received": 90,
        "bytes_sent_by_kind": {"weights": 90, "control": 10},
        "round_s": [0.1],
        "rejected": {"client-0": 1},
        "disturbed": ["round 1 closed by deadline"],
        "warnings": ["beware"],
        **more,
    }


def federated(score: str) -> dict[str, Any]:
    spread = {name: {"std": 0.1, "min": 0.0, "max": 0.2} for name in (score, "loss")}
    sites = {
        "round": 5, score: 0.1, "loss": 0.5, "examples": 60, "weight": 90.0, "sites": 2, "source": "sites",
        "spread": spread, "worst": {"site": "client-0", score: 0.0},
    }  # fmt: skip
    best = {"round": 3, "metrics": {score: 0.2, "loss": 0.4}}
    stopped = {"stopped_by": "patience", "reason": "no improvement"}
    further = {"sites": sites, "best": best, "stopped": stopped, "staleness": {"mean": 1.0, "max": 2}}
    own = {"personal": {score: 0.3, f"global_{score}": 0.1, "loss": 0.2}}
    return {"coordinator": report("coordinator", score, **further), "client-0": report("client", score, **own)}


def gossip(score: str) -> dict[str, Any]:
    mass = {"held": 1.3, "out": {"peer-2": -0.3}}
    more = {"alone": 1, "mixed_with": {"peer-0": 2}, "mass": mass}
    return {f"peer-{k}": report("peer", score, **more) for k in range(2)}


def rows_report(mode: str, task: str) -> dict[str, Any]:
    y, known = np.array([0, 1, 1]), {"evaluated_on": "holdout", "weighted": {"weight": 4.5}}
    known |= {"sites": 2} if mode == "federated" else {}
    if task == "regression":
        return known | regression_report(y, y)
    mean = {"roc_auc_mean": 0.5} if mode == "federated" else {}
    return known | mean | classification_report(y, y, np.eye(2)[y], ["no", "yes"])


def summary_of(mode: str, task: str) -> dict[str, Any]:
    """A summary with every key that a run of this mode can have."""
    score = "accuracy" if task == "classification" else "r2"
    wanted = {"mode": mode, "nodes": 2, "rounds": 5, "evaluation.scorers": ["f1_macro"], "network.insecure": True}
    result = RunResult(
        federated(score) if mode == "federated" else gossip(score),
        task=task,
        score_report=rows_report(mode, task),
        site_reports={"client-0": rows_report(mode, task)},
        site_matrix={"sites": ["client-0"], "rows": [9], "scores": [[0.5]]}
        | ({"missing": {"client-1": "lost"}} if mode == "federated" else {}),
        majority=0.9,
        virtual_s=0.5,
        engine="machines",
        preprocessing={"classes": ["no", "yes"], "class_weights": [0.5, 2.0]},
        weights=np.zeros(3),
        baseline={"centralised": 0.9, "local_only_mean": 0.8},
        lost={"peer-2": "killed"},
        wall_s=1.0,
        baseline_s=1.0,
        startup_s=0.5,
        resumed_after=2,
        regions={"region-0": ["client-0"]} if mode == "federated" else {},
        earlier=Earlier(1.0, 10, {"unattributed": 10}),
    )
    if score == "r2":
        for known in result.reports.values():
            known["metrics"]["r2"] = -1.0
    return dict(json.loads(to_json(summarize(load_experiment(overrides=wanted), result))))


def faults(page: Rows) -> list[str]:
    """What the page and the code say differently of each other."""
    found, seen = [], set()
    for mode in ("federated", "gossip"):
        for task in ("classification", "regression"):
            for key in keys(summary_of(mode, task)):
                seen.add((key, mode))
                if key not in page and not (key.startswith("best.") or key == "sites.f1_macro"):
                    found.append(f"{key}: not documented")
    for key, mode in page.items():
        modes = ("federated", "gossip") if mode == "both" else (mode,)
        found += [f"{key}: no {each} summary has it" for each in modes if (key, each) not in seen | ELSEWHERE]
    return sorted(set(found))


ELSEWHERE = {("reason", "gossip"), ("stopped_by", "gossip")}  # of a run that has failed


def test_every_key_is_documented_and_every_documented_key_is_there() -> None:
    assert faults(documented()) == []


def test_a_key_that_is_not_on_the_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    by_node = module._by_node
    monkeypatch.setattr(module, "_by_node", lambda *known: by_node(*known) | {"mood": "fine"})
    assert faults(documented()) == ["by_node.NAME.mood: not documented"]


@pytest.mark.parametrize("key", ["accuracy", "mass.held", "sites.worst.site"])
def test_a_key_that_no_summary_has_is_found(key: str) -> None:
    page = documented() | {f"{key}_of_old": "both"}
    assert len(faults(page)) == 2
    left = {name: mode for name, mode in documented().items() if name != key.replace("accuracy", "SCORE")}
    assert faults(left) == [f"{key.replace('accuracy', 'SCORE')}: not documented"]

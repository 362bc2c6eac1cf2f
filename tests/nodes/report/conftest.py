"""Run folders as a run leaves them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

SUMMARY = {
    "mode": "gossip",
    "nodes": 3,
    "rounds": 4,
    "completed_rounds": 4,
    "seed": 0,
    "data": "digits",
    "model": "mlp",
    "task": "classification",
    "accuracy": 0.95,
    "accuracy_min": 0.9,
    "accuracy_max": 0.97,
    "loss": 0.2,
    "consensus_distance": 0.01,
    "baseline": {"centralised": 0.97, "local_only_mean": None},
    "bytes_sent": 1_234_567,
    "bytes_sent_by_kind": {"weights": 1_200_000, "control": 34_567},
    "wall_s": 5.0,
    "startup_s": 1.0,
    "round_s_median": 0.9,
    "status": "completed",
    "report": {"rows": 20, "confusion": {"labels": ["a", "b"], "matrix": [[9, 1], [0, 10]]}},
    "by_node": {f"peer-{n}": {"role": "peer", "completed_rounds": 4, "accuracy": 0.95} for n in range(3)},
}
EXPERIMENT = 'mode = "gossip"\nrounds = 4\n\n[training]\nlearning_rate = 0.05\n\n[gossip]\ntopology = "ring"\n'
ROWS = [
    {
        "round": n,
        "peers": 3,
        "bytes_sent": 300_000,
        "duration_s": 0.9,
        "train_loss": 1.5 / n,
        "loss": 1 / n,
        "loss_min": 0.9 / n,
        "loss_max": 1.1 / n,
        "accuracy": 1 - 0.2 / n,
        "accuracy_min": 1 - 0.3 / n,
        "accuracy_max": 1 - 0.1 / n,
        "consensus_distance": 10.0**-n,
    }
    for n in range(1, 5)
]


@pytest.fixture
def gossip_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a run folder, with what is given in place of what it has."""

    def make(
        name: str = "run",
        *,
        summary: dict[str, Any] | None = None,
        rows: Sequence[dict[str, Any]] = ROWS,
        events: Sequence[dict[str, Any]] = (),
        experiment: str = EXPERIMENT,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "summary.json").write_text(json.dumps({**SUMMARY, **(summary or {})}), encoding="utf-8")
        (folder / "experiment.toml").write_text(experiment, encoding="utf-8")
        compact = (",", ":")
        (folder / "round_metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        lines = [json.dumps(event, separators=compact) + "\n" for event in events]
        (folder / "events.jsonl").write_text("".join(lines), encoding="utf-8")
        return folder

    return make

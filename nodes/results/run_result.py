"""What a run has come to: its figures, and the weights with all that makes them a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nervenet.models.extras import require

from .earlier import Earlier
from .score_reports import Judged


@dataclass(eq=False, repr=False)
class RunResult(Mapping[str, Any]):
    """The result of a run; as a mapping, its summary, as in ``summary.json``. Weights are flat, (parameters,)."""

    reports: Mapping[str, Mapping[str, Any]]  # by node, the fields of its final report; see `summarize`
    status: str = "completed"  # or failed, or interrupted
    reason: str | None = None  # of another status
    task: str = "classification"  # or regression
    majority: float | None = None  # the share of the test rows that have the most frequent label, where it is known
    judged: Judged = field(default_factory=Judged)  # what the models are judged on
    score_report: Mapping[str, Any] = field(default_factory=dict)  # of the saved model, on all of those rows
    site_reports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by site, on its own rows
    weights: Any = None  # of the final model (federated), or the mean of the survivors' (gossip)
    best_weights: Any = None  # those of a coordinator's best round
    models_saved: bool = False  # by the coordinator, which holds them
    personal: Mapping[str, Any] = field(default_factory=dict)  # the clients' own weights, by name
    peers: Mapping[str, Any] = field(default_factory=dict)  # the surviving peers' weights, by name
    layout: Mapping[str, Any] = field(default_factory=dict)  # what makes weights a model, as dictionaries
    preprocessing: Mapping[str, Any] | None = None
    consensus_distance: float | None = None  # of the surviving peers, in the unit of the weights
    # ``centralised`` and ``local_only_mean``; a value that is None or not finite means that it diverged.
    baseline: Mapping[str, float | None] | None = None
    # Each site's own model at the others: ``sites``, ``rows``, and ``scores``, a list for each model (docs/summary.md).
    site_matrix: Mapping[str, Any] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)  # why a node was lost, by name
    regions: Mapping[str, Sequence[str]] = field(default_factory=dict)  # the clients of each, in a launch that has some
    wall_s: float = 0.0  # from the command's start to the last node's result
    baseline_s: float | None = None  # seconds that the baselines trained, concurrently with the run or after it
    startup_s: float | None = None  # and to the first round
    virtual_s: float | None = None  # how long a simulation took by the clock of its nodes
    engine: str = ""  # what ran them: machines or rounds
    resumed_after: int | None = None  # the round after which this incarnation of the run went on
    earlier: Earlier = field(default_factory=Earlier)  # what the incarnations before it took
    last_round: int = 0  # that an event reported as complete: all that is known where no node is left to report
    path: Path | None = None  # the run folder
    summary: dict[str, Any] = field(default_factory=dict)  # empty until it is written

    def __repr__(self) -> str:
        # Short, because `asyncio.run` formats what its coroutine returns, vectors and all (findings/).
        shown = {"status": self.status, "path": None if self.path is None else str(self.path)}
        score = next((name for name in ("accuracy", "r2") if isinstance(self.summary.get(name), float)), None)
        if score is not None:
            shown[score] = round(self.summary[score], 3)
        if "completed_rounds" in self.summary:
            shown["completed_rounds"] = self.summary["completed_rounds"]
        return f"RunResult({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def to_pandas(self) -> Any:
        """Return the rounds of the run as a pandas DataFrame: those of ``round_metrics.jsonl``, indexed by round.

        Without a run folder or a completed round it is empty. Raises `MissingExtra` where pandas is not installed.
        """
        require("RunResult.to_pandas", "pandas")
        import pandas as pd

        from .round_metrics import read_rows

        rows = [] if self.path is None else read_rows(self.path)
        return pd.DataFrame(rows, columns=None if rows else ["round"]).set_index("round")

    def __getitem__(self, key: str) -> Any:
        return self.summary[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.summary)

    def __len__(self) -> int:
        return len(self.summary)


def run_ended(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is published of a run's end, whichever it is: of all its incarnations, as in its summary."""
    return {
        "status": summary["status"],
        "completed_rounds": summary["completed_rounds"],
        "wall_s": summary["wall_s"],
        "bytes_sent": summary["bytes_sent"],
    }


def run_completed(result: RunResult) -> dict[str, Any]:
    """Return the fields of ``run.completed``."""
    fields = run_ended(result)
    figures = {"accuracy": result.get("accuracy"), "r2": result.get("r2"), "loss": result.get("loss")}
    fields |= {key: value for key, value in figures.items() if value is not None}
    if "stopped_by" in result:
        fields |= {"stopped_by": result["stopped_by"], "reason": result["reason"]}
    return fields


def node_result(name: str, result: RunResult) -> dict[str, Any]:
    """Return the fields of ``node.result``, what is known of one node at the end."""
    known = result["by_node"][name]
    fields = {
        "subject": name,
        "state": "lost" if name in result.lost else "done",
        "completed_rounds": known.get("completed_rounds"),
        "accuracy": known.get("accuracy"),
        "r2": known.get("r2"),
        "loss": known.get("loss"),
        "evaluated_on": known.get("evaluated_on"),
        "bytes_sent": known.get("bytes_sent"),
        "bytes_received": known.get("bytes_received"),
    }
    return {key: value for key, value in fields.items() if value is not None}

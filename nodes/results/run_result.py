"""What a run has come to: its figures, and the weights with all that makes them a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(eq=False)
class RunResult(Mapping[str, Any]):
    """The result of a run; as a mapping, its summary, as in ``summary.json``.

    Attributes
    ----------
    reports : mapping of str to mapping
        By node, the fields of its final report; see `summarize`.
    status, reason : str
        ``completed``, ``failed`` or ``interrupted``, and why.
    task : str
        ``classification`` or ``regression``.
    weights : ndarray or None
        The final model (federated) or the mean of the survivors' (gossip), of shape (parameters,).
    best_weights : ndarray or None
        Those of a coordinator's best round.
    personal : mapping of str to ndarray
        The clients' own weights, by name.
    layout, preprocessing : mapping
        What makes weights a model, as dictionaries.
    consensus_distance : float or None
        Of the surviving peers, in the unit of the weights.
    baseline : mapping of str to float or None
        ``centralised`` and ``local_only_mean``; a value that is None or not finite means that it diverged.
    lost : mapping of str to str
        Why a node was lost, by name.
    wall_s, startup_s : float
        Seconds from the command's start to its end, and to the first round.
    resumed_after : int or None
        The round after which this incarnation of the run went on; bytes and seconds are of this incarnation alone.
    last_round : int
        The last round that an event reported as complete: all that is known where nobody is left to report.
    path : Path or None
        The run folder.
    summary : dict
        As in ``summary.json``; empty until it is written.
    """

    reports: Mapping[str, Mapping[str, Any]]
    status: str = "completed"
    reason: str | None = None
    task: str = "classification"
    weights: Any = None
    best_weights: Any = None
    personal: Mapping[str, Any] = field(default_factory=dict)
    layout: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] | None = None
    consensus_distance: float | None = None
    baseline: Mapping[str, float | None] | None = None
    lost: Mapping[str, str] = field(default_factory=dict)
    wall_s: float = 0.0
    startup_s: float | None = None
    resumed_after: int | None = None
    last_round: int = 0
    path: Path | None = None
    summary: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, key: str) -> Any:
        return self.summary[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.summary)

    def __len__(self) -> int:
        return len(self.summary)

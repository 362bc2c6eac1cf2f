"""From the nodes' reports to the files of the run folder: the mean model, its figures, the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.factory import build_model
from .summary import summarize

if TYPE_CHECKING:
    from ..config.schema import Experiment
    from .run_dir import RunDir


BEST = "best"  # stem of the files of the best round's model


@dataclass
class RunResult:
    """What the reports add up to."""

    facts: Mapping[str, Mapping[str, Any]]
    vector: Any = None
    agreement: Mapping[str, Any] | None = None
    layout: Mapping[str, Any] = field(default_factory=dict)
    consensus_distance: float | None = None
    best: Any = None  # the weights of a coordinator's best round; what is said of it is among its facts
    personal: Mapping[str, Any] = field(default_factory=dict)  # the clients' own weights, by name


def gather(
    experiment: Experiment,
    facts: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Any],
    lost: Mapping[str, str],
    best: Mapping[str, Any],
) -> RunResult:
    """Take the coordinator's model and its best (by name, where it is another), or the mean of the surviving peers' in
    name order, with their distance from it.
    """
    from nervenet.models.aggregate import weighted_mean
    from nervenet.models.weights import consensus_distance

    names = sorted(name for name in arrays if name not in lost)
    if not names:
        return RunResult(facts)
    first = facts[names[0]]
    found = RunResult(facts, agreement=first.get("agreement"), layout=first.get("layout", {}))
    found.personal = {name: arrays[name] for name in names if facts[name].get("role") == "client"}
    judges = [name for name in names if name not in found.personal]
    vectors = [arrays[name] for name in judges]
    if experiment.mode == "gossip":
        found.vector = weighted_mean(vectors, [1.0] * len(vectors))
        found.consensus_distance = consensus_distance(vectors)
    elif vectors:
        found.vector = vectors[0]
        found.best = best.get(judges[0], found.vector) if facts[judges[0]].get("best") else None
    return found


def finish(
    experiment: Experiment,
    folder: RunDir,
    found: RunResult,
    *,
    task: str,
    status: str,
    reason: str,
    baseline: Mapping[str, float | None] | None,
    lost: Mapping[str, str],
    wall_s: float,
    startup_s: float | None,
    heard: int = 0,
) -> dict[str, Any]:
    """Write the models and the summary; gives the summary.

    What the disk does not take fails the run by name: its checkpoints stand, and it can be taken up when there is room.
    """
    unwritten: list[str] = []
    if found.vector is not None and found.agreement is not None:
        with _noting(unwritten, "the model", folder):
            _save(experiment, folder, found)
    for name, vector in found.personal.items():
        with _noting(unwritten, f"the model of {name}", folder):
            _save_personal(folder, name, found, vector)
    if unwritten and status == "completed":
        status, reason = "failed", "; ".join(unwritten)
    summary = summarize(
        experiment,
        found.facts,
        status=status,
        reason=reason or None,
        task=task,
        parameters=None if found.vector is None else int(found.vector.size),
        baseline=baseline or None,
        consensus_distance=found.consensus_distance,
        nodes_lost=sorted(lost),
        wall_s=wall_s,
        startup_s=startup_s,
        resumed_after=folder.resumed,
        heard=heard,
    )
    if lost:
        summary["lost_because"] = dict(sorted(lost.items()))
    with _noting(unwritten, "the summary", folder):
        folder.write_summary(summary)
    if unwritten and status == "completed":
        summary |= {"status": "failed", "reason": "; ".join(unwritten)}
    return summary


@contextmanager
def _noting(unwritten: list[str], what: str, folder: RunDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        unwritten.append(f"{what} could not be written to {folder.path}: {error.strerror or error}")


def _save(experiment: Experiment, folder: RunDir, found: RunResult) -> None:
    from nervenet.models.artifact import save_model
    from nervenet.models.preprocessing import Preprocessing
    from nervenet.models.site_model import SiteModel

    agreement = Preprocessing.from_dict(dict(found.agreement or {}))
    rounds = [
        int(f["completed_rounds"])
        for f in found.facts.values()
        if f.get("role") != "client" and "completed_rounds" in f
    ]
    extra = {"round": min(rounds, default=0), "mode": experiment.mode, "data": experiment.data.label}
    site_model = SiteModel(build_model(experiment))
    site_model.build(agreement, experiment.seed)
    save_model(folder.path, site_model.model, agreement, found.vector, extra)
    best = next((f["best"] for f in found.facts.values() if f.get("best")), None)
    if best is not None and found.best is not None:
        save_model(folder.path, site_model.model, agreement, found.best, {**extra, **best}, stem=BEST)


def _save_personal(folder: RunDir, name: str, found: RunResult, vector: Any) -> None:
    from nervenet.models.artifact import save_weights
    from nervenet.models.weights import Layout

    save_weights(folder.path / "personal" / f"{name}.safetensors", Layout.from_dict(dict(found.layout)), vector)

"""From the nodes' reports to the files of the run folder: the models, their figures, the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nervenet.broker.errors import see

from ..config.factory import build_model
from ..config.schema import Experiment
from .cards import BEST, write_cards
from .run_dir import RunDir
from .run_result import RunResult
from .summary import summarize

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

PERSONAL = "personal"  # the folder of the clients' own models, each under its client's name
PEERS = "peers"  # that of the peers' models, where no report carries them


def collect(
    experiment: Experiment,
    reports: Mapping[str, Mapping[str, Any]],
    arrays: Mapping[str, Any],
    best: Mapping[str, Any],
    lost: Mapping[str, str],
) -> RunResult:
    """Return the coordinator's model and its best one (by name, where it differs), or the mean of the surviving peers'
    in name order, with their distance from it.
    """
    from nervenet.models.aggregate import plain_mean
    from nervenet.models.weights import consensus_distance

    result = RunResult(reports, lost=lost)
    names = sorted(name for name in arrays if name not in lost)
    if not names:
        return result
    first = reports[names[0]]
    result.preprocessing, result.layout = first.get("agreement"), first.get("layout", {})
    result.personal = {name: arrays[name] for name in names if reports[name].get("role") == "client"}
    names = [name for name in names if name not in result.personal]
    vectors = [arrays[name] for name in names]
    if experiment.mode == "gossip":
        result.weights = plain_mean(vectors)
        result.consensus_distance = consensus_distance(vectors)
        result.peers = dict(zip(names, vectors, strict=True))
    elif vectors:
        result.weights = vectors[0]
        result.models_saved = bool(reports[names[0]].get("models_saved"))
        result.best_weights = best.get(names[0], result.weights) if reports[names[0]].get("best") else None
    return result


def saved_apart(
    path: Path, reports: Mapping[str, Mapping[str, Any]], arrays: Mapping[str, Any], best: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return `arrays` and `best` with what nodes have saved in a run folder, since no report carries it."""
    from nervenet.models.artifact import read_model

    arrays, best = dict(arrays), dict(best)
    for name, fields in reports.items():
        if fields.get("apart") and fields.get("models_saved"):
            arrays[name] = read_model(path).weights
            if fields.get("best"):
                best[name] = read_model(path / f"{BEST}.json").weights
        elif fields.get("apart") and fields.get("role") == "peer":
            arrays[name] = read_model(path / PEERS / f"{name}.json").weights
    return arrays, best


def write_results(experiment: Experiment, run_dir: RunDir, result: RunResult) -> None:
    """Write the models and the summary, which the result then has.

    A file that cannot be written fails the run by name; its checkpoints stand, so it can be resumed when there is room.
    """
    result.path, result.resumed_after, result.earlier = run_dir.path, run_dir.resumed, run_dir.earlier
    unwritten: list[str] = []
    if not result.models_saved:
        with _noting(unwritten, "the model", run_dir):
            save_models(experiment, run_dir.path, result)
    for name, weights in result.personal.items():
        with _noting(unwritten, f"the model of {name}", run_dir):
            save_personal(experiment, run_dir.path, name, result, weights)
    _fail(result, unwritten)
    report_scores(experiment, result)
    result.summary = summarize(experiment, result)
    with _noting(unwritten, "the summary", run_dir):
        run_dir.write_summary(result.summary)
        write_cards(experiment, run_dir.path, result.summary)
    if _fail(result, unwritten):
        result.summary |= {"status": result.status, "reason": result.reason}


def _fail(result: RunResult, unwritten: list[str]) -> bool:
    if not unwritten or result.status != "completed":
        return False
    result.status, result.reason = "failed", "; ".join(unwritten)
    return True


@contextmanager
def _noting(unwritten: list[str], what: str, run_dir: RunDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        unwritten.append(
            f"{what} could not be written to {run_dir.path}: {error.strerror or error}{see('not-written')}"
        )


def save_models(experiment: Experiment, path: Path, result: RunResult) -> None:
    """Write the final model and the best one to a run folder, as far as there are any."""
    if result.weights is None or result.preprocessing is None:
        return
    from nervenet.models.artifact import CLOCK, save_model

    reports = result.reports.values()
    clocks = [float(r["clock"]) for r in reports if r.get("role") != "client" and "clock" in r]
    rounds = [int(r["completed_rounds"]) for r in reports if r.get("role") != "client" and "completed_rounds" in r]
    extra: dict[str, Any] = {"round": min(rounds, default=0), "mode": experiment.mode, "data": experiment.data.label}
    if clocks:
        extra[CLOCK] = sum(clocks) / len(clocks)
    site_model = _site_model(experiment, result)
    save_model(path, site_model, vector=result.weights, extra=extra)
    best = next((r["best"] for r in reports if r.get("best")), None)
    if best is not None and result.best_weights is not None:
        save_model(path, site_model, vector=result.best_weights, extra=extra | best, stem=BEST)


def report_scores(experiment: Experiment, result: RunResult) -> None:
    """Add how the model that is saved does on rows that nobody trained on, and what each site has of it on its own.

    Under gossip a site has the model of its own peer. Nothing is added where there is no model.
    """
    judged = result.judged
    if result.weights is None or result.preprocessing is None or not judged:
        return
    from .score_reports import common_report, site_reports

    site_model = _site_model(experiment, result)
    result.score_report = common_report(site_model, result.weights, judged)
    common = dict.fromkeys({*judged.names, *judged.counts}, result.weights)
    result.site_reports = site_reports(site_model, result.peers or common, judged)


def save_personal(
    experiment: Experiment, path: Path, name: str, result: RunResult, weights: Any, folder: str = PERSONAL
) -> None:
    """Write a client's or peer's own model as the common one is written: whatever reads that reads this one."""
    from nervenet.models.artifact import CLOCK, save_model

    whose = "client" if folder == PERSONAL else "peer"
    extra = {whose: name, "mode": experiment.mode, "data": experiment.data.label}
    if clock := result.reports[name].get("clock"):
        extra[CLOCK] = clock
    save_model(path / folder, _site_model(experiment, result), vector=weights, extra=extra, stem=name)


def _site_model(experiment: Experiment, result: RunResult) -> SiteModel:
    from nervenet.models.site_model import SiteModel
    from nervenet.models.table_preprocessing import preprocessing_of

    site_model = SiteModel(build_model(experiment))
    site_model.build(preprocessing_of(dict(result.preprocessing or {})), experiment.seed)
    return site_model

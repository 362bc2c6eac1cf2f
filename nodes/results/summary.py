"""The summary of a run: one map of what its nodes have reported."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..config.schema import Experiment
from .run_result import RunResult
from .verdict import doubt


def summarize(experiment: Experiment, result: RunResult) -> dict[str, Any]:
    """Return ``summary.json`` as a map of JSON values; what is unknown or not finite is None.

    Every key of a node's report may be missing: ``role``; ``completed_rounds``; ``metrics`` (``accuracy`` or ``r2``,
    ``loss``, ``examples``: the last evaluation, with further scorers by name); ``evaluated_on``, the rows of that
    (``test``, or ``holdout``: of the sites, or a peer's own); ``sites`` (their last
    evaluation); ``best`` (``round`` and ``metrics``); ``stopped`` (``stopped_by``, ``reason``);
    ``last_round``, which is more than were completed where a peer was left behind and jumped over some; ``mixed_with``
    and ``alone``, of a peer in a disturbed run: rounds by whose models went into them, and those with nobody's;
    ``bytes_sent``, ``bytes_received``; ``bytes_sent_by_kind`` (``weights``, ``control``); ``round_s`` (duration of each
    of its rounds, seconds); ``rejected`` (``{subject: count}``); ``staleness`` (``mean``, ``max``: without rounds);
    ``losses`` (``train`` and ``test``, the first and the last);
    ``disturbed`` (reasons, one a line); ``warnings`` (a line each); ``personal`` (a client's own model, and the final
    one of all, on its hold-out); ``mass`` (``held``, and ``out`` by neighbor: push-sum).
    """
    reports, status, earlier = result.reports, result.status, result.earlier
    survivors = {name: report for name, report in sorted(reports.items()) if name not in result.lost}
    evaluators = _evaluators(experiment, survivors)
    completed = [int(report["completed_rounds"]) for report in evaluators.values() if "completed_rounds" in report]
    completed_rounds = min(completed, default=result.last_round)
    score = "accuracy" if result.task == "classification" else "r2"

    def over(name: str, rule: Callable[[Sequence[float]], float] = statistics.fmean) -> float | None:
        return _over([_number(report.get("metrics", {}).get(name)) for report in evaluators.values()], rule)

    coordinator: Mapping[str, Any] = next(iter(evaluators.values()), {}) if experiment.mode == "federated" else {}
    stopped = coordinator.get("stopped") if status == "completed" else None
    undisturbed = (
        status == "completed"
        and (completed_rounds == experiment.rounds or bool(stopped))
        and not result.lost
        and not any(report.get("disturbed") or report.get("rejected") for report in reports.values())
    )
    durations = [_number(seconds) for report in evaluators.values() for seconds in report.get("round_s", ())]
    summary: dict[str, Any] = {
        "mode": experiment.mode,
        "nodes": experiment.nodes,
        "rounds": experiment.rounds,
        "completed_rounds": completed_rounds,
        "last_round": min(
            (int(report.get("last_round", completed_rounds)) for report in evaluators.values()),
            default=completed_rounds,
        ),
        "seed": experiment.seed,
        "data": experiment.data.label,
        "model": experiment.model.name,
        "task": result.task,
        "parameters": None if result.weights is None else int(result.weights.size),
        score: over(score),
        **_spread(score, over, coordinator),
        "loss": over("loss"),
        "evaluated_on": next(
            (report["evaluated_on"] for report in evaluators.values() if "evaluated_on" in report), None
        ),
        "consensus_distance": _number(result.consensus_distance),
        "baseline": {key: _number(value) for key, value in result.baseline.items()} if result.baseline else None,
        "bytes_sent": earlier.bytes_sent + sum(int(report.get("bytes_sent", 0)) for report in reports.values()),
        "bytes_sent_by_kind": _sums(
            [earlier.bytes_sent_by_kind, *(report.get("bytes_sent_by_kind", {}) for report in reports.values())]
        ),
        "wall_s": round(earlier.wall_s + result.wall_s, 3),
        "baseline_s": None if result.baseline_s is None else round(result.baseline_s, 3),
        "startup_s": None if result.startup_s is None else round(result.startup_s, 3),
        "round_s_median": _over(durations, lambda known: round(statistics.median(known), 6)),
        "nodes_lost": sorted(result.lost),
        "updates_rejected": _sums(report.get("rejected", {}) for report in reports.values()),
        "undisturbed": undisturbed,
        "status": status,
    }
    summary |= {"insecure": True} if experiment.network.insecure else {}
    summary |= stopped or {}
    best, sites = coordinator.get("best"), coordinator.get("sites")
    further: dict[str, Any] = {
        "reason": result.reason,
        "virtual_s": None if result.virtual_s is None else round(result.virtual_s, 6),
        "engine": result.engine,
        "scores": {name: over(name) for name in experiment.evaluation.scorers},
        "best": best and {"round": best["round"], **{key: _number(value) for key, value in best["metrics"].items()}},
        "sites": sites and {key: value for key, value in sites.items() if key != "source"},
        "staleness": coordinator.get("staleness"),
        "mass": _mass(survivors),
        "personal": _personal(survivors, score),
        "class_weights": _class_weights(result.preprocessing or {}),
        "report": dict(result.score_report),
        "site_reports": {name: dict(found) for name, found in sorted(result.site_reports.items())},
        "site_matrix": _site_matrix(result, score),
        "warnings": _lines(reports, "warnings"),
        "lost_because": dict(sorted(result.lost.items())),
    }
    summary |= {key: value for key, value in further.items() if value}
    if status == "completed":
        losses = {name: report["losses"] for name, report in reports.items() if report.get("losses")}
        # With class weights the rare classes are worth some accuracy.
        majority = None if summary.get("class_weights") else result.majority
        flaw = doubt(experiment, result.task, summary[score], majority, losses, list(evaluators))
        summary |= {"doubt": flaw} if flaw else {}
    if sites:
        summary["worst_site"] = sites.get("worst", {}).get("site")
    if result.resumed_after is not None:
        summary["resumed_after"] = result.resumed_after
    summary["disturbances"] = _lines(reports, "disturbed")
    summary["by_node"] = {name: _by_node(report, score) for name, report in sorted(reports.items())}
    if result.regions:
        summary["regions"] = {region: list(clients) for region, clients in result.regions.items()}
        for region, clients in result.regions.items():
            for name in summary["by_node"].keys() & set(clients):
                summary["by_node"][name]["region"] = region
    return summary


def _spread(
    score: str, over: Callable[[str, Callable[[Sequence[float]], float]], float | None], coordinator: Mapping[str, Any]
) -> dict[str, float | None]:
    """Return the least and the greatest score: over the models; of one model, over the sites that have judged it."""
    at_sites = coordinator.get("sites", {}).get("spread", {}).get(score, {})
    found = {f"{score}_{end}": _number(at_sites.get(end)) for end in ("min", "max")}
    return found if None not in found.values() else {f"{score}_min": over(score, min), f"{score}_max": over(score, max)}


def _lines(reports: Mapping[str, Mapping[str, Any]], key: str) -> list[str]:
    return [f"{name}: {line}" for name, report in sorted(reports.items()) for line in report.get(key, ())]


def _evaluators(experiment: Experiment, survivors: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Return the nodes whose figures are the run's: the coordinator, or every peer."""
    role = "coordinator" if experiment.mode == "federated" else "peer"
    return {name: report for name, report in survivors.items() if report.get("role") == role}


def _personal(survivors: Mapping[str, Mapping[str, Any]], score: str) -> dict[str, Any]:
    """Return the mean over the clients' own models, each on its own rows, and the worst of them."""
    found = {name: report["personal"] for name, report in survivors.items() if report.get("personal")}
    scores = {name: figures[score] for name, figures in found.items() if _number(figures.get(score)) is not None}
    if not scores:
        return {}
    worst = min(scores, key=lambda name: scores[name])
    common = [_number(found[name].get(f"global_{score}")) for name in scores]
    return {
        "clients": len(scores),
        score: statistics.fmean(scores.values()),
        f"{score}_min": scores[worst],
        "worst": worst,
        f"global_{score}": _over(common, statistics.fmean),
    }


def _class_weights(agreed: Mapping[str, Any]) -> dict[str, float]:
    """Return how much a row of each class counted in training, by label; empty where all counted the same."""
    return dict(zip(map(str, agreed.get("classes") or ()), agreed.get("class_weights") or (), strict=False))


def _site_matrix(result: RunResult, score: str) -> dict[str, Any]:
    """Return how each site's own model does at the others, beside the model of the run on the same rows."""
    found = result.site_matrix
    if not found:
        return {}
    shared = [_number(result.site_reports.get(name, {}).get(score)) for name in found["sites"]]
    return {"score": score, **found, "shared": shared}


def _mass(survivors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the push-sum mass that the living peers hold and, by name, what dead ones took with them.

    Each peer begins with one. A dead one had that, and what the living have given it beyond what they had of it: in its
    weights, or on the way to it.
    """
    known = {name: report["mass"] for name, report in survivors.items() if report.get("mass")}
    if not known:
        return {}
    gone: dict[str, float] = {}
    for figures in known.values():
        for peer, given in figures["out"].items():
            if peer not in known:
                gone[peer] = gone.get(peer, 1.0) + float(given)
    found: dict[str, Any] = {"held": math.fsum(float(figures["held"]) for figures in known.values())}
    return found | ({"gone": {peer: round(mass, 9) for peer, mass in sorted(gone.items())}} if gone else {})


def _by_node(report: Mapping[str, Any], score: str) -> dict[str, Any]:
    metrics = report.get("metrics", {})
    found: dict[str, Any] = {"role": report.get("role")}
    if report.get("role") != "client":  # a client completes tasks; the coordinator knows which rounds were completed
        found["completed_rounds"] = report.get("completed_rounds")
    found |= {key: _number(metrics[key]) for key in (score, "loss") if key in metrics}
    found |= {"evaluated_on": report["evaluated_on"]} if report.get("evaluated_on") else {}
    found |= {key: report[key] for key in ("alone", "mixed_with") if report.get(key)}
    return found | {key: report.get(key) for key in ("bytes_sent", "bytes_received")}


def _number(value: Any) -> float | None:
    """Return a finite number as it is, and None otherwise: JSON has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def _over(values: Sequence[float | None], rule: Callable[[Sequence[float]], float]) -> float | None:
    known = [value for value in values if value is not None]
    return float(rule(known)) if known and len(known) == len(values) else None


def _sums(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in maps:
        total.update(one)
    return dict(sorted(total.items()))

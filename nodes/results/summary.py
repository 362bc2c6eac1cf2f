"""The result of a run in one map: what the nodes reported, put together without any of them at hand."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..config.schema import Experiment

SCORES = ("accuracy", "r2")


def summarize(
    experiment: Experiment,
    results: Mapping[str, Mapping[str, Any]],
    *,
    status: str = "completed",
    reason: str | None = None,
    task: str = "classification",
    parameters: int | None = None,
    baseline: Mapping[str, float | None] | None = None,
    consensus_distance: float | None = None,
    nodes_lost: Sequence[str] = (),
    suspected: Sequence[str] = (),
    wall_s: float,
    startup_s: float | None = None,
    resumed_after: int | None = None,
    heard: int = 0,
) -> dict[str, Any]:
    """Build ``summary.json`` from what each node reported by request and reply.

    Parameters
    ----------
    results
        By node, what it reported; any key may be missing:
        ``role``; ``completed_rounds``; ``metrics`` (``accuracy`` or ``r2``, ``loss``, ``examples``: the last
        evaluation on the test set, with further scorers by name); ``sites`` (the last event of what they measured);
        ``best`` (``round`` and ``metrics``); ``stopped`` (``stopped_by``, ``reason``); ``bytes_sent``,
        ``bytes_received``; ``bytes_sent_by_kind`` (``weights``, ``control``); ``round_s`` (duration of each of its
        rounds, seconds); ``rejected`` (``{subject: count}``); ``staleness`` (``mean``, ``max``: without rounds);
        ``disturbed`` (reasons, one a line, empty if none); ``warnings`` (a line each); ``personal`` (a client's own
        model, and the final one of all, on its own hold-out); ``mass`` (``held``, and ``out`` by neighbor: push-sum).
    status, reason
        ``completed``, ``failed`` or ``interrupted``, and why.
    baseline
        ``centralised`` and ``local_only_mean``; a value that is not finite means that it diverged.
    nodes_lost, suspected
        Names. Somebody suspected and found again disturbs a run too.
    wall_s, startup_s
        Seconds from the command's start to its end, and to the first round.
    resumed_after
        The round after which this life of the run went on; its bytes and seconds are those of this life alone.
    heard
        The last round of which an event told that it was complete: all that is known where nobody is left to report.

    Returns
    -------
    dict
        JSON-able; what is not known or not finite is None.
    """
    survivors = {name: facts for name, facts in sorted(results.items()) if name not in nodes_lost}
    judges = _judges(experiment, survivors)
    completed = [int(facts["completed_rounds"]) for facts in judges.values() if "completed_rounds" in facts]
    rounds_done = min(completed, default=heard)
    score = "accuracy" if task == "classification" else "r2"
    scores = [_number(facts.get("metrics", {}).get(score)) for facts in judges.values()]
    losses = [_number(facts.get("metrics", {}).get("loss")) for facts in judges.values()]
    judge: Mapping[str, Any] = next(iter(judges.values()), {}) if experiment.mode == "federated" else {}
    stopped = judge.get("stopped") if status == "completed" else None
    undisturbed = (
        status == "completed"
        and (rounds_done == experiment.rounds or bool(stopped))
        and not nodes_lost
        and not suspected
        and not any(facts.get("disturbed") or facts.get("rejected") for facts in results.values())
    )
    summary: dict[str, Any] = {
        "mode": experiment.mode,
        "nodes": experiment.nodes,
        "rounds": experiment.rounds,
        "completed_rounds": rounds_done,
        "seed": experiment.seed,
        "data": experiment.data.label,
        "model": experiment.model.name,
        "parameters": parameters,
        score: _over(scores, statistics.fmean),
        f"{score}_min": _over(scores, min),
        f"{score}_max": _over(scores, max),
        "loss": _over(losses, statistics.fmean),
        "consensus_distance": _number(consensus_distance),
        "baseline": None if baseline is None else {key: _number(value) for key, value in baseline.items()},
        "bytes_sent": sum(int(facts.get("bytes_sent", 0)) for facts in results.values()),
        "bytes_sent_by_kind": _sums(facts.get("bytes_sent_by_kind", {}) for facts in results.values()),
        "wall_s": round(wall_s, 3),
        "startup_s": None if startup_s is None else round(startup_s, 3),
        "round_s_median": _over([_number(s) for facts in judges.values() for s in facts.get("round_s", ())], _median),
        "nodes_lost": sorted(nodes_lost),
        "updates_rejected": _sums(facts.get("rejected", {}) for facts in results.values()),
        "undisturbed": undisturbed,
        "status": status,
    }
    if stopped:
        summary |= stopped
    if reason is not None:
        summary["reason"] = reason
    if experiment.evaluation.scorers:
        summary["scores"] = {name: _mean_of(judges, name) for name in experiment.evaluation.scorers}
    best = judge.get("best")
    if best:
        summary["best"] = {"round": best["round"], **{k: _number(v) for k, v in best["metrics"].items()}}
    sites = judge.get("sites")
    if sites:
        summary["sites"] = {k: v for k, v in sites.items() if k != "source"}
        summary["worst_site"] = sites.get("worst", {}).get("site")
    if judge.get("staleness"):
        summary["staleness"] = judge["staleness"]
    mass = _mass(survivors)
    if mass:
        summary["mass"] = mass
    personal = _personal(survivors, score)
    if personal:
        summary["personal"] = personal
    summary["disturbances"] = [
        f"{name}: {line}" for name, facts in sorted(results.items()) for line in facts.get("disturbed", ())
    ]
    warnings = [f"{name}: {line}" for name, facts in sorted(results.items()) for line in facts.get("warnings", ())]
    if warnings:
        summary["warnings"] = warnings
    if resumed_after is not None:
        summary["resumed_after"] = resumed_after
    summary["by_node"] = {name: _by_node(facts, score) for name, facts in sorted(results.items())}
    return summary


def _judges(experiment: Experiment, survivors: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Whose figures are the run's: the coordinator's, or every peer's."""
    role = "coordinator" if experiment.mode == "federated" else "peer"
    return {name: facts for name, facts in survivors.items() if facts.get("role") == role}


def _mean_of(judges: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    return _over([_number(facts.get("metrics", {}).get(name)) for facts in judges.values()], statistics.fmean)


def _personal(survivors: Mapping[str, Mapping[str, Any]], score: str) -> dict[str, Any]:
    """The clients' own models, each on its own rows: the mean over clients, and who has the worst."""
    told = {name: facts["personal"] for name, facts in survivors.items() if facts.get("personal")}
    scores = {name: figures[score] for name, figures in told.items() if _number(figures.get(score)) is not None}
    if not scores:
        return {}
    worst = min(scores, key=lambda name: scores[name])
    common = [_number(told[name].get(f"global_{score}")) for name in scores]
    return {
        "clients": len(scores),
        score: statistics.fmean(scores.values()),
        f"{score}_min": scores[worst],
        "worst": worst,
        f"global_{score}": _over(common, statistics.fmean),
    }


def _mass(survivors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Say where the push-sum mass is: with the living, and, by name, with those that are gone.

    Each peer begins with one. Who is gone had that and what the living have given it beyond what they had of it: in its
    hands, or on the way to it.
    """
    told = {name: facts["mass"] for name, facts in survivors.items() if facts.get("mass")}
    if not told:
        return {}
    gone: dict[str, float] = {}
    for figures in told.values():
        for peer, given in figures["out"].items():
            if peer not in told:
                gone[peer] = gone.get(peer, 1.0) + float(given)
    found: dict[str, Any] = {"held": math.fsum(float(figures["held"]) for figures in told.values())}
    return found | ({"gone": {peer: round(mass, 9) for peer, mass in sorted(gone.items())}} if gone else {})


def _by_node(facts: Mapping[str, Any], score: str) -> dict[str, Any]:
    metrics = facts.get("metrics", {})
    found: dict[str, Any] = {"role": facts.get("role")}
    if facts.get("role") != "client":  # a client completes tasks; whether a round was completed the coordinator knows
        found["completed_rounds"] = facts.get("completed_rounds")
    found |= {key: _number(metrics[key]) for key in (score, "loss") if key in metrics}
    return found | {key: facts.get(key) for key in ("bytes_sent", "bytes_received")}


def _number(value: Any) -> float | None:
    """A finite number as it is, and None for all else: JSON has no NaN."""
    return float(value) if value is not None and math.isfinite(value) else None


def _over(values: Sequence[float | None], rule: Any) -> float | None:
    """A statistic of the values; unknown as soon as one of them is, since one diverged peer spoils a mean."""
    known = [value for value in values if value is not None]
    return float(rule(known)) if known and len(known) == len(values) else None


def _median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 6)


def _sums(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in maps:
        for key, value in one.items():
            total[key] = total.get(key, 0) + int(value)
    return dict(sorted(total.items()))

"""The result of a run, from its summary: one line, or a table with its baselines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from nervenet.nodes.report.units import duration, score, score_name, size
from nervenet.nodes.runtime.printable import printable

from .site_tables import site_lines

MOST_CLASSES = 8  # whose weights are shown


def result_line(summary: Mapping[str, Any]) -> str:
    name = metric_of(summary)
    parts = [f"{score_name(name)} {score(summary.get(name), 'unknown')}{spread_of(summary, name)}"]
    baseline = summary.get("baseline")
    if baseline:
        parts.append(f"centralised {score(baseline.get('centralised'), 'diverged')}")
    parts.append(f"{summary['completed_rounds']} of {summary['rounds']} rounds in {duration(summary['wall_s'])}")
    if summary.get("stopped_by"):
        parts.append(f"stopped by {summary['stopped_by']}")
    if summary.get("nodes_lost"):
        parts.append(f"lost {', '.join(summary['nodes_lost'])}")
    if summary.get("insecure"):
        parts.append("insecure: not encrypted")
    if summary.get("doubt"):
        parts.append(f"but {summary['doubt']}")
    return printable(", ".join(parts))


def result_rows(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return label, score and remark: of the run, then of its baselines."""
    name = metric_of(summary)
    label = "federated, global model" if summary["mode"] == "federated" else "gossip, mean of peers"
    rows = [(label, score(summary.get(name), "diverged"), spread_of(summary, name).strip())]
    personal = summary.get("personal")
    if personal:
        common = f"global model there {score(personal.get(f'global_{name}'), 'unknown')}"
        low = f"worst {personal['worst']}, {score(personal[f'{name}_min'])}"
        rows.append(("each client's own, on its own rows, mean", score(personal[name]), f"{low}; {common}"))
    baseline = summary.get("baseline")
    if baseline is None:
        return [*rows, ("no baselines were trained", "", "")]
    for key, words in (("centralised", "centralised, all rows"), ("local_only_mean", "each node alone, mean")):
        rows.append((words, score(baseline.get(key), "diverged"), ""))
    return rows


def result_facts(summary: Mapping[str, Any], out: Path) -> list[tuple[str, str]]:
    """Return rounds, bytes, times, losses and the run folder, with labels."""
    kinds = summary.get("bytes_sent_by_kind") or {}
    detail = f" ({', '.join(f'{size(count)} {kind}' for kind, count in kinds.items())})" if kinds else ""
    median, start = summary.get("round_s_median"), summary.get("startup_s")
    pace = "" if median is None else f", {duration(median)} each in the median"
    start_up = "" if start is None else f", of which {duration(start)} to the first round"
    beside = summary.get("baseline_s")
    baselines = "" if beside is None else f"; baselines {duration(beside)}"
    facts = [
        ("rounds", f"{summary['completed_rounds']} of {summary['rounds']}{pace}"),
        *_early(summary),
        *([("but", summary["doubt"])] if summary.get("doubt") else []),
        ("sent", f"{size(summary['bytes_sent'])}{detail}"),
        ("time", f"{duration(summary['wall_s'])}{start_up}{baselines}"),
        ("nodes lost", ", ".join(summary.get("nodes_lost") or ()) or "none"),
    ]
    stale = summary.get("staleness")
    if stale:
        facts.append(("staleness", f"{stale['mean']:.1f} steps in the mean, {stale['max']} at most"))
    rejected = summary.get("updates_rejected")
    if rejected:
        facts.append(("updates rejected", ", ".join(f"{count} of {name}" for name, count in rejected.items())))
    gone = (summary.get("mass") or {}).get("gone")
    if gone:
        facts.append(("push-sum mass gone", ", ".join(f"{mass:.3f} with {name}" for name, mass in gone.items())))
    facts += _class_weights(summary) + _test_rows(summary) + _sites(summary)
    facts.append(("run folder", str(out)))
    return facts


def print_result(summary: Mapping[str, Any], out: Path, file: TextIO) -> None:
    count = summary.get("parameters")
    model = f"{summary['model']}{f' with {count:,} parameters' if count else ''}"
    bold = "\x1b[1m{}\x1b[0m".format if file.isatty() and not os.environ.get("NO_COLOR") else str
    head, rule, best, *others = _compared(summary)
    title = printable(f"{summary['mode']} on {summary['data']}: {summary['nodes']} nodes, {model}")
    lines = ("", bold(title), "", head, rule, bold(best), *others, *site_lines(summary), "", *_facts(summary, out))
    print(*lines, sep="\n", file=file)


def print_seeds(figures: Mapping[str, Any], out: Path, file: TextIO) -> None:
    """Print mean and standard deviation over the seeds of one experiment; see ``nodes.results.seeds``."""
    names = {
        "accuracy": "accuracy",
        "r2": "R²",
        "loss": "loss",
        "baseline.centralised": "centralised, all rows",
        "baseline.local_only_mean": "each node alone, mean",
    }
    seeds = figures["seeds"]
    rows = [("", "mean", "std", *(f"seed {seed}" for seed in seeds))]
    rows += [
        (label, *(score(value, "diverged") for value in (found["mean"], found["std"], *found["values"])))
        for name, label in names.items()
        if (found := figures.get(name))
    ]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for label, *cells in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(cells, wide[1:], strict=True))
        lines.append("   ".join([f" {label:<{wide[0]}}", *numbers]))
    rule = " " + "─" * (len(lines[0]) - 1)
    print("", lines[0], rule, *lines[1:], "", f"run folders under {printable(out)}", sep="\n", file=file)


def metric_of(summary: Mapping[str, Any]) -> str:
    return "r2" if "r2" in summary else "accuracy"


def spread_of(summary: Mapping[str, Any], name: str) -> str:
    """Return the worst and the best peer's score, where there is more than one model."""
    low, high = summary.get(f"{name}_min"), summary.get(f"{name}_max")
    return "" if low is None or high is None or low == high else f" ({score(low)} to {score(high)})"


def _early(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return why the run stopped early, its best round where that is not the last one, and further scores."""
    found = []
    if summary.get("stopped_by"):
        found.append(("stopped by", f"{summary['stopped_by']}: {summary.get('reason', '')}"))
    name, best = metric_of(summary), summary.get("best") or {}
    if best.get(name) is not None and score(best[name]) != score(summary.get(name)):
        text = f"{score(best[name])} in round {best['round']} (best.safetensors)"
        found.append((f"best {score_name(name)}", text))
    scores = summary.get("scores") or {}
    return found + [(key, score(value, "not defined")) for key, value in scores.items()]


def _class_weights(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    weights = summary.get("class_weights") or {}
    shown = [f"{label} {weight:.4g}" for label, weight in list(weights.items())[:MOST_CLASSES]]
    more = [f"{len(weights) - MOST_CLASSES} more"] if len(weights) > MOST_CLASSES else []
    return [("class weights", ", ".join([*shown, *more]))] if weights else []


def _test_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what else is known of the saved model on rows that nobody trained on."""
    report = summary.get("report") or {}
    names = {"macro_f1": "macro F1", "roc_auc": "ROC AUC", "roc_auc_mean": "ROC AUC in the mean of the sites"}
    names |= {"brier": "Brier score", "mae": "MAE", "rmse": "RMSE"}
    found = [f"{name} {report[key]:.4g}" for key, name in names.items() if isinstance(report.get(key), float)]
    label = "rows held out" if report.get("evaluated_on") == "holdout" else "test rows"
    return [(label, f"{report['rows']}: {', '.join(found)}")] if found else []


def _sites(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    sites, name = summary.get("sites"), metric_of(summary)
    if not sites or name not in sites:
        return []
    spread, worst = sites["spread"][name], sites["worst"]
    return [
        ("at the sites", f"{score_name(name)} {score(sites[name])}, standard deviation {score(spread['std'])}"),
        ("worst site", f"{worst['site']} ({score(worst[name])})"),
    ]


def _compared(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of scores: a header, a rule, and a row each."""
    remarks = "worst to best peer" if summary["mode"] == "gossip" else ""
    header = ("", score_name(metric_of(summary)), remarks)
    rows = [tuple(map(printable, row)) for row in (header, *result_rows(summary))]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = (f" {name:<{wide[0]}}   {value:>{wide[1]}}   {remark}".rstrip() for name, value, remark in rows)
    return [head, " " + "─" * (sum(wide) + 6), *lines]


def _facts(summary: Mapping[str, Any], out: Path) -> list[str]:
    facts = [(printable(name), printable(text)) for name, text in result_facts(summary, out)]
    wide = max(len(name) for name, _ in facts)
    return [f"{name:<{wide}}  {value}" for name, value in facts]

"""The outcome of a run as a browser gets it: its figures, and one sentence of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..monitoring.run_view import RunView
from ..report.units import duration, score, score_name
from ..runtime.printable import listed
from .text import number, short

Pair = tuple[float | None, float | None]


def outcome(view: RunView, ends: Pair, times: Pair) -> dict[str, Any]:
    """Return the figures of a run; `ends` are its worst and its best site, `times` when it began and ended."""
    learners = view.training
    status = "stopping" if view.stopping and not view.finished else view.status
    return {
        "run": short(view.run),
        "mode": short(view.mode),
        "data": short(view.data),
        "model": short(view.model),
        "round": view.round,
        "rounds": view.rounds,
        "eta_s": number(view.eta_s()),
        "status": short(status) if view.run else "waiting",
        "reason": short(view.reason),
        "metric_name": view.score_name,
        "metric": number(view.score),
        "worst": ends[0],
        "best": ends[1],
        "loss": number(view.loss),
        "evaluated_on": view.evaluated_on,
        "started": times[0],
        "ended": times[1],
        "seen": view.seen or None,
        "agreeing": short(view.agreeing),
        "target": short(view.target),
        "rate": number(view.rate),
        "insecure": view.insecure,
        "lost": [short(name) for name in view.lost[:20]],
        "nodes": len(learners),
        "living": sum(row.living and row.state != "suspect" for row in learners),
        "baselines": list(view.baselines),
        "finishing": _finishing(view),
    }


def headline(figures: Mapping[str, Any], waiting: Sequence[Mapping[str, Any]], more: int = 0) -> str:
    """Return one sentence: how far the run is, how good, how long it will take, and for whom it waits."""
    if figures["status"] == "waiting":
        return "No run yet."
    said = [_progress(figures)]
    if figures["metric"] is not None:
        band = figures["worst"], figures["best"]
        said.append(f"{score_name(figures['metric_name'])} {score(figures['metric'])}")
        if None not in band:
            said[-1] += f" ({score(band[0])} to {score(band[1])})"
    if figures["eta_s"] is not None and figures["status"] == "running" and not figures["finishing"]:
        said.append(f"about {duration(figures['eta_s'])} to go")
    line = ", ".join(said)
    if figures["lost"]:
        line += f"; lost: {listed(figures['lost'], 3)}"
    if waiting:
        first = waiting[0]
        whom = f"{first['for']}, which {first['why']}" if first["for"] else first["why"]
        others = {wait["for"] for wait in waiting} - {first["for"]}
        line += f"; waiting for {whom}" + (f", and {len(others) + more} more" if others or more else "")
    return f"{line}."


def _finishing(view: RunView) -> str:
    """Return what is still done behind the last round; empty before it, and when that is done, too."""
    if not view.finishing:
        return ""
    done, models = view.baselines
    trained = f"training the baselines: {done} of {models} models" if done < models else "finishing"
    return f"stopped by {short(view.stopping)}, {trained}" if view.stopping else trained


def _progress(figures: Mapping[str, Any]) -> str:
    of = f" of {figures['rounds']}" if figures["rounds"] else ""
    status, reason = figures["status"], figures["reason"]
    if status in ("completed", "failed", "interrupted"):
        said = f"{status.capitalize()} after round {figures['round']}{of}"
        return f"{said}: {reason}" if reason and not reason.startswith(status) else said
    if figures["finishing"]:
        return f"Round {figures['round']}{of} is done, {figures['finishing']}"
    if figures["agreeing"]:
        return f"Round 0: {figures['agreeing']}"
    if status == "starting" or not figures["round"]:
        return f"Starting, {figures['nodes']} nodes so far"
    return f"Round {figures['round']}{of}"

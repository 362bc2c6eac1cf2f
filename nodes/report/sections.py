"""The sections of a run's report, each a function from what is known of the run."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from .chart import draw
from .curves import run_charts
from .page import Child, element, facts, lines, section, table
from .record import RunRecord, finite, mapping
from .units import duration, pace, score, score_name, size

MOST_NODES = 500  # rows of a table
MOST_CLASSES = 40  # of a confusion matrix
MOST_LINES = 100  # warnings and the like
_ROLES = {"coordinator", "client", "peer", "aggregator"}


def outcome(record: RunRecord) -> Element:
    """Return how the run has ended, in a sentence."""
    summary, status = record.summary, record.status
    known = _scored(record)
    done, asked = record.told("completed_rounds"), record.told("rounds")
    parts = [known] if known else []
    parts.append(f"{done if done is not None else len(record.rows)} of {asked} rounds")
    wall = record.figure("wall_s")
    text = f"{status.capitalize()}: {', '.join(parts)}{'' if wall is None else f' in {duration(wall)}'}."
    said = [("Stopped by " + str(summary["stopped_by"]) + ": ") if summary.get("stopped_by") else ""]
    said.append(f"{summary['reason']}." if summary.get("reason") else "")
    doubt = element("p", f"But {summary['doubt']}.") if summary.get("doubt") else None
    insecure = "Not encrypted, and nobody authenticated: anybody on the way may have forged this."
    warned = element("p", insecure) if summary.get("insecure") else None
    why = element("p", *said) if any(said) else None
    good = status == "completed" and not summary.get("doubt")
    return element("div", element("strong", text), why, doubt, warned, class_="outcome" if good else "outcome bad")


def figures(record: RunRecord) -> Element:
    summary, name = record.summary, record.metric
    pairs: list[tuple[str, Child]] = []
    if known := _scored(record, named=False):
        on = {"test": ", on test rows", "holdout": ", on rows that the sites kept"}
        pairs.append((score_name(name), known + on.get(str(summary.get("evaluated_on")), "")))
    for key, label in (("centralised", "centralised, all rows"), ("local_only_mean", "each node alone, mean")):
        if key in mapping(summary.get("baseline")):
            pairs.append((label, score(record.figure(f"baseline.{key}"), "diverged")))
    best = mapping(summary.get("best"))
    if best:
        pairs.append(
            ("best round", f"{best.get('round')}, {score_name(name)} {score(finite(best.get(name)), 'unknown')}")
        )
    pairs += [(key, score(finite(value), "not defined")) for key, value in mapping(summary.get("scores")).items()]
    pairs.append(("loss", score(record.figure("loss"), "unknown")))
    if (distance := record.figure("consensus_distance")) is not None:
        pairs.append(("consensus distance", f"{distance:.4g}, in the unit of the weights"))
    kinds = mapping(summary.get("bytes_sent_by_kind"))
    detail = ", ".join(f"{size(count)} {kind}" for kind, value in kinds.items() if (count := finite(value)) is not None)
    if (sent := record.figure("bytes_sent")) is not None:
        pairs.append(("sent by all nodes", size(sent) + (f" ({detail})" if detail else "")))
    return section("Figures", facts(pairs))


def curves(record: RunRecord) -> Element:
    charts = run_charts(record)
    if not charts:
        return section("Curves", element("p", "No round was completed.", class_="quiet"))
    return section("Curves", element("div", *map(draw, charts), class_="charts"))


def timing(record: RunRecord) -> Element:
    labels = {
        "wall_s": "whole run",
        "startup_s": "up to the first round",
        "round_s_median": "a round, median",
        "baseline_s": "baselines",
        "virtual_s": "by the nodes' simulated clocks",
    }
    pairs = [(label, duration(value)) for key, label in labels.items() if (value := record.figure(key)) is not None]
    if record.rounds_per_s is not None:
        pairs.append(("rounds a second", pace(record.rounds_per_s)))
    return section("Time", facts(pairs) if pairs else element("p", "Not known.", class_="quiet"))


def nodes(record: RunRecord) -> Element:
    """Return what is known of each node: its data, its figures, and what it has moved."""
    by_node = mapping(record.summary.get("by_node"))
    reports, name = mapping(record.summary.get("site_reports")), record.metric
    roles = {node: facts_.get("role") for node, facts_ in record.nodes.items() if facts_.get("role") in _ROLES}
    names = sorted({*by_node, *roles, *record.lost, *reports}, key=_by_number)
    rejected = mapping(record.summary.get("updates_rejected"))
    columns: dict[str, list[Child]] = {
        "role": [mapping(by_node.get(node)).get("role") or roles.get(node) for node in names],
        "region": [mapping(by_node.get(node)).get("region") for node in names],
        "rows": [_count(mapping(record.ready.get(node)).get("examples")) for node in names],
        "held out": [_count(mapping(record.ready.get(node)).get("held_out")) for node in names],
        "rounds": [_count(mapping(by_node.get(node)).get("completed_rounds")) for node in names],
        score_name(name): [score(finite(mapping(by_node.get(node)).get(name))) for node in names],
        "loss": [score(finite(mapping(by_node.get(node)).get("loss"))) for node in names],
        f"{score_name(name)} on its own rows": [score(finite(mapping(reports.get(n)).get(name))) for n in names],
        "own rows": [_count(mapping(reports.get(node)).get("rows")) for node in names],
        "sent": [_size(mapping(by_node.get(node)).get("bytes_sent")) for node in names],
        "received": [_size(mapping(by_node.get(node)).get("bytes_received")) for node in names],
        "refused": [_count(rejected.get(node)) for node in names],
        "state": ["lost" if node in record.lost else "" for node in names],
    }
    shown = {label: cells for label, cells in columns.items() if any(cell not in ("", "0", None) for cell in cells)}
    rows = list(zip(names, *shown.values(), strict=True))
    more = len(rows) - MOST_NODES
    note = element("p", f"And {more:,} more, in summary.json.", class_="quiet") if more > 0 else None
    words = 2 + ("region" in shown)
    return section("Nodes and their data", table(["node", *shown], rows[:MOST_NODES], words=words), note)


def confusion(record: RunRecord) -> Element | None:
    """Return the confusion matrix of the saved model, where there is one and it can be read as a whole."""
    report = mapping(record.summary.get("report"))
    known = mapping(report.get("confusion"))
    labels, matrix = known.get("labels"), known.get("matrix")
    if not isinstance(labels, list) or not isinstance(matrix, list) or not labels:
        return None
    if len(labels) > MOST_CLASSES:
        return section("Confusion matrix", element("p", f"Of {len(labels)} classes: in summary.json.", class_="quiet"))
    rows = [row for row in matrix if isinstance(row, list)]
    body = []
    for label, row in zip(labels, rows, strict=False):
        counts = [finite(count) or 0 for count in row]
        total = sum(counts) or 1
        cells = [_shaded(count, count / total) for count in counts]
        body.append(element("tr", element("th", str(label)), *cells))
    head = element(
        "tr", element("th", "true \\ predicted"), *(element("th", str(label), class_="n") for label in labels)
    )
    whole = element("table", element("thead", head), element("tbody", *body), class_="matrix")
    text = f"The saved model on {report.get('rows')} rows; a row for each true class, shaded by its share."
    return section("Confusion matrix", element("p", text, class_="quiet"), element("div", whole, class_="wide"))


def classes(record: RunRecord) -> Element | None:
    known = mapping(mapping(record.summary.get("report")).get("per_class"))
    if not known or len(known) > MOST_CLASSES:
        return None
    names = ("precision", "recall", "f1")
    rows = [
        (label, *(score(finite(mapping(of).get(name)), "-") for name in names), _count(mapping(of).get("rows")))
        for label, of in known.items()
    ]
    return section("By class", table(["class", *names, "rows"], rows))


def disturbances(record: RunRecord) -> Element:
    """Return who was lost and why, whose messages were refused and why, and what was warned of."""
    parts: list[Child] = []
    if record.lost:
        parts += [element("h3", "Lost"), _listed(f"{name}: {why}" for name, why in sorted(record.lost.items()))]
    rejected = [f"{count} of {name}: {why}" for (name, why), count in sorted(record.rejected.items())]
    counted = {name for name, _ in record.rejected}
    others = mapping(record.summary.get("updates_rejected"))
    rejected += [f"{count} of {name}" for name, count in others.items() if name not in counted and count]
    if rejected:
        parts += [element("h3", "Refused"), _listed(rejected)]
    if told := _texts(record.summary.get("disturbances")):
        parts += [element("h3", "Disturbances"), _listed(told)]
    if record.warnings:
        parts += [element("h3", "Warnings"), _listed(record.warnings)]
    if not record.log_whole:
        parts.append(element("p", "The log is long: of its events, the first and the last were read.", class_="quiet"))
    calm = "Nobody was lost, nothing refused." if record.status == "completed" else "Nothing is recorded."
    return section("What went wrong", *(parts or [element("p", calm)]))


def configuration(record: RunRecord) -> Element:
    named = ("mode", "data", "model", "task", "nodes", "rounds", "seed", "parameters")
    pairs: list[tuple[str, Child]] = [(key, str(value)) for key in named if (value := record.told(key)) is not None]
    of_mode = (
        ("strategy", "participation", "quorum") if record.told("mode") == "federated" else ("topology", "algorithm")
    )
    keys = [f"{record.told('mode')}.{key}" for key in of_mode]
    keys += ["training.epochs", "training.batch_size", "training.learning_rate", "data.partition", "data.alpha"]
    pairs += [(key, str(record.experiment[key])) for key in keys if key in record.experiment]
    whole = element("details", element("summary", "experiment.toml, every key"), lines(record.experiment_text))
    return section("Configuration", facts(pairs), whole if record.experiment_text else None)


def repeat(record: RunRecord) -> Element:
    """Return the commands that run it again."""
    folder, alone = shlex.quote(record.name), _started_alone(record)
    text = (
        "The experiment file in this folder has every key. Where the folder lies, the first line runs it again, "
        "and the second shows both runs over each other. A file that it names must be there, too."
    )
    again = f"nervenet {'simulate' if 'engine' in record.summary else 'launch'} {folder}"
    if alone is not None:
        text += " It takes every node of the run, each at its own site, and a broker between them."
        again = f"nervenet node {shlex.quote(alone)} {folder}/experiment.toml --broker ADDRESS --run NAME"
    return section(
        "How to repeat it",
        element("p", text),
        lines(f"{again} --out again\nnervenet compare {folder} again --out compared.html"),
    )


def _started_alone(record: RunRecord) -> str | None:
    """Return the role of a node that was started without a launcher, whose folder this is."""
    roles = [str(each.get("role")) for each in record.nodes.values()]
    return roles[0] if len(roles) == 1 and roles[0] in _ROLES else None


def _scored(record: RunRecord, *, named: bool = True) -> str:
    name = record.metric
    value, low, high = (record.figure(f"{name}{end}") for end in ("", "_min", "_max"))
    if value is None:
        return ""
    spread = "" if low is None or high is None or low == high else f" ({score(low)} to {score(high)})"
    return f"{score_name(name)} {score(value)}{spread}" if named else f"{score(value)}{spread}"


def _by_number(name: str) -> tuple[str, int, str]:
    """Order client-2 before client-10."""
    stem, _, number = name.rpartition("-")
    return (stem, int(number), name) if number.isdecimal() and len(number) < 18 else (name, 0, name)


def _shaded(count: float, share: float) -> Element:
    return element(
        "td", f"{count:,.0f}", style=f"background: rgba(var(--cell), {min(1.0, max(0.0, share)) * 0.55:.2f})"
    )


def _count(value: object) -> str:
    known = finite(value)
    return "" if known is None else f"{known:,.0f}"


def _size(value: object) -> str:
    known = finite(value)
    return "" if known is None else size(known)


def _texts(value: Any) -> Sequence[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _listed(texts: Iterable[str]) -> Element:
    known = list(texts)
    more = [element("li", f"and {len(known) - MOST_LINES} more")] if len(known) > MOST_LINES else []
    return element("ul", *(element("li", text) for text in known[:MOST_LINES]), *more)


def title(record: RunRecord) -> str:
    shown: Mapping[str, Any] = {key: record.told(key) for key in ("mode", "data", "nodes", "model")}
    return f"{shown['mode']} on {shown['data']}: {shown['nodes']} nodes, {shown['model']}"

"""The model card: what a saved model is, for people, as Markdown with the head that model hubs read (YAML).

What programs read stands in model.json, from which, and from what is known of the run, the card is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

MOST_LISTED = 200  # columns or arrays

Facts = Mapping[str, Any]


def model_card(described: Mapping[str, Any], stem: str, trained: Facts, figures: Facts) -> str:
    """Return the card of a model.

    Parameters
    ----------
    described
        What its model.json says.
    stem
        Of the files' names.
    trained, figures
        How it was trained, and what was measured, by the words of a table; empty values are left out.
    """
    agreed, layout = described["agreement"], described["layout"]
    schema = agreed.get("schema") or {"columns": agreed["columns"], "kinds": ["number"] * len(agreed["columns"])}
    classes = agreed["classes"]
    task = "classification" if classes is not None else "regression"
    name = str(described["model"]["name"])
    head = [
        "---",
        "library_name: nervenet",
        f"pipeline_tag: tabular-{task}",
        f"tags: [{', '.join(_tags(trained))}]",
        "---",
        "",
    ]
    what = f"Predicts one of {len(classes)} classes" if classes is not None else "Predicts a quantity"
    lines = [*head, f"# {_text(name)}", "", f"{what} from {len(schema['columns'])} columns of raw values."]
    lines += _section("How it was trained", _table(("", ""), _rows(trained)))
    lines += _section("Figures", _table(("", ""), _rows(figures)))
    lines += _section("Columns", _table(("column", "kind"), list(zip(schema["columns"], schema["kinds"], strict=True))))
    if classes is not None:
        lines += _section("Classes", [", ".join(map(_text, _some(classes)))])
    lines += _section("Use", _use(stem, name, skops=described.get("estimator") is not None))
    parameters = {k: v for k, v in described["model"]["parameters"].items() if v is not None}
    lines += _section("Parameters of the model", _table(("parameter", "value"), _rows(parameters)))
    shapes = [" x ".join(map(str, shape)) for shape in layout["shapes"]]
    arrays = list(zip(layout["names"], shapes, strict=True))
    lines += _section(f"Arrays, {layout['dtype']}", _table(("name", "shape"), arrays))
    lines += _section("Written with", _table(("package", "version"), _rows(described.get("versions") or {})))
    return "\n".join(lines).rstrip() + "\n"


def _tags(trained: Facts) -> list[str]:
    mode = trained.get("mode")
    return ["federated-learning", *(["gossip-learning"] if mode == "gossip" else [])]


def _use(stem: str, name: str, *, skops: bool) -> list[str]:
    own = f', model="{name}"' if ":" in name else ""
    lines = ["```python", "from nervenet.models import load_model", "", f'model = load_model("{stem}.json"{own})']
    lines += ["model.predict(rows)  # a data frame, or lists in the order of the columns", "```"]
    if skops:
        lines += ["", f"`{stem}.skops` is the same as a fitted scikit-learn object, read by `load_estimator`."]
    return lines


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []


def _rows(facts: Facts) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in facts.items() if value not in (None, "", {}, [], ())]


def _table(header: tuple[str, str], rows: Sequence[tuple[Any, Any]]) -> list[str]:
    if not rows:
        return []
    cells = [f"| {_text(one)} | {_text(other)} |" for one, other in _some(rows)]
    return [f"| {header[0]} | {header[1]} |", "|---|---|", *cells]


def _some(values: Sequence[Any]) -> list[Any]:
    rest = len(values) - MOST_LISTED
    if rest <= 0:
        return list(values)
    more = f"and {rest} more"
    return [*values[:MOST_LISTED], ("…", more) if isinstance(values[0], tuple) else more]


def _text(value: Any) -> str:
    """Return a value as the text of a cell: in one line, without what Markdown or HTML would take for its own."""
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    plain = "".join(c if c.isprintable() else " " for c in shown)
    for mark in "\\`*_|[]":
        plain = plain.replace(mark, f"\\{mark}")
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

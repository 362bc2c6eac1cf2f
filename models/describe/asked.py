"""What a question about a site's table must be before it is answered, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from ..agreement.asked import (
    NAMES,
    Field,
    MalformedQuestion,
    check_fields,
    is_list,
    is_map,
    is_number,
    is_texts,
    is_whole,
    shown,
)
from ..agreement.order_asked import check_order
from ..agreement.questions import Question
from ..tables.table import Kind
from .correlations import CORRELATED

_EVERY = {
    "ask": Field("'describe'", lambda found: found == "describe"),
    "part": Field("a text", lambda found: isinstance(found, str)),
    "min_rows": Field("a whole number from 0", is_whole(0, 2**53)),
}

PARTS: Mapping[str, Mapping[str, Field]] = {
    "columns": {},
    "figures": {"columns": NAMES},
    "ranks": {},  # and what `check_order` wants
    "counts": {"columns": Field("a map of names to edges or categories", is_map)},
    "co-moments": {
        "columns": Field(f"at most {CORRELATED} names, each once", lambda f: is_texts(f) and len(f) <= CORRELATED),
        "center": Field("a list of numbers", lambda found: is_list(found) and all(map(is_number, found))),
    },
}
"""The parts of a description, each with its further fields."""


def check_asked(question: Question) -> None:
    """Raise MalformedQuestion unless a question has what its part needs, and nothing else."""
    part = question.get("part")
    if question.get("ask") != "describe" or not isinstance(part, str) or part not in PARTS:
        raise MalformedQuestion(
            f"a site that describes its table is asked {shown(question.get('ask'))}, part {shown(part)}; allowed: "
            f"'describe', with one of the parts {', '.join(PARTS)}"
        )
    what = f"the question 'describe' (part {part!r})"
    if part == "ranks":
        check_order(what, question, lambda name: isinstance(name, str), _EVERY)
    else:
        check_fields(what, question, {**_EVERY, **PARTS[part]})
    if part == "co-moments" and len(question["center"]) != len(question["columns"]):
        raise MalformedQuestion(
            f"{what} has {len(question['center'])} numbers as center of {len(question['columns'])} columns"
        )


def check_column(question: Question, name: str, kind: Kind, values: NDArray[Any]) -> None:
    """Raise MalformedQuestion unless a column of this kind, with these values, is one that can be asked about so."""
    part = question["part"]
    what = f"the question 'describe' (part {part!r})"
    if kind == "category" and part == "ranks":
        raise MalformedQuestion(f"{what} is about column {name!r}, a {kind} here; expected numbers or dates")
    if kind != "number" and part == "co-moments":
        raise MalformedQuestion(f"{what} is about column {name!r}, a {kind} here; expected numbers")
    if part == "counts":
        cells = question["columns"][name]
        if not (is_texts(cells) if kind == "category" else _are_edges(cells, values)):
            allowed = "a list of categories" if kind == "category" else "rising edges around all values"
            raise MalformedQuestion(f"{what} has {shown(cells)} for column {name!r}, a {kind} here; expected {allowed}")


def _are_edges(found: Any, values: NDArray[Any]) -> bool:
    if not is_list(found) or len(found) < 2 or not all(map(is_number, found)):
        return False
    return all(a < b for a, b in pairwise(found)) and bool(found[0] <= values.min() and values.max() <= found[-1])

"""What a question about a pipeline must be before a site answers it, part by part."""

from __future__ import annotations

from collections.abc import Mapping

from ..agreement.asked import NAME, Field, MalformedQuestion, check_fields, is_list, is_map, is_scalar, shown
from ..agreement.order_asked import check_order
from ..agreement.questions import Question
from .inputs import Inputs
from .targets import MOST_CLASSES

_ASK = Field("'fit'", lambda found: found == "fit")
_LABELS = Field(
    f"a list of at most {MOST_CLASSES} labels",
    lambda found: is_list(found) and len(found) <= MOST_CLASSES and all(map(is_scalar, found)),
)
_MISSING = {"missing": Field("a number, a text, or nil for a gap", is_scalar)}
_FITTED = Field(
    "a map of states, by the paths of steps", lambda found: is_map(found) and all(map(is_map, found.values()))
)

EVERY = {"ask": _ASK, "step": Field("the path of a step", NAME.holds), "part": NAME, "fitted": _FITTED}
"""What each question has; all parts but `outputs` also the class of the step."""

PARTS: Mapping[str, Mapping[str, Field]] = {
    "rows": {},
    "moments": _MISSING,
    "extremes": {},
    "missing": _MISSING,
    "order": {"order": Field("a question about order statistics", is_map), **_MISSING},
    "dtypes": {},
    "values": {},
    "classes": {},
    "moments by class": {"classes": _LABELS},
    "sums by class": {"classes": _LABELS},
    "joint": {},
    "target by category": {"classes": Field("labels, or nil", lambda found: found is None or _LABELS.holds(found))},
    "factor": {},
    "outputs": {},
}
"""The parts that are asked about, each with its further fields."""


def check_asked(question: Question) -> str:
    """Return the part that a question is about. Raises MalformedQuestion unless it has what that part needs."""
    part = question.get("part")
    if not isinstance(part, str) or part not in PARTS:
        raise MalformedQuestion(
            f"the question 'fit' is about the part {shown(part)}, which this version does not know; allowed: "
            f"{', '.join(PARTS)}"
        )
    named = {} if part == "outputs" else {"class": NAME}
    check_fields(f"the question 'fit' (part {part!r})", question, {**EVERY, **named, **PARTS[part]})
    return part


def check_columns(question: Question, inputs: Inputs) -> None:
    """Raise MalformedQuestion for a question about columns that the step does not get."""
    order = question.get("order")
    if order is not None:
        width, what = len(inputs.names), f"{inputs.title}: the question about order statistics"
        ask = {"ask": Field("'order'", lambda found: found == "order")}
        check_order(what, order, lambda place: type(place) is int and 0 <= place < width, ask)

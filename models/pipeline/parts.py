"""What a site answers to each part of a fit, by the part's name."""

from __future__ import annotations

from collections.abc import Callable

from ..agreement.questions import Answer, Question
from . import categories, decomposition, statistics, target_encoder, targets
from .asked import check_columns
from .inputs import Inputs

TOLD: dict[str, Callable[[Question, Inputs], Answer]] = {
    **statistics.TOLD,
    "dtypes": categories.tell_dtypes,
    "values": categories.tell_values,
    "classes": targets.tell_classes,
    "moments by class": targets.tell_moments_by_class,
    "sums by class": targets.tell_sums_by_class,
    "joint": targets.tell_joint,
    "target by category": target_encoder.tell_target_by_category,
    "factor": decomposition.tell_factor,
}


def tell(question: Question, inputs: Inputs) -> Answer:
    """Return a site's answer to a question, which `asked.check_asked` has seen, about the input of a step.

    Raises MalformedQuestion for columns that the step does not get.
    """
    check_columns(question, inputs)
    return TOLD[question["part"]](question, inputs)

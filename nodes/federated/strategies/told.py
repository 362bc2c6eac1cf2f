"""What a strategy needs clients to say of their training: whoever does not, or says what cannot be, is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from .base import Contribution


def lacking(
    metric: str, contributions: Sequence[Contribution], allowed: Callable[[float], bool], what: str
) -> dict[str, str]:
    """Give the clients that did not report a finite `metric` which is allowed, each with the reason."""
    reasons = {}
    for contribution in contributions:
        value = contribution.metrics.get(metric)
        if value is None:
            reasons[contribution.client] = f"{metric} must be reported, found none"
        elif not (isfinite(value) and allowed(value)):
            reasons[contribution.client] = f"{metric} must be {what}, found {value:g}"
    return reasons

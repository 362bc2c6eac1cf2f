"""model.skops: a scikit-learn estimator as its own users know it, with the agreed scales in front."""

from __future__ import annotations

from typing import Any

from .agreement import Agreement
from .model import Model
from .weights import Vector


def export(model: Model, agreement: Agreement, vector: Vector) -> tuple[bytes | None, dict[str, Any] | None]:  # noqa: ARG001
    """Nothing to export for the built-in MLP."""
    return None, None

"""What views read of an event: its fields, whether it is a map or typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.event_types import Event

Fields = Mapping[str, Any] | Event


def number_of(value: Any) -> float | None:
    """Return a field as a number, or None where it is none, or not a number."""
    return float(value) if isinstance(value, int | float) and value == value else None

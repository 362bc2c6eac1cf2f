"""Sizes, durations and scores as text."""

from __future__ import annotations

FOREVER_S = 1e12  # beyond it nobody measured; somebody's event may say so


def size(count: float) -> str:
    """Bytes: 532 B, 12.3 kB, 4.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Seconds: 12 ms, 3.1 s, 2 min 05 s, 1 h 02 min."""
    if not abs(seconds) < FOREVER_S:
        return "forever"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def pace(per_s: float) -> str:
    """How many a second: 1,240, 24.9, 0.0312."""
    if per_s >= 100:
        return f"{per_s:,.0f}"
    return f"{per_s:.1f}" if per_s >= 10 else f"{per_s:.3g}"


def score(value: float | None, missing: str = "") -> str:
    """An accuracy, an R² or a loss, to three or four places that matter."""
    if value is None:
        return missing
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def score_name(name: str) -> str:
    """The metric's name in a table."""
    return "R²" if name == "r2" else name

"""What the answers of a round say, once it has closed: figures over clients. Plain numbers, never arrays."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .round import Round
from .strategies import Contribution

HOLDOUT = "holdout_"  # an update's metrics of the weights it was sent, on the site's own rows kept apart
RESERVED = {"examples", "round", "sites", "source", "spread", "worst"}  # what `site_metrics` says itself
# What clients report of themselves is believed up to here: sums of such figures are finite, and whole numbers of that
# size fit a message.
MOST, MOST_BYTES = 1e100, 2.0**53
MOST_NAMES, LONGEST_NAME = 64, 64  # of metrics: they go into events and reports, which have limits


def closing_fields(current: Round | None, now: float) -> dict[str, Any]:
    if current is None:
        return {}
    fields: dict[str, Any] = {
        "round": current.number,
        "participants": sorted(current.admitted),
        "closed_by": current.closing,
        "duration_s": now - current.opened_at,
    }
    loss = weighted_loss(current.admitted)
    if loss is not None:
        fields["loss"] = loss
    fields |= encoding_figures(current.admitted)
    partial = sorted(name for name, a in current.admitted.items() if a.metrics.get("partial"))
    if partial:
        fields["partial"] = partial
    missing = current.missing(f"no answer when the round closed by {current.closing}")
    if missing:
        fields["missing"] = missing
    return fields


def weighted_loss(admitted: Mapping[str, Contribution]) -> float | None:
    """Average the training losses by examples; None where nobody reported a finite one."""
    return _weighted({n: (a.metrics.get("loss", math.nan), a.examples) for n, a in admitted.items()})


def encoding_figures(admitted: Mapping[str, Contribution]) -> dict[str, Any]:
    """Return the sums ``bytes_raw`` and ``bytes_encoded`` and the mean ``codec_error`` of what clients report.

    Empty where nobody encoded.
    """
    names = ("raw_bytes", "sent_bytes", "codec_error")
    reported = [[a.metrics.get(name, math.nan) for name in names] for a in admitted.values()]
    whole = [figures for figures in reported if all(0 <= f <= MOST_BYTES for f in figures)]
    if not whole:
        return {}
    raw, sent, errors = ([figures[k] for figures in whole] for k in range(3))
    return {
        "bytes_raw": int(math.fsum(raw)),
        "bytes_encoded": int(math.fsum(sent)),
        "codec_error": math.fsum(errors) / len(errors),
    }


def site_metrics(admitted: Mapping[str, Contribution], ratio: float = 100.0) -> dict[str, Any]:
    """Average what the sites measured on their hold-outs by size; empty where no site has one.

    Nobody counts for more than `ratio` times the median site: a size is only a claim. ``spread`` has by metric the
    standard deviation ``std``, the ``min`` and the ``max`` over the sites, each of which counts the same; ``worst`` is
    ``{"site": …, score: …}``.
    """
    rows = {n: a.metrics.get(f"{HOLDOUT}examples", 0.0) for n, a in admitted.items()}
    sizes = {n: int(size) for n, size in rows.items() if 1 <= size <= MOST_BYTES}
    if not sizes:
        return {}
    most = max(1, int(ratio * statistics.median_low(sizes.values())))
    sizes = {n: min(size, most) for n, size in sizes.items()}
    counts = Counter(key.removeprefix(HOLDOUT) for n in sizes for key in admitted[n].metrics if key.startswith(HOLDOUT))
    usual = sorted(name for name in counts if name not in RESERVED and len(name) <= LONGEST_NAME)
    names = sorted(sorted(usual, key=lambda name: -counts[name])[:MOST_NAMES])  # those that most report
    found: dict[str, Any] = {"examples": sum(sizes.values()), "sites": len(sizes), "source": "sites", "spread": {}}
    for name in names:
        pairs = {n: (admitted[n].metrics.get(HOLDOUT + name, math.nan), size) for n, size in sizes.items()}
        mean = _weighted(pairs)
        if mean is None:
            continue
        figures = {n: float(v) for n, (v, _) in pairs.items() if abs(v) <= MOST}
        found[name] = mean
        values = figures.values()
        found["spread"][name] = {"std": statistics.pstdev(values), "min": min(values), "max": max(values)}
        if name in ("accuracy", "r2"):
            worst = min(sorted(figures), key=figures.__getitem__)
            found["worst"] = {"site": worst, name: figures[worst]}
    return found


def _weighted(values: Mapping[str, tuple[float, int]]) -> float | None:
    finite = [(v, n) for _, (v, n) in sorted(values.items()) if abs(v) <= MOST]
    total = sum(n for _, n in finite)
    return sum(v * n for v, n in finite) / total if total else None

"""One attempt at one round: who was asked, who has answered, who is excused, and when that is enough; and what the
answers say once it has closed, figures over clients.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..runtime.event_types import HOLDOUT
from .sampling import round_off
from .strategies import Contribution

RESERVED = {"examples", "weight", "round", "sites", "source", "spread", "worst"}  # what `site_metrics` says itself
# What clients report of themselves is believed up to here: sums of such figures are finite, and whole numbers of that
# size fit a message.
MOST, MOST_BYTES = 1e100, 2.0**53
MOST_NAMES, LONGEST_NAME = 64, 64  # of metrics: they go into events and reports, which have limits


@dataclass(slots=True)
class Round:
    number: int
    attempt: int
    work: str
    asked: tuple[str, ...]
    wanted: int  # answers; fewer than are asked where there is over-selection
    quorum: float
    floor: int  # never close with fewer
    opened_at: float
    strategy_least: int = 0  # nor by quorum with fewer, while more can answer
    admitted: dict[str, Contribution] = field(default_factory=dict)
    excused: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)  # excused only because nothing is heard of them
    closing: str | None = None  # why it takes no more answers
    closed_at: float | None = None
    folding_at: float | None = None
    held: bool = False  # closed, and not folded before the last evaluation is in
    step: int = 0  # which question of round 0 is asked
    failure: str = ""  # why it has failed

    @property
    def key(self) -> tuple[int, int]:
        return self.number, self.attempt

    def awaited(self) -> list[str]:
        return [name for name in self.asked if name not in self.admitted and name not in self.excused]

    @property
    def waiting(self) -> bool:
        """Whether anybody is awaited; of many who are, nobody is looked at for it."""
        return len(self.admitted) + len(self.excused) < len(self.asked) or bool(self.awaited())

    def excuse(self, name: str, reason: str, *, silent: bool = False) -> bool:
        """Wait no longer for a client; true if that is new. A firm reason takes the place of mere silence."""
        if self.closing or name not in self.asked or name in self.admitted:
            return False
        if name in self.excused and (silent or name not in self.silent):
            return False
        self.excused[name] = reason
        (self.silent.add if silent else self.silent.discard)(name)
        return True

    def given_up(self) -> list[str]:
        """Return who will not answer, and is not merely silent."""
        return [name for name in self.excused if name not in self.silent and name not in self.admitted]

    def verdict(self) -> str | None:
        """``all`` or ``quorum`` once the round can close, else None.

        The quorum is a share of those wanted, as far as that many are still able to answer:
        ``ceil(quorum * min(wanted, asked - excused))``, and what the strategy needs.
        """
        if len(self.admitted) < len(self.asked) <= self.wanted and self.quorum == 1 and not self.excused:
            return None  # as while the answers come in of a round that waits for all
        able = len(self.asked) - len([name for name in self.excused if name not in self.admitted])
        share = math.ceil(round_off(self.quorum * min(self.wanted, able)))
        needed = max(share, self.floor, min(self.strategy_least, able))
        if len(self.admitted) < needed:
            return None
        return "all" if len(self.admitted) == len(self.asked) else "quorum"

    def contributions(self) -> tuple[Contribution, ...]:
        return tuple(contribution for _, contribution in sorted(self.admitted.items()))

    def missing(self, why: str) -> dict[str, str]:
        """Return everybody asked who is not in the result, each with the reason."""
        return {name: self.excused.get(name, why) for name in self.asked if name not in self.admitted}


def closing_fields(current: Round | None, now: float) -> dict[str, Any]:
    if current is None:
        return {}
    fields: dict[str, Any] = {
        "round": current.number,
        "participants": sorted(current.admitted),
        "closed_by": current.closing,
        "duration_s": now - current.opened_at,
    }
    if current.closed_at is not None and current.folding_at is not None:
        fields |= {"waiting_s": current.closed_at - current.opened_at, "folding_s": now - current.folding_at}
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
    encoded = [a.metrics for a in admitted.values() if "sent_bytes" in a.metrics]
    reported = [[metrics.get(name, math.nan) for name in names] for metrics in encoded]
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
    """Average what the sites measured on their hold-outs by size, or by the weight of their rows; empty where no site
    has one.

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
    counted = _weights(sizes, admitted, ratio)
    counts = Counter(key.removeprefix(HOLDOUT) for n in sizes for key in admitted[n].metrics if key.startswith(HOLDOUT))
    usual = sorted(name for name in counts if name not in RESERVED and len(name) <= LONGEST_NAME)
    names = sorted(sorted(usual, key=lambda name: -counts[name])[:MOST_NAMES])  # those that most report
    found: dict[str, Any] = {"examples": sum(sizes.values()), "sites": len(sizes), "source": "sites", "spread": {}}
    if counted is not sizes:
        found["weight"] = math.fsum(counted.values())
    for name in names:
        pairs = {n: (admitted[n].metrics.get(HOLDOUT + name, math.nan), size) for n, size in counted.items()}
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


def _weights(sizes: Mapping[str, int], admitted: Mapping[str, Contribution], ratio: float) -> Mapping[str, float]:
    """Return the weights of the sites' hold-outs, where one has some; a row of the others counts as 1."""
    weights = {n: admitted[n].metrics.get(f"{HOLDOUT}weight", math.nan) for n in sizes}
    told = {n: weight for n, weight in weights.items() if 0 < weight <= MOST}
    if not told:
        return sizes
    known = {n: told.get(n, float(size)) for n, size in sizes.items()}
    limit = ratio * statistics.median_low(known.values())
    return {n: min(weight, limit) for n, weight in known.items()}


def _weighted(values: Mapping[str, tuple[float, float]]) -> float | None:
    finite = [(v, n) for _, (v, n) in sorted(values.items()) if abs(v) <= MOST]
    total = sum(n for _, n in finite)
    return sum(v * n for v, n in finite) / total if total else None

"""One experiment with several seeds: what its runs have come to in the mean, and how far they lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nervenet.models.atomic_file import replacing

from ..config.keys import ExperimentError
from ..config.ranges import LARGEST
from .run_dir import PRIVATE, to_json

FILE = "seeds.json"
LONGEST = 80  # characters of what was given that are repeated

FIGURES = ("accuracy", "r2", "loss", "baseline.centralised", "baseline.local_only_mean", "bytes_sent", "wall_s")
"""The figures of a summary that differ by seed."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of ``0,1,2``. Raises ExperimentError unless they are two or more distinct whole numbers."""
    parts = [part.strip() for part in text.split(",")]
    for odd in (part for part in parts if not _is_seed(part)):
        allowed = f"whole numbers up to {LARGEST} with commas between, as in 0,1,2"
        raise ExperimentError(f"--seeds {text[:LONGEST]}: found {odd[:LONGEST]!r}; expected {allowed}")
    seeds = tuple(map(int, parts))
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ExperimentError(f"--seeds {text}: expected two or more distinct seeds; a single one is --seed")
    return seeds


def _is_seed(text: str) -> bool:
    digits = text.isdecimal() and text.isascii() and len(text) <= len(str(LARGEST))
    return digits and int(text) <= LARGEST


def seed_dir(out: Path, seed: int) -> Path:
    """Return the run folder of one seed."""
    return out / f"seed-{seed}"


def prepare(out: Path) -> None:
    """Make the folder that holds the run folders. Raises ExperimentError if that cannot be, or it is not empty."""
    try:
        out.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        taken = next(iter(out.iterdir()), None)
    except OSError as error:
        raise ExperimentError(
            f"{out}: cannot be used for the runs: {error.strerror}; choose a folder by --out"
        ) from None
    if taken is not None:
        raise ExperimentError(f"{out}: is not empty ({taken.name}); choose another folder by --out")


def over_seeds(summaries: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``seeds.json``: `FIGURES` of the summaries by seed, each with mean and standard deviation.

    ``seeds``, and by figure ``mean``, ``std`` (of the sample: divided by n - 1) and ``values`` in the order of the
    seeds. A figure that one run does not have, or that diverged there, has neither mean nor deviation.
    """
    found: dict[str, Any] = {"seeds": list(summaries)}
    for name in FIGURES:
        values = [_figure(summary, name) for summary in summaries.values()]
        known = [value for value in values if value is not None]
        if not known:
            continue
        whole = len(known) == len(values)
        found[name] = {
            "mean": statistics.fmean(known) if whole else None,
            "std": statistics.stdev(known) if whole and len(known) > 1 else None,
            "values": values,
        }
    return found


def write_seeds(out: Path, figures: Mapping[str, Any]) -> None:
    """Write ``seeds.json``, whole or not at all."""
    with replacing(out / FILE) as temporary:
        temporary.write_text(to_json(figures) + "\n", encoding="utf-8")


def _figure(summary: Mapping[str, Any], name: str) -> float | None:
    value: Any = summary
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None

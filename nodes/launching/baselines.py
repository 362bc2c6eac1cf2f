"""Baselines of a run: the same model trained on all rows in one place, and on each node's rows alone."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_statistics import agree

from ..config.factory import build_model, build_site_model
from ..config.schema import Experiment
from ..runtime.report_client import report_once
from .shared_arrays import unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW_BUDGET = 5_000_000  # rows times epochs; beyond it a baseline would cost more than the run that it explains


def too_large(experiment: Experiment, rows: int) -> str | None:
    """Return why the baselines are left out of a run over `rows` training rows, or None."""
    visits = rows * experiment.rounds * experiment.training.epochs
    if visits <= ROW_BUDGET:
        return None
    return f"the baselines are left out: {visits:,} row visits are over the budget of {ROW_BUDGET:,}"


def local_only_mean(
    experiment: Experiment,
    rows: tuple[Any, Any],
    parts: Sequence[Any],
    test: tuple[Any, Any],
    columns: Sequence[str],
    task: str,
    stop: Callable[[], bool],
) -> float | None:
    """Return the mean score of models trained on each node's rows alone, scaled by its own statistics; None if one
    diverged.
    """
    X, y = rows
    classes = (
        build_site_model(build_model(experiment), rows, experiment, columns=columns, task=task).statistics().classes
    )
    scores = [train_and_score(experiment, (X[part], y[part]), test, columns, task, stop, classes) for part in parts]
    return None if any(s is None for s in scores) else float(np.mean([s for s in scores if s is not None]))


def train_and_score(
    experiment: Experiment,
    rows: tuple[Any, Any],
    test: tuple[Any, Any],
    columns: Sequence[str],
    task: str,
    stop: Callable[[], bool],
    classes: tuple[Any, ...] | None = None,
) -> float | None:
    """Return accuracy or R² on the test set, None if it diverged, of a model trained on these rows: for as many epochs
    as the run has in all, from its initial weights, with its optimizer.
    """
    site_model = build_site_model(build_model(experiment), rows, experiment, columns=columns, task=task, test=test)
    statistics = site_model.statistics()
    if classes is not None:
        # A site alone would not even know the classes of which it has no rows; the test set has them all.
        statistics = dataclasses.replace(statistics, classes=classes)
    site_model.build(agree({"alone": statistics}, scale=experiment.data.scaling), experiment.seed)
    training = experiment.training
    work = LocalWork(
        epochs=training.epochs * experiment.rounds,
        local_steps=training.local_steps and training.local_steps * experiment.rounds,
        batch_size=training.batch_size,
    )
    with np.errstate(all="ignore"):
        site_model.train(work, generator(experiment.seed, "baseline", 0, "batches"), stop)
        found = site_model.evaluate("test")
    score = found.get("accuracy", found.get("r2", math.nan))
    return score if math.isfinite(score) else None


async def report_baselines(job: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    experiment = Experiment.from_dict(job["experiment"])
    X, y, X_test, y_test, order, sizes = unpack(descriptors[0])
    parts: list[NDArray[Any]] = np.split(order, np.cumsum(sizes)[:-1])
    stop = threading.Event()

    def compute() -> dict[str, float | None]:
        rows, test = (X, y), (X_test, y_test)
        common = (job["columns"], job["task"], stop.is_set)
        return {
            "centralised": train_and_score(experiment, rows, test, *common),
            "local_only_mean": local_only_mean(experiment, rows, parts, test, *common),
        }

    try:
        found = await asyncio.to_thread(compute)
    except asyncio.CancelledError:
        stop.set()
        raise
    except Exception as error:  # noqa: BLE001  (the run stands without its baselines)
        found = {"failed": f"{type(error).__name__}: {error}"}  # type: ignore[dict-item]
    await report_once(job["report_server"], job["run"], "baseline", "baseline", "result", found)
    return 0

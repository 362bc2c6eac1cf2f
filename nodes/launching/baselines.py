"""Baselines of a run: the same model trained on all rows in one place, and on each node's rows alone."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.broker.events import Publisher
from nervenet.broker.transport import new_incarnation
from nervenet.models.agreement.questions import Answer, Question, settle
from nervenet.models.data.data import rows_of
from nervenet.models.initial_model import start_from
from nervenet.models.model import LocalWork, is_summed
from nervenet.models.rng import generator
from nervenet.models.summed import trainings

from ..config.factory import build_model, build_site_model, initial_model
from ..config.schema import Experiment
from ..runtime.report_client import report_once
from ..runtime.secured import close_gate, security_of
from .baseline_matrix import MOST_SITES, SiteRowsKept, own_hold_outs
from .roll import from_job
from .shared_rows import unpack_rows

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from numpy.typing import NDArray

BASELINE = "baseline"  # the process's name, and its role
ROW_BUDGET = 5_000_000  # rows times epochs; beyond it a baseline would cost more than the run that it explains


def too_large(experiment: Experiment, rows: int, rounds: int) -> str | None:
    """Return why the baselines are left out of a run of so many rounds over `rows` training rows, or None."""
    visits = rows * rounds * experiment.training.epochs
    if visits <= ROW_BUDGET:
        return None
    return f"the baselines are left out: {visits:,} row visits are over the budget of {ROW_BUDGET:,}"


def local_only(
    experiment: Experiment,
    rows: tuple[Any, ...],
    parts: Sequence[Any],
    test: tuple[Any, ...],
    columns: Sequence[str],
    task: str,
    stop: Callable[[], bool],
    done: Callable[[], None] = lambda: None,
    kept: SiteRowsKept | None = None,
) -> tuple[float | None, list[list[float | None]]]:
    """Return what models come to that are trained on each node's rows alone, scaled by its own statistics.

    That is the mean of their scores on the test set, None if one diverged, or has no fit; and where sites have rows
    `kept` of their own, the scores of each model at every site, in the order of the parts. `done` is called after each.
    """
    X, *of_rows = rows
    whole = build_site_model(build_model(experiment), rows, experiment, columns=columns, task=task)
    classes = whole.answer({}).fields["classes"]
    scores: list[float | None] = []
    matrix: list[list[float | None]] = []
    for part in parts:
        own = (rows_of(X, part), *(values[part] for values in of_rows))
        site_model = trained(experiment, own, test, columns, task, stop, classes)
        scores.append(_score(site_model))
        if kept is not None:
            matrix.append(kept.scores(site_model) if scores[-1] is not None else [None] * kept.sites)
        done()
    mean = None if any(s is None for s in scores) else float(np.mean([s for s in scores if s is not None]))
    return mean, matrix


def train_and_score(
    experiment: Experiment,
    rows: tuple[Any, ...],
    test: tuple[Any, ...],
    columns: Sequence[str],
    task: str,
    stop: Callable[[], bool],
    classes: tuple[Any, ...] | None = None,
) -> float | None:
    """Return accuracy or R² on the test set of a model `trained` on these rows; None if it diverged, or has no fit."""
    return _score(trained(experiment, rows, test, columns, task, stop, classes))


def trained(
    experiment: Experiment,
    rows: tuple[Any, ...],
    test: tuple[Any, ...],
    columns: Sequence[str],
    task: str,
    stop: Callable[[], bool],
    classes: tuple[Any, ...] | None = None,
) -> SiteModel:
    """Return a model trained on these rows: for as many epochs as the run has in all, from its initial weights, with
    its optimizer.
    """
    site_model = build_site_model(build_model(experiment), rows, experiment, columns=columns, task=task, test=test)

    def answer(question: Question) -> Answer:
        told = site_model.answer(question)
        # A site alone would not even know the classes of which it has no rows; the test set has them all.
        known = {} if question or classes is None else {"classes": list(classes)}
        return Answer({**told.fields, **known}, told.vector)

    site_model.site = "alone"
    found = settle(site_model.questions(experiment.data.scaling), {site_model.site: answer})
    agreed, saved = found.preprocessing, initial_model(experiment)
    if saved is None:
        site_model.build(agreed, experiment.seed)
        if found.weights is not None:
            site_model.set_weights(found.weights)
    else:
        start_from(saved, site_model, agreed, experiment.data.scaling, experiment.seed)
    training = experiment.training
    work = LocalWork(training.epochs, training.local_steps, training.batch_size)
    rng = generator(experiment.seed, "baseline", 0, "batches")
    with np.errstate(all="ignore"):
        for each in trainings(site_model.model, work, experiment.rounds):
            site_model.train(each, rng, stop)
    return site_model


def _score(site_model: SiteModel) -> float | None:
    try:
        with np.errstate(all="ignore"):
            found = site_model.evaluate("test")
    except ValueError:
        if is_summed(site_model.model):
            return None  # a site's rows alone may have no fit: those of one class, say
        raise
    score = found.get("accuracy", found.get("r2", math.nan))
    return score if math.isfinite(score) else None


async def report_baselines(job: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Train for the job's rounds, publish how far that is, and report what it came to."""
    experiment = dataclasses.replace(Experiment.from_dict(job["experiment"]), rounds=job["rounds"])
    described = {"kinds": job.get("kinds"), "weighted": job.get("weighted", False)}
    (rows, test), (order, sizes, *owners) = unpack_rows(descriptors[0], job["columns"], **described, sets=2)
    parts: list[NDArray[Any]] = np.split(order, np.cumsum(sizes)[:-1])
    kept: SiteRowsKept | None = None
    pooled = rows
    if experiment.mode == "federated" and (experiment.evaluation.sites or experiment.personalized):
        # On what its client keeps neither a site alone trains, nor all together.
        parts, kept = own_hold_outs(experiment, (rows[0], rows[1]), parts, job["task"])
        kept = kept if experiment.evaluation.sites else None
        trained_on = np.sort(np.concatenate(parts))
        pooled = (rows_of(rows[0], trained_on), *(values[trained_on] for values in rows[1:]))
    if owners:
        kept = SiteRowsKept(test[0], test[1], owners[0], len(parts))
    if experiment.evaluation.site_matrix is False or not 1 < len(parts) <= MOST_SITES:
        kept = None
    stop = threading.Event()
    loop, security = asyncio.get_running_loop(), security_of(experiment.network, BASELINE, enrollment=from_job(job))
    publisher = Publisher(BASELINE, BASELINE, job["run"], new_incarnation(), security=security)
    publisher.connect(job["events_in"])
    models = itertools.count()

    def publish() -> None:
        publisher.publish("baseline.progress", done=next(models), models=1 + len(parts), rounds=experiment.rounds)

    def done() -> None:
        loop.call_soon_threadsafe(publish)

    def compute() -> dict[str, Any]:
        began = time.monotonic()
        common = (job["columns"], job["task"], stop.is_set)
        centralised = train_and_score(experiment, pooled, test, *common)
        done()
        alone, scores = local_only(experiment, rows, parts, test, *common, done, kept)
        matrix = {} if kept is None else {"site_matrix": {"rows": kept.rows, "scores": scores}}
        figures = {"centralised": centralised, "local_only_mean": alone}
        return {**figures, **matrix, "seconds": time.monotonic() - began}

    publish()
    try:
        found = await asyncio.to_thread(compute)
    except asyncio.CancelledError:
        stop.set()
        raise
    except Exception as error:  # noqa: BLE001  (the run stands without its baselines)
        found = {"failed": f"{type(error).__name__}: {error}"}
    finally:
        await publisher.close()
    await report_once(job["report_server"], job["run"], BASELINE, BASELINE, "result", found, security=security)
    close_gate(security)
    return 0

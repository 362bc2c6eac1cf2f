"""Between the coordinator and a strategy, built in or a user's: nothing that is no model gets past."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np
from nervenet.models.weights import is_finite

from .base import Contribution, Outcome, State, Strategy, StrategyError, Vector
from .pipeline import without


def guarded(strategy: Strategy, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
    """Apply a strategy and look at what it gives.

    Updates were screened when they arrived. Should one that is not finite be among them all the same, the strategy is
    asked again without it, and it is rejected by name; so is one of values so large that no model can be computed with
    them, if it makes such a model of the others' or none at all. Weights of another floating dtype are cast.

    Raises
    ------
    StrategyError
        The strategy has raised something, whose place in its module is named; or the outcome does not fit, or is
        not finite for another reason, such as differences that overflow.
    """
    # What overflows is found below, and reported as an error with a name rather than as a warning.
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            outcome = _fitting(strategy, weights, _applied(strategy, state, weights, contributions))
            flaw = _not_finite(outcome)
            if flaw is not None:
                raise StrategyError(f"{flaw} must be finite, found NaN or infinity; {_largest(contributions)}")
            huge = _huge(contributions) if _is_huge(outcome.weights) else {}
            if len(huge) in (0, len(contributions)):
                return outcome
            rejected = huge
        except StrategyError:
            rejected = {
                c.client: "values must be finite, found NaN or infinity" for c in contributions if not is_finite(c.body)
            }
            huge = {} if rejected else _huge(contributions)
            if not rejected and len(huge) in (0, len(contributions)):
                raise
            rejected |= huge
        outcome = guarded(strategy, state, weights, without(contributions, rejected))
    return replace(outcome, rejected={**outcome.rejected, **rejected})


def _applied(strategy: Strategy, state: State, weights: Vector, contributions: Sequence[Contribution]) -> Outcome:
    try:
        return strategy.apply(state, weights, contributions)
    except StrategyError:
        raise
    except Exception as error:
        cls = type(strategy)
        file = getattr(sys.modules.get(cls.__module__), "__file__", None)
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
        place = f" ({Path(file).name}, line {lines[-1]})" if file and lines else ""
        raise StrategyError(f"{cls.__name__}.apply raised {type(error).__name__}: {error}{place}") from error


def begun(strategy: Strategy, weights: Vector, population: int) -> State:
    """Ask a strategy what it remembers before round 1.

    Raises
    ------
    StrategyError
        Whatever it raises, by its name.
    """
    try:
        return strategy.init(weights, population)
    except StrategyError:
        raise
    except Exception as error:
        raise StrategyError(f"{type(strategy).__name__}.init raised {type(error).__name__}: {error}") from error


def _fitting(strategy: Strategy, weights: Vector, outcome: Outcome) -> Outcome:
    name, parts = type(strategy).__name__, len(strategy.demands.parts) - 1
    if not isinstance(outcome, Outcome):
        raise StrategyError(f"{name}.apply must give an Outcome, found {type(outcome).__name__}")
    for vector in (outcome.weights, *outcome.outgoing):
        found = getattr(vector, "shape", type(vector).__name__)
        if not isinstance(vector, np.ndarray) or vector.shape != weights.shape or vector.dtype.kind != "f":
            raise StrategyError(f"{name}.apply must give {weights.size} numbers of a floating dtype, found {found}")
    if len(outcome.outgoing) != parts:
        raise StrategyError(f"{name} demands {parts} further parts, and apply gave {len(outcome.outgoing)}")
    for key, array in outcome.state.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise StrategyError(f"{name}'s state {key!r} must be an array of numbers, found {type(array).__name__}")
    if all(vector.dtype == weights.dtype for vector in (outcome.weights, *outcome.outgoing)):
        return outcome
    outgoing = tuple(part.astype(weights.dtype) for part in outcome.outgoing)
    return replace(outcome, weights=outcome.weights.astype(weights.dtype), outgoing=outgoing)


def _not_finite(outcome: Outcome) -> str | None:
    named = {"the next global model": outcome.weights}
    named |= {f"the strategy's {key!r}": array for key, array in outcome.state.items() if array.dtype.kind == "f"}
    named |= {f"the part {place} that goes out": part for place, part in enumerate(outcome.outgoing, 1)}
    return next((name for name, vector in named.items() if not is_finite(vector.reshape(-1))), None)


@cache
def _limit(dtype: np.dtype[Any]) -> float:
    """Return what values must be below: two layers and a squared error take their fourth power."""
    limit: float = float(np.finfo(dtype).max) ** 0.25
    return limit


def _is_huge(weights: Vector) -> bool:
    return not float(np.dot(weights, weights)) < _limit(weights.dtype) ** 2  # one fast read; the values are finite


def _huge(contributions: Sequence[Contribution]) -> dict[str, str]:
    """Name those whose values no model has, so that one Byzantine client cannot end the run."""
    reasons = {}
    for c in contributions:
        largest, limit = float(np.abs(c.body).max(initial=0)), _limit(c.body.dtype)
        if largest >= limit:
            reasons[c.client] = f"values must be below {limit:.3g}, or their powers overflow, found {largest:.3g}"
    return reasons


def _largest(contributions: Sequence[Contribution]) -> str:
    sizes = {c.client: float(np.abs(c.body).max(initial=0)) for c in contributions}
    name = max(sizes, key=lambda client: sizes[client])
    return f"the largest value is {sizes[name]:.3g}, from {name}"

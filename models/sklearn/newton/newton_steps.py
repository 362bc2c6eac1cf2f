"""Newton's method where the loss at a step is known one round later: pure functions of parameters and sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .likelihoods import Vector
from .linear_problem import Arrays, LinearProblem, Pooled

FIRST, TRY, DONE = 0.0, 1.0, 2.0
"""What the present weights are: the first ones; the end of a step to be judged; those that are sought."""

SUFFICIENT = 1e-4
"""Share of the decrease promised by the gradient that a step has to bring (Armijo's condition)."""

ROUNDING = 1e-13
"""Share of the loss below which two losses are the same."""

LEAST_GAIN = 1e-15
"""Share of the loss that a step has to promise, or the present weights are those that are sought."""

RESUMED = 1e-9
"""Share of the loss that a step has to promise for the search to go on, as when the rows are no longer the same."""

NEAR = 1e-3
"""Share of the loss that a step may promise to be taken at the end, when nobody looks at its loss anymore."""

LONGER = 4.0
"""A step is at most so many times as long a share of Newton's as the last one that was taken."""

LEAST_SHARE = 1e-4
"""Where a share of Newton's step below this does not lower a loss that is not convex, it is measured anew."""

OTHER_ROWS = 1e-9
"""Share of the loss by which it is beyond what rounding and a convex loss of the same rows allow."""

STEEP = 100.0
"""A loss so many times as large as before has grown exponentially."""


class Judged(NamedTuple):
    """What the sums say of the weights at which they were made."""

    pooled: Pooled
    accepted: bool
    step: Vector  # to the next weights, where it was accepted
    promise: float  # by how much the step lowers a quadratic loss: half the Newton decrement


def parameter_shapes(problem: LinearProblem) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what goes from round to round, by name; all is zero before the first, but for ``theta``."""
    weights = (problem.size,)
    one: dict[str, tuple[int, ...]] = dict.fromkeys(("state", "steps", "accepted_loss", "slope", "share"), (1,))
    return one | {"theta": weights, "accepted": weights}


def step(problem: LinearProblem, parameters: Mapping[str, Any], sums: Mapping[str, Any]) -> Arrays:
    """Return the next parameters, from the sums of all rows at the present ones.

    A step that does not lower the loss of all rows is shortened to where a parabola through what is known of it has its
    minimum, between a tenth and a half of it (Nocedal & Wright 2006, Numerical Optimization, section 3.5); or, where
    the loss has grown exponentially, to where it is about what it was. Where a step would lower the loss by rounding
    alone, the parameters stay from then on. Where the rows are no longer those of the loss before the step, as when a
    site is lost or has come late, the weights from which it was taken are measured anew.
    """
    now = {name: np.array(value, np.float64) for name, value in parameters.items()}
    judged = judge(problem, now, sums)
    if not judged.accepted:
        return _measured_anew(now) if _of_other_rows(problem, now, judged.pooled) else _shortened(now, judged.pooled)
    gain = judged.promise / (1 + abs(judged.pooled.value))
    if _state(now) == DONE and gain <= RESUMED:
        return now
    now["accepted"], now["accepted_loss"][:] = now["theta"].copy(), judged.pooled.value
    if gain <= LEAST_GAIN:
        now["state"][:], now["slope"][:] = DONE, 0
        return now
    share = min(1.0, LONGER * float(now["share"][0])) or 1.0
    now["theta"] = now["theta"] + share * judged.step
    now["state"][:], now["share"][:], now["slope"][:] = TRY, share, -2 * share * judged.promise
    now["steps"] += 1
    return now


def judge(problem: LinearProblem, parameters: Mapping[str, Any], sums: Mapping[str, Any]) -> Judged:
    """Return whether the weights are taken, and the step from there."""
    theta, state = parameters["theta"], _state(parameters)
    pooled = problem.pooled(sums, theta)
    if not pooled.possible or not (state in (FIRST, DONE) or _lowers(problem, parameters, pooled)):
        return Judged(pooled, False, np.zeros_like(theta), 0.0)
    direction = problem.direction(pooled)
    return Judged(pooled, True, direction, -float(pooled.gradient @ direction) / 2)


def best_weights(parameters: Mapping[str, Any], judged: Judged) -> Vector:
    """Return the weights to use: the last that were taken, and one step more from there where the loss is so near its
    minimum that it is a parabola but for a thousandth.
    """
    if not judged.accepted:
        return np.array(parameters["theta" if _state(parameters) == FIRST else "accepted"], np.float64)
    theta: Vector = np.array(parameters["theta"], np.float64)
    near = _state(parameters) == DONE or judged.promise <= NEAR * abs(judged.pooled.value)
    return theta + judged.step if near else theta


def in_original_units(problem: LinearProblem, theta: Vector, anchor: Vector) -> tuple[Vector, Vector]:
    """Return coefficients (outputs, features) and intercepts (outputs,) for inputs from which no anchor is taken."""
    square = theta.reshape(problem.outputs, problem.width)
    coef = square[:, : problem.n_features].copy()
    if not problem.intercept:
        return coef, np.zeros(problem.outputs)
    return coef, square[:, -1] - coef @ anchor


def _lowers(problem: LinearProblem, parameters: Mapping[str, Any], pooled: Pooled) -> bool:
    """Whether the objective at the present weights is low enough against that at the last accepted ones."""
    loss, slope = float(parameters["accepted_loss"][0]), float(parameters["slope"][0])
    if pooled.value <= loss + SUFFICIENT * slope + ROUNDING * (abs(loss) + abs(pooled.value)):
        return True
    # A convex function that does not rise at the end of a step has not risen on the way: told without a difference of
    # two losses, which has no digits near the minimum.
    moved = parameters["theta"] - parameters["accepted"]
    return problem.convex and float(pooled.gradient @ moved) <= 0


def _of_other_rows(problem: LinearProblem, now: Arrays, pooled: Pooled) -> bool:
    """Whether the loss before a step cannot be that of the present rows, or no step is short enough to lower it."""
    if _state(now) != TRY:
        return False
    if not problem.convex:
        return float(now["share"][0]) < LEAST_SHARE
    if not pooled.possible:
        return False
    # A convex function is nowhere below its tangent at the end of the step.
    before, moved = float(now["accepted_loss"][0]), now["theta"] - now["accepted"]
    least = pooled.value - float(pooled.gradient @ moved)
    return least > before + OTHER_ROWS * (abs(before) + abs(pooled.value))


def _measured_anew(now: Arrays) -> Arrays:
    now["theta"], now["state"][:] = now["accepted"].copy(), FIRST
    return now


def _shortened(now: Arrays, pooled: Pooled) -> Arrays:
    slope, share, before = float(now["slope"][0]), 0.1, float(now["accepted_loss"][0])
    moved = now["theta"] - now["accepted"]
    if pooled.possible and pooled.value > STEEP * abs(before) > 0:
        growth = float(pooled.gradient @ moved) / pooled.value
        share = 1 - np.log(pooled.value / abs(before)) / growth if growth > 0 else share
        share = min(0.5, max(0.01, float(share)))
    elif pooled.possible:
        bend = pooled.value - before - slope
        share = min(0.5, max(0.1, -slope / (2 * bend))) if bend > 0 else 0.5
    now["theta"] = now["accepted"] + share * moved
    now["share"] *= share
    now["slope"] *= share
    return now


def _state(parameters: Mapping[str, Any]) -> float:
    return float(np.rint(parameters["state"][0]))

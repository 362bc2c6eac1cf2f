"""The fold of a round, range by range, by a strategy that works on each number by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from nervenet.models.new_vector import Lend, made_in

from ...large.vectors import Room, Vector, sealed, written
from ...runtime import effects as e
from ...runtime import events as ev
from ..strategies import Contribution, State, Strategy
from ..strategies.safeguards import guarded


class RangeFold:
    """The next model and the next state as far as they are made; both are new vectors, and nothing else is kept.

    Each range is what the strategy makes of that range of all that it would be given: the same numbers as of whole
    vectors, bit by bit.
    """

    def __init__(self, number: int, strategy: Strategy, state: State, room: Room) -> None:
        self.number = number
        self.metrics: dict[str, Any] = {}
        self._strategy = strategy
        self._before = state
        self._room = room
        self._weights: Vector | None = None
        self._state: State = {}

    def fold(self, effect: e.FoldRange) -> ev.RangeFolded:
        """Make one range.

        Raises
        ------
        StrategyError
            The strategy cannot combine these updates, or what it makes of them is no finite model.
        """
        whole: Vector = effect.body
        here = slice(effect.start, effect.start + _length(effect))
        weights = whole[here]
        given = [_range_of(contribution, whole, weights, here) for contribution in effect.contributions]
        state = {name: array[here] if _is_vector(array, whole) else array for name, array in self._before.items()}
        if self._weights is None:
            self._weights = self._room.new(whole.size, whole.dtype)
        place = self._weights[here]
        with made_in(_once(place)):
            outcome = guarded(self._strategy, state, weights, given)
        if outcome.rejected:
            return ev.RangeFolded(effect.number, effect.start, dict(outcome.rejected))
        for name, array in outcome.state.items():  # first, for one of these may be what was made in the place
            self._put(name, array, here, whole)
        if not _is_at(outcome.weights, place):
            place[:] = outcome.weights
        written(self._weights, here.start, here.stop)
        self.metrics |= outcome.metrics
        return ev.RangeFolded(effect.number, effect.start)

    def _put(self, name: str, array: Any, here: slice, whole: Vector) -> None:
        if array.shape != (here.stop - here.start,) or not _is_vector(self._before.get(name), whole):
            self._state[name] = array  # a number or two, which are the same for every range
            return
        if name not in self._state:
            self._state[name] = self._room.new(whole.size, array.dtype)
        self._state[name][here] = array
        written(self._state[name], here.start, here.stop)

    def result(self) -> tuple[Vector, State]:
        """Return the next model and the next state, once all ranges are made."""
        if self._weights is None:
            raise RuntimeError("no range was folded")
        return sealed(self._weights), dict(self._state)


def _once(place: Vector) -> Lend:
    """Lend the place where a range will be: the sum of many updates is made there, and need not be copied."""
    left = [place.view(np.uint8)]
    return lambda nbytes: left.pop() if left and nbytes == place.nbytes else None


def _is_at(vector: Vector, place: Vector) -> bool:
    return bool(vector.ctypes.data == place.ctypes.data and vector.strides == place.strides)


def _length(effect: e.FoldRange) -> int:
    """Return how long the range is: as long as the shortest body, for others may be whole vectors."""
    return min(len(contribution.body) for contribution in effect.contributions)


def _range_of(contribution: Contribution, whole: Vector, weights: Vector, here: slice) -> Contribution:
    body = contribution.body if len(contribution.body) == len(weights) else contribution.body[here]
    # The very range of the model where a client started from it: strategies tell by that which terms are the same.
    base = weights if contribution.base is whole else contribution.base[here]
    return replace(contribution, body=body, base=base)


def _is_vector(array: Any, whole: Vector) -> bool:
    return isinstance(array, np.ndarray) and array.shape == whole.shape

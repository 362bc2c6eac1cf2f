"""Of which rounds a peer keeps a state, and after which round peers that were all killed go on together.

A peer that was killed with all the others can go on only where they can: after a round of which each holds a state. No
peer is ahead of a neighbor by more than a round or so, and each writes at a pace of its own. So all write rounds that
are multiples of a power of two: of two peers that write every 4th and every 8th round, the one has whatever the other
has. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..runtime import effects as e

EVERY_S = 0.5  # rounded up to a power of two of rounds, at most twice that: shorter ones are cheaper to run again
ALONE = 16  # peers in one process, up to which each writes as often as one that is there by itself
SHARE = 10  # times as long as the last write took, at the least, between two beginnings
LONGEST = 4096  # rounds between two
NEWEST = 4  # kept of whatever was written, for one that turns out to be damaged
COARSER = (2, 2, 2, 1, 1, 1)  # kept of the multiples of 2, 4, 8, ... strides, for peers that are as much slower
DEPTH = 2  # states on their way to the disk
MOST_HELD = 64  # rounds that a peer may say it holds
ROUNDS = "rounds"  # that fact, with a survey


class NoCommonCheckpoint(ValueError):
    """There is no round of which every peer holds a state; the message says what each has."""


class CheckpointPolicy:
    """Asks for states of rounds that are multiples of `stride` to be written, and knows which are `held`.

    The stride at most doubles from one to the next: in the beginning, when no peer knows its pace yet, all write 1, 2,
    4, 8, ... The first one is kept permanently: it is the one that all have.
    """

    def __init__(self, *, wanted: bool, held: Collection[int] = (), every_s: float = EVERY_S) -> None:
        self.held = sorted(held)
        self.stride = 1
        self._wanted = wanted
        self._every_s = every_s
        self._saving: dict[int, tuple[float, tuple[int, ...]]] = {}  # when it was asked for, and what goes with it
        self._abandoned: list[int] = []
        self._outdated: set[int] = set()  # of those that are being saved
        self._widest = 1
        self._first: int | None = None
        self._took_s = 0.0
        self._pace_s: float | None = None  # seconds a round, of late
        self._before: float | None = None
        self._warned = False

    @property
    def fields(self) -> dict[str, Any]:
        return {ROUNDS: list(self.held[-MOST_HELD:])} if self.held else {}

    def resumed(self, number: int) -> None:
        """Rounds go on after this one: what was kept of later ones is of a future that is run anew."""
        self._abandoned += [each for each in self.held if each > number]
        self.held = [each for each in self.held if each <= number]
        self._outdated = {each for each in self._saving if each > number}
        if self._first not in self.held:
            self._first = number if number in self.held else None

    def completed(self, number: int, now: float, agreement: Mapping[str, Any], *, last: bool) -> list[e.Effect]:
        """Ask for the state after a round if it is one to keep; the `last` one is."""
        if self._before is not None:
            took = now - self._before
            self._pace_s = took if self._pace_s is None else 0.9 * self._pace_s + 0.1 * took
        self._before = now
        if not self._wanted:
            return []
        self.stride = self._stride()
        due = number % self.stride == 0 and len(self._saving) < DEPTH
        if not (due or last):
            return []
        self._widest = 2 * self.stride
        self._first = number if self._first is None else self._first
        keep = self._worth({*self.held, number})
        forget = (*(each for each in self.held if each not in keep), *(n for n in self._abandoned if n != number))
        self._saving[number] = (now, forget)
        return [e.SaveState(number, {"agreement": dict(agreement)}, forget, last)]

    def saved(self, number: int, now: float) -> list[e.Effect]:
        began, forgotten = self._saving.pop(number, (now, ()))
        self._took_s = now - began
        self._abandoned = [each for each in self._abandoned if each not in forgotten and each != number]
        self.held = sorted({*self.held, number}.difference(forgotten, self._outdated))
        self._abandoned += self._outdated.intersection([number])
        self._outdated.discard(number)
        self._warned = False
        return []

    def failed(self, number: int, now: float, reason: str) -> list[e.Effect]:
        began, _ = self._saving.pop(number, (now, ()))
        self._outdated.discard(number)
        self._took_s = now - began
        warned, self._warned = self._warned, True
        reason = f"{reason}; should all peers be killed, they can go on only from an earlier round"
        return [] if warned else [e.Publish("warning", {"reason": reason})]

    def _stride(self) -> int:
        if not self._pace_s:
            return self.stride
        wanted = max(self._every_s, SHARE * self._took_s) / self._pace_s
        stride = 1
        while stride < min(wanted, LONGEST):
            stride *= 2
        return min(stride, self._widest)

    def _worth(self, held: Collection[int]) -> set[int]:
        newest = sorted(held, reverse=True)
        worth = {*newest[:NEWEST], *(each for each in newest if each == self._first)}
        for doublings, count in enumerate(COARSER, 1):
            worth.update([each for each in newest if each % (self.stride << doublings) == 0][:count])
        return worth


def pause_s(peers: float) -> float:
    """Return the least time between two states of a peer that shares its process with so many.

    All of them write by the same processors and to the same disk, and take as long to run again together.
    """
    return EVERY_S * max(1.0, peers / ALONE)


def common_round(held: Mapping[str, Collection[int]]) -> int:
    """Return the newest round that all hold, 0 where nobody holds any.

    Raises
    ------
    NoCommonCheckpoint
    """
    sets = [set(rounds) for rounds in held.values()]
    if not any(sets):
        return 0
    common = set.intersection(*sets)
    if common:
        return max(common)
    lists = "; ".join(f"{name} has {_listed(rounds)}" for name, rounds in sorted(held.items()))
    raise NoCommonCheckpoint(f"there is no round that every peer could go on from: {lists}")


def rounds_held(origin: str, fields: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the rounds that a peer says it holds.

    Raises
    ------
    NoCommonCheckpoint
        They are none.
    """
    rounds = fields.get(ROUNDS, ())
    whole = (
        isinstance(rounds, list | tuple) and len(rounds) <= MOST_HELD and all(type(n) is int and n > 0 for n in rounds)
    )
    if not whole:
        raise NoCommonCheckpoint(
            f"the rounds that {origin} holds must be at most {MOST_HELD} numbers from 1, found {rounds!r:.80}"
        )
    return tuple(rounds)


def _listed(rounds: Collection[int]) -> str:
    return ", ".join(str(number) for number in sorted(rounds)) or "none"

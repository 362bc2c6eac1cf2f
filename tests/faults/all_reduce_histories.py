"""Histories of a run whose rounds are all-reduces, and what must hold in each.

What befalls the peers is drawn as for the other algorithms (`gossip_drawn`). Each promise gives its breaches:

1. ``ends`` and ``waits`` are those of `gossip_promises`: everybody who is left does all rounds, and no round lasts
   longer than its training, the deadline after it, and the time for which its peer was stopped.
2. ``once``: an incarnation closes each round at most once, in order, and is in each all-reduce at most once.
3. ``bits``: all that closed an all-reduce whole have the same model after it, to the bit; and of every part of it that
   anybody has, all have the same bits, and agree on who is in it.
4. ``parts``: a part is the mean of what those who are in it had there, as federated averaging takes it; a part that is
   not reduced is as the peer had it.
5. ``mends``: once it has been calm for a while, every round is one all-reduce of all who live, whole, with nobody left
   out.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from gossip_drawn import CALM_AT, DEADLINE_S, TRAIN_S, History, draw
from gossip_histories import Incarnation, Played, Pretended
from gossip_promises import MENDED_S, ended_alone, ends, waits
from nervenet.broker import messages as m
from nervenet.models.aggregate import weighted_mean
from nervenet.nodes.gossip.all_reduce.exchange import Exchange
from nervenet.nodes.gossip.all_reduce.rounds import AllReduceRounds
from nervenet.nodes.gossip.all_reduce.worker import AllReduceWorker
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.worker import Cancellation

WIDE = 11  # numbers of the model: of ten peers one has two of them, of five each two or more

Breaches = Iterator[str]
Label = tuple[str, int, int]


def draw_all_reduce(seed: int) -> History:
    return dataclasses.replace(draw(seed), algorithm="all-reduce", topology="complete")


@dataclass
class Closed:
    """How one peer closed a round: what it had trained, the all-reduce it was in, if any, and its model after it."""

    number: int
    at: float
    trained: Any
    label: Label | None = None
    group: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
    reduced: dict[str, tuple[bytes, tuple[str, ...]]] = dataclasses.field(default_factory=dict)  # who is missing
    after: Any = None

    @property
    def whole(self) -> bool:
        return self.label is not None and all(
            owner in self.reduced or not len(self.part(owner)) for owner in self.group
        )

    def part(self, owner: str) -> slice | Any:
        place = self.group.index(owner)
        return range(self.ends[place - 1] if place else 0, self.ends[place])


class Wide(Pretended):
    """A site model of `WIDE` numbers, which trains on as many examples as its name has it."""

    layout = SimpleNamespace(size=WIDE, dtype="float64", hash="a1b2")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.x = np.zeros(WIDE)
        self.target = np.random.default_rng(sum(name.encode())).standard_normal(WIDE)
        self.examples = 1 + sum(name.encode()) % 7

    def train(self, *_: Any) -> Any:
        report = super().train()
        report.examples = self.examples
        return report


class Watched:
    """The deployed machine, and the diary of its rounds."""

    def __init__(self, incarnation: Incarnation, diary: list[Closed]) -> None:
        self.incarnation = incarnation
        self.diary = diary

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        incarnation, machine = self.incarnation, self.incarnation.machine
        if isinstance(event, ev.LinkUp):
            incarnation.links[event.peer] = event.incarnation
        rounds = machine.rounds
        assert isinstance(rounds, AllReduceRounds)
        trained = rounds._open.trained
        effects = machine.handle(event, now)
        incarnation.opened.setdefault(machine.round, now)
        for effect in effects:
            if isinstance(effect, e.Gather):
                incarnation.closed[effect.round] = now
                body = rounds._open.trained if rounds._open.trained is not None else trained
                self.diary.append(closed(effect, now, body, rounds.exchange))
        return effects


def closed(effect: e.Gather, now: float, trained: Any, exchange: Exchange | None) -> Closed:
    if exchange is None:
        return Closed(effect.round, now, trained)
    call = exchange.call
    return Closed(
        effect.round,
        now,
        trained,
        (call.leader, call.incarnation, call.number),
        exchange.group,
        exchange.ends,
        {owner: (bytes(result.body.tobytes()), result.missing) for owner, result in exchange.results.items()},
    )


class PlayedAllReduce(Played):
    """Plays a history; `diaries` has by incarnation the rounds it has closed."""

    def __init__(self, history: History) -> None:
        self.diaries: dict[tuple[str, int], list[Closed]] = {}
        super().__init__(history)

    def _add(self, name: str, incarnation: int, state: PeerMachine) -> None:
        site: Any = Wide(name)
        work = AllReduceWorker(site, self.algorithm, node=name, seed=self.history.seed)
        self.current[name] = one = Incarnation(name, incarnation, state, work, self.sim.now)
        self.incarnations.append(one)
        diary = self.diaries[name, incarnation] = []
        one.node = self.sim.add(name, self._watched(one, diary), self._worker(one))

    def _watched(self, incarnation: Incarnation, diary: list[Closed]) -> e.Machine:
        return Watched(incarnation, diary)

    def _worker(self, incarnation: Incarnation) -> Callable[[e.Effect], tuple[float, ev.Event | None]]:
        work, name = incarnation.work, incarnation.name
        others = super()._worker(incarnation)

        def do(job: e.Effect) -> tuple[float, ev.Event | None]:
            match job:
                case e.ApplyAgreement():
                    start = np.zeros(WIDE)
                    work.begin(start)
                    return 0.001, ev.ModelReady({"columns": ["x"]}, m.Payload("a1b2", "float64", WIDE), start)
                case e.Train():
                    return TRAIN_S * self.paces.get(name, 1.0), work.train(job, lambda: False)
                case e.Split():
                    return 0.0, work.perform(job, Cancellation())  # type: ignore[return-value]
                case e.Reduce():
                    return 0.001, work.perform(job, Cancellation())  # type: ignore[return-value]
                case e.Gather(number):
                    mixed = work.perform(job, Cancellation())
                    assert isinstance(mixed, ev.Mixed)
                    diary = self.diaries[name, incarnation.number]
                    assert diary[-1].number == number
                    diary[-1].after = mixed.body
                    return 0.001, mixed
                case e.Forget():
                    return 0.0, None
            return others(job)

        return do


def of(run: PlayedAllReduce) -> Iterator[tuple[Incarnation, Closed]]:
    for incarnation in run.incarnations:
        for each in run.diaries[incarnation.name, incarnation.number]:
            yield incarnation, each


def once(run: PlayedAllReduce) -> Breaches:
    for incarnation in run.incarnations:
        diary = run.diaries[incarnation.name, incarnation.number]
        labels = [each.label for each in diary if each.label]
        if len(set(labels)) != len(labels):
            yield f"{incarnation.name} was in an all-reduce twice"
        for before, after in itertools.pairwise(diary):
            if after.number <= before.number and before.label is not None:
                yield f"{incarnation.name} went from round {before.number}, in {before.label}, to {after.number}"


def by_label(run: PlayedAllReduce) -> dict[Label, list[tuple[Incarnation, Closed]]]:
    found: dict[Label, list[tuple[Incarnation, Closed]]] = {}
    for incarnation, each in of(run):
        if each.label is not None:
            found.setdefault(each.label, []).append((incarnation, each))
    return found


def bits(run: PlayedAllReduce) -> Breaches:
    for label, closings in by_label(run).items():
        if len({(each.number, each.group) for _, each in closings}) > 1:
            yield f"{label} is of several rounds or groups"
        whole = {each.after.tobytes() for _, each in closings if each.whole and each.after is not None}
        if len(whole) > 1:
            yield f"{label}: {len(whole)} models after a whole all-reduce"
        for owner in closings[0][1].group:
            if len({each.reduced[owner] for _, each in closings if owner in each.reduced}) > 1:
                yield f"{label}: the part of {owner} is not the same for all"


def parts(run: PlayedAllReduce) -> Breaches:
    for label, closings in by_label(run).items():
        had = {incarnation.name: each.trained for incarnation, each in closings}
        for incarnation, each in closings:
            for owner in each.group if each.after is not None else ():
                part = each.part(owner)
                got = each.after[part.start : part.stop]
                if owner not in each.reduced:
                    if not np.array_equal(got, each.trained[part.start : part.stop]):
                        yield f"{label}: {incarnation.name} has in the part of {owner} neither its own nor the mean"
                    continue
                names = [name for name in each.group if name not in each.reduced[owner][1]]
                if any(name not in had for name in names):
                    continue  # one of them has not lived to close it
                examples = [Wide(name).examples for name in names]
                weights = [count / sum(examples) for count in examples]
                mean = weighted_mean([had[name][part.start : part.stop] for name in names], weights)
                if not np.array_equal(got, mean):
                    yield f"{label}: the part of {owner} at {incarnation.name} is not the mean over {names}"


def mends(run: PlayedAllReduce) -> Breaches:
    lives = [one for one in run.incarnations if one.left and not ended_alone(one)]
    if len(lives) < 2:
        return
    last: dict[int, dict[str, tuple[Incarnation, Closed]]] = {}  # one that was alone does rounds again
    for one, each in of(run):
        if one in lives:
            last.setdefault(each.number, {})[one.name] = one, each
    at = CALM_AT + MENDED_S + DEADLINE_S
    late = {number for number, done in last.items() if min(each.at for _, each in done.values()) > at}
    numbers = sorted(number for number in late if number < run.rounds - 1)
    if not numbers:
        yield f"no round of {run.rounds} was closed after {at} s"
    for number in numbers:
        closings = list(last[number].values())
        there = {one.name for one, _ in closings}
        if there != {one.name for one in lives}:
            yield f"round {number}, long after: only {sorted(there)} closed it"
        elif len({each.label for _, each in closings}) > 1 or not all(each.whole for _, each in closings):
            yield f"round {number}, long after: it is not one whole all-reduce"
        elif any(missing for _, each in closings for _, missing in each.reduced.values()):
            yield f"round {number}, long after: somebody is left out"


def whole_rounds(run: PlayedAllReduce) -> tuple[int, int]:
    """Return how many closings were whole, and how many there were."""
    closings = [each for _, each in of(run)]
    return sum(each.whole for each in closings), len(closings)


def breaches(run: PlayedAllReduce) -> list[str]:
    """Return every breach found in a history that has been played, with the promise that it breaks in front."""
    return [f"{promise.__name__}: {each}" for promise in PROMISES for each in promise(run)]


PROMISES: tuple[Callable[[Any], Breaches], ...] = (ends, waits, once, bits, parts, mends)

"""The peer's machine of gossip learning: models walk, learn where they come, and are merged by age (Ormándi, Hegedűs &
Jelasity 2013, Concurrency and Computation 25(4), Algorithms 1 and 2; Hegedűs, Danner & Jelasity 2021, JPDC 148).

Once a period a peer sends its model, or a part of it, to a neighbor drawn at random, or saves a token for an answer
later on. Of each model that comes it makes its next one, by the recipe of a variant; nobody answers, nobody waits. RW
updates what comes and passes it on, so each model is a random walk over the data. MU merges it with another and updates
the result; UM updates both and merges them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Literal

from nervenet.broker import messages as m
from nervenet.models.rng import generator

from ...config.ranges import Count, Positive, Share
from ...runtime import effects as e
from ...runtime import events as ev
from ..rules import PeerRules
from .machine import AsyncPeerMachine
from .model_merge import RULES, WHOLE, Part, ages_after, layered, strided
from .token_account import STRATEGIES, TokenAccount

DRAWS = 2**48  # seeds of samples


class Act(Enum):
    """A step of making a model: of the one that came (`a`) and the other (`b`)."""

    MERGE = "a <- merge(b, a)"
    UPDATE = "a <- update(a)"
    UPDATE_OTHER = "b <- update(b)"


RECIPES: Mapping[str, tuple[Act, ...]] = {
    "rw": (Act.UPDATE,),
    "mu": (Act.MERGE, Act.UPDATE),
    "um": (Act.UPDATE, Act.UPDATE_OTHER, Act.MERGE),
}
"""How each variant makes the next model."""


@dataclass(frozen=True, slots=True)
class WalkingModel:
    """A model on its way: a handle of its weights, and the age of each of its parts in updates."""

    body: Any
    ages: tuple[int, ...] = (0,)

    @property
    def age(self) -> int:
        """Of its oldest part: where the schedule of its learning rate stands."""
        return max(self.ages)

    def updated(self, body: Any, steps: int) -> WalkingModel:
        """Return what an update of so many steps makes of it: all parts have learned."""
        return WalkingModel(body, tuple(age + steps for age in self.ages))

    def with_merged(self, body: Any, part: int, theirs: int) -> WalkingModel:
        """Return what merging a part of that age into it makes of it."""
        return WalkingModel(body, ages_after(self.ages, part, theirs))


def useful(mine: int, theirs: int) -> bool:
    """Return whether a model has learned at least as much as one's own (Danner & Jelasity 2018, section 4)."""
    return theirs >= mine


@dataclass(frozen=True)
class GossipLearning:
    """Models that walk (Ormándi et al. 2013; Hegedűs et al. 2021): arguments under ``[gossip]``."""

    directed: ClassVar[bool] = True
    varying: ClassVar[bool] = True

    variant: Literal["rw", "mu", "um"] = "mu"  # rw: update; mu: merge, then update; um: update both, then merge
    merge: Literal["age", "mean"] = "age"  # weights proportional to the ages, or "mean"
    # merge with the peer's own model (2021), or with the "last" that came before (2013)
    against: Literal["own", "last"] = "own"
    # proactive: a model every period; the others answer at once, tokens allowing
    tokens: Literal["proactive", "simple", "generalized", "randomized"] = "proactive"
    capacity: int = 20  # tokens that can be saved: the longest burst
    reactivity: int = 10  # generalized, randomized: 1 spends all there is, the larger the more is saved
    period_s: Positive = 0.1  # well above the time of a training, or most of what comes is superseded
    parts: Count = 1  # a message holds one of so many parts, each with an age of its own
    layers: bool = False  # the parts are the arrays of the model
    share: Share = 1.0  # or a random share of the elements
    queue: Count = 8  # models that may wait for the training that runs, one a neighbor

    def __post_init__(self) -> None:
        self.token_account()
        partial = [key for key in ("parts", "layers", "share") if getattr(self, key) != getattr(type(self), key)]
        if len(partial) > 1:
            raise ValueError(f"{' and '.join(partial)}: a message holds one kind of part; give one of them")
        if partial and (self.variant != "mu" or self.against != "own"):
            raise ValueError(
                f"{partial[0]}: a part of a model can only be merged into one's own: variant 'mu', against 'own'; "
                f"found variant {self.variant!r}, against {self.against!r}"
            )

    def token_account(self) -> TokenAccount:
        """Return a peer's account; a ``ValueError`` says what capacity and reactivity must be."""
        return TokenAccount(STRATEGIES[self.tokens](self.capacity, self.reactivity))

    def machine(self, rules: PeerRules) -> GossipLearningMachine:
        return GossipLearningMachine(rules, self)


@dataclass
class Making:
    a: WalkingModel
    b: WalkingModel
    part: Part
    acts: list[Act]
    came: WalkingModel
    sender: str = ""
    loss: float | None = None


class GossipLearningMachine(AsyncPeerMachine):
    def __init__(self, rules: PeerRules, walk: GossipLearning) -> None:
        super().__init__(rules)
        self.walk = walk
        self.model = WalkingModel(None)
        self.token_account = walk.token_account()
        self.parts: tuple[Part, ...] = (WHOLE,)
        self._previous = self.model  # the one that came before
        self._inbox: dict[str, tuple[WalkingModel, Part]] = {}
        self._making: Making | None = None
        self._jobs = 0
        self._merging = 0  # the number of the merge that was asked for last
        self._outgoing: dict[int, tuple[str, m.Walk]] = {}  # parts that are being copied out, and for whom
        self._trainings = 0
        self._ticks = 0
        self._sends = 0
        self._received = 0
        self._active_at = 0.0

    @property
    def weights(self) -> ev.Body:
        return self.model.body

    @property
    def clock(self) -> float:
        return float(self.model.age)

    def _ready(self, settled: ev.ModelReady) -> None:
        if self.walk.layers:
            self.parts = layered(settled.sizes)
        elif self.walk.parts > 1:
            self.parts = strided(min(self.walk.parts, settled.payload.length))
        self.model = self._previous = WalkingModel(settled.body, (round(settled.clock),) * len(self.parts))

    # -------------------------------------------------------------------------------------------------- time: sending

    def _settle(self, event: ev.ModelReady, now: float) -> list[e.Effect]:
        # Each begins somewhere in its period, or all would send at once forever.
        phase = float(generator(self.rules.seed, self.rules.name, "phase").random())
        timers: list[e.Effect] = [
            e.SetTimer(("period",), now + phase * self.walk.period_s),
            e.SetTimer(("idle",), now + self.rules.timing.deadline_s),
        ]
        self._active_at = now
        return [*super()._settle(event, now), *timers]

    def _own_timer(self, key: ev.Key, now: float) -> list[e.Effect]:
        match key:
            case ("period",):
                self._ticks += 1
                again = e.SetTimer(key, now + self.walk.period_s)
                if self.token_account.tick(self._draw("token", self._ticks)):
                    return [again, *self._send()]
                return [again]
            case ("idle",):
                due = self._active_at + self.rules.timing.deadline_s
                if now < due:
                    return [e.SetTimer(key, due)]
                self._active_at = now
                again = e.SetTimer(key, now + self.rules.timing.deadline_s)
                if self.status != "training" or self._making:
                    return [again]
                return [again, *self._make(Making(self.model, self.model, WHOLE, [Act.UPDATE], self.model), now)]
            case _:
                return []

    def _draw(self, what: str, number: int) -> float:
        return float(generator(self.rules.seed, self.rules.name, number, what).random())

    def _send(self) -> list[e.Effect]:
        living = self.neighbors.living
        if not living or self.settled is None or self._closing:
            return []
        self._sends += 1
        rng = generator(self.rules.seed, self.rules.name, self._sends, "walk")
        peer = living[int(rng.integers(len(living)))]
        part = self.parts[int(rng.integers(len(self.parts)))] if len(self.parts) > 1 else self.parts[0]
        draw, size = 0, self.settled.payload.length
        if self.walk.share < 1:
            draw = 1 + int(rng.integers(DRAWS))
            part = _sample(draw, self.walk.share, size)
        payload = m.Payload(self.settled.payload.layout, self.settled.payload.dtype, part.length(size))
        message = m.Walk(self.model.ages[part.number], part.number, draw, payload)
        self.stats.sent(peer)
        if part == WHOLE:
            return [e.Send((peer,), message, self.model.body)]
        self._jobs += 1
        self._outgoing[self._jobs] = (peer, message)
        return [e.CopyPart(self._jobs, self.model.body, part)]

    # -------------------------------------------------------------------------------------------------------- receiving

    def _message(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        match event.message:
            case m.Walk() as message:
                return self._came(event, message, now)
            case m.Refused(about=about, reason=reason):
                return [e.Publish("warning", {"subject": event.sender, "reason": f"{about} was refused: {reason}"})]
            case _:
                return []

    def _came(self, event: ev.Arrived, message: m.Walk, now: float) -> list[e.Effect]:
        sender = event.sender
        if self.settled is None:
            self.stats.late(sender)
            return []
        size = self.settled.payload.length
        part = self._part_of(message, size)
        if part is None:
            what = f"part {message.part} (draw {message.draw}) of {len(self.parts)} parts"
            return [*self._refuse(sender, "walk", 0, "length", what), *self._reject(sender, what)]
        fault = self._unfit(event, message.payload, part.length(size))
        if fault:
            return [*self._refuse(sender, "walk", 0, *fault), *self._reject(sender, fault[1])]
        self._received += 1
        if self.status != "training":
            return []  # it rests, and learns no more
        self.stats.received(sender, event.nbytes)
        if self._inbox.pop(sender, None):
            self.stats.superseded(sender)
        ages = (0,) * part.number + (message.age,) + (0,) * (len(self.parts) - part.number - 1)
        self._inbox[sender] = (WalkingModel(event.body, ages), part)
        if len(self._inbox) > self.walk.queue:
            oldest = next(iter(self._inbox))
            del self._inbox[oldest]
            self.stats.superseded(oldest)
        return self._next_model(now)

    def _part_of(self, message: m.Walk, size: int) -> Part | None:
        if self.walk.share < 1:
            return _sample(message.draw, self.walk.share, size) if message.draw and not message.part else None
        return self.parts[message.part] if message.part < len(self.parts) and not message.draw else None

    @property
    def _age(self) -> int:
        return self.model.age

    # ------------------------------------------------------------------------------------------------- making the next

    def _begin(self, now: float) -> list[e.Effect]:
        self.cycle += 1
        return self._next_model(now)

    def _next_model(self, now: float) -> list[e.Effect]:
        if self._making or not self._inbox or self.status != "training":
            return []
        sender = next(iter(self._inbox))
        came, part = self._inbox.pop(sender)
        other = self._previous if self.walk.against == "last" else self.model
        return self._make(Making(came, other, part, list(RECIPES[self.walk.variant]), came, sender), now)

    def _make(self, making: Making, now: float) -> list[e.Effect]:
        self._active_at = now
        self._making = making
        return self._act(now)

    def _act(self, now: float) -> list[e.Effect]:
        making = self._making
        assert making is not None  # noqa: S101  (only called while one is being made)
        if not making.acts:
            return self._made(now)
        act, a, b = making.acts[0], making.a, making.b
        if act is Act.MERGE:
            number = making.part.number
            shares = RULES[self.walk.merge](b.ages[number], a.ages[number])
            self._jobs += 1
            self._merging = self._jobs
            return [e.Merge(self._jobs, b.body, a.body, shares, making.part)]
        model = a if act is Act.UPDATE else b
        self._trainings += 1
        return self._train(self._trainings, model.body, now, float(model.age))

    def _trained(self, event: ev.Trained, now: float) -> list[e.Effect]:
        making = self._making
        if making is None or event.round != self._trainings or making.acts[0] is Act.MERGE:
            return []
        steps = round(event.metrics.get("steps", 1))
        making.loss = event.metrics.get("loss", making.loss)
        if making.acts.pop(0) is Act.UPDATE:
            making.a = making.a.updated(event.body, steps)
        else:
            making.b = making.b.updated(event.body, steps)
        return self._act(now)

    def _combined(self, event: ev.Combined, now: float) -> list[e.Effect]:
        if event.number in self._outgoing:
            peer, message = self._outgoing.pop(event.number)
            return [e.Send((peer,), message, event.body)]
        making = self._making
        if making is None or event.number != self._merging or making.acts[0] is not Act.MERGE:
            return []
        making.acts.pop(0)
        number = making.part.number
        making.a = making.b.with_merged(event.body, number, making.a.ages[number])
        return self._act(now)

    def _made(self, now: float) -> list[e.Effect]:
        making, self._making = self._making, None
        assert making is not None  # noqa: S101
        number = making.part.number
        is_useful = useful(self.model.ages[number], making.came.ages[number])
        self.model = making.a
        effects: list[e.Effect] = []
        if making.sender:
            self._previous = making.came
            for _ in range(self.token_account.react(is_useful, self._draw("reaction", self._received))):
                effects += self._send()
        participants = [making.sender] if making.sender else []
        effects += self._complete(now, participants, making.loss, 0)
        return [*effects, *self._next(now)]


def _sample(draw: int, share: float, size: int) -> Part:
    return Part(sample=(draw, max(1, round(share * size)), size))

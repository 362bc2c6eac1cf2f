"""One all-reduce, as a peer of its group sees it: whose part is whose, what has come of it, who is out of it."""

from __future__ import annotations

from dataclasses import dataclass

from nervenet.broker.messages import Call, Payload, ReducedPart, ReducePart
from nervenet.models.schedule import mean_clock

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.payload_checks import Fault, payload_fault


@dataclass(frozen=True)
class Contribution:
    """A peer's numbers, of the whole vector or in one part of it, and the examples that they weigh."""

    body: ev.Body
    examples: int
    clock: float


@dataclass(frozen=True)
class Result:
    """The mean of a part, over all of the group but those `missing`."""

    body: ev.Body
    clock: float
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A part as it has come."""

    message: ReducePart | ReducedPart
    body: ev.Body
    nbytes: int


class Exchange:
    """Collects what comes to the part of `me`, and the results of all parts; says what is sent.

    `gone` are those of whom nothing more is expected, each with the reason; what has come of them counts all the same.
    Where the owner of a part is gone without its result, each peer keeps what it has there. `number` is that of the
    effects of this one, at this peer; `whole` describes its vector, `mine`.
    """

    def __init__(
        self,
        number: int,
        call: Call,
        of_round: int,
        group: tuple[str, ...],
        me: str,
        whole: Payload,
        mine: Contribution,
    ) -> None:
        self.number = number
        self.call = call
        self.round = of_round
        self.group = group
        self.me = me
        self.mine = mine
        self.others = tuple(peer for peer in group if peer != me)
        self.ends = tuple(whole.length * place // len(group) for place in range(1, len(group) + 1))
        self.parts: dict[str, ev.Body] = {}  # of this peer's own vector, by owner
        self.results: dict[str, Result] = {}  # by owner
        self.gone: dict[str, str] = {}
        self._whole = whole
        self._came: dict[str, Contribution] = {}  # to this peer's part
        self._reducing = False

    def split(self, bodies: tuple[ev.Body, ...]) -> None:
        """Take the parts of this peer's own vector."""
        self.parts = dict(zip(self.group, bodies, strict=True))
        self._came[self.me] = Contribution(self.parts[self.me], self.mine.examples, self.mine.clock)

    def take(self, sender: str, part: Part) -> Fault | None:
        """Count what has come, the first of each kind; return what is wrong with it."""
        message = part.message
        if sender not in self.others:
            return "payload", f"{sender} is not of the group that was called"
        owner = sender if isinstance(message, ReducedPart) else self.me
        fault = payload_fault(message.payload, self._payload(owner))
        if fault is None and isinstance(message, ReducedPart) and not set(message.missing) < set(self.group):
            fault = "payload", "missing must be some of the group that was called"
        if fault:
            self.gone.setdefault(sender, fault[1])
        elif isinstance(message, ReducedPart):
            self.results.setdefault(sender, Result(part.body, message.clock, message.missing))
        elif not self._reducing:
            self._came.setdefault(sender, Contribution(part.body, message.examples, message.clock))
        return fault

    # ------------------------------------------------------------------------------------------- what is asked and sent

    def part_for(self, owner: str) -> e.Send | None:
        if not self._length(owner) or owner in self.gone:
            return None
        message = ReducePart(self.round, self.call, self._payload(owner), self.mine.examples, self.mine.clock)
        return e.Send((owner,), message, self.parts[owner])

    def result_for(self, peers: tuple[str, ...]) -> e.Send | None:
        """Return what tells those who are there the mean of this peer's part; None before there is one."""
        result, to = self.results.get(self.me), tuple(peer for peer in peers if peer not in self.gone)
        if result is None or not to:
            return None
        message = ReducedPart(self.round, self.call, self._payload(self.me), result.clock, result.missing)
        return e.Send(to, message, result.body)

    def reduce(self) -> e.Reduce | None:
        """Ask for the mean of this peer's part, in name order, once all have come of whom anything is expected."""
        if self._reducing or not self._length(self.me) or self.unsent:
            return None
        self._reducing = True
        came = [each for _, each in sorted(self._came.items())]
        return e.Reduce(self.number, [each.body for each in came], [each.examples for each in came])

    def reduced(self, body: ev.Body) -> None:
        """Take the mean of this peer's part."""
        came = [each for _, each in sorted(self._came.items())]
        examples = [each.examples for each in came]
        clock = mean_clock([each.clock for each in came], examples if sum(examples) else [1] * len(came))
        self.results[self.me] = Result(body, clock, tuple(peer for peer in self.group if peer not in self._came))

    def gather(self) -> e.Gather:
        """Ask for what the parts come to; of a whole all-reduce, all of its peers ask for the same."""
        bodies = [self.results[owner].body if owner in self.results else own for owner, own in self.parts.items()]
        clocks = [self.results[owner].clock for owner in self.group if owner in self.results]
        return e.Gather(self.round, bodies or [self.mine.body], clocks[0] if clocks else self.mine.clock)

    # -------------------------------------------------------------------------------------------------- how far it is

    @property
    def unsent(self) -> list[str]:
        """Whose numbers the part of this peer still waits for."""
        if self._reducing or not self._length(self.me):
            return []
        return [peer for peer in self.others if peer not in self._came and peer not in self.gone]

    @property
    def unreduced(self) -> list[str]:
        """Owners whose results are still to come, or never will."""
        return [owner for owner in self.group if owner not in self.results and self._length(owner)]

    @property
    def complete(self) -> bool:
        return bool(self.parts) and all(owner in self.gone for owner in self.unreduced)

    def missing(self, reason: str) -> dict[str, str]:
        """Return which others are left out of a part, or have not told the mean of theirs, with why."""
        out = {peer for result in self.results.values() for peer in result.missing} | set(self.unreduced)
        return {peer: self.gone.get(peer, reason) for peer in sorted(out) if peer != self.me}

    @property
    def left_out(self) -> dict[str, list[str]]:
        """By owner, who is not in the mean of its part."""
        return {owner: list(result.missing) for owner, result in sorted(self.results.items()) if result.missing}

    def _length(self, owner: str) -> int:
        place = self.group.index(owner)
        return self.ends[place] - (self.ends[place - 1] if place else 0)

    def _payload(self, owner: str) -> Payload:
        return Payload(self._whole.layout, self._whole.dtype, self._length(owner))


class EarlyParts:
    """Parts that have come before the call they are of: of each sender those of one call, which is all it can send."""

    def __init__(self) -> None:
        self._held: dict[str, dict[type, Part]] = {}

    def keep(self, sender: str, part: Part) -> None:
        held = self._held.setdefault(sender, {})
        if any(other.message.call != part.message.call for other in held.values()):
            held.clear()
        held[type(part.message)] = part

    def take(self, call: Call) -> list[tuple[str, Part]]:
        """Return what belongs to a call, and forget it."""
        found = []
        for sender, held in sorted(self._held.items()):
            kinds = [kind for kind, part in held.items() if part.message.call == call]
            found += [(sender, held.pop(kind)) for kind in kinds]
        self._held = {sender: held for sender, held in self._held.items() if held}
        return found

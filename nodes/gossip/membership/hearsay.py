"""What is said of a member that only it may say: each claim is put to the member itself, a few at a time. Pure.

Nobody but a member itself can add it to the list, bring it back, or say that it has left: its own message is believed,
because it came over its own connection. Of others' claims a peer remembers whom to ask, and who was wrong too often.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from nervenet.broker.messages import MemberState

OPEN = 4  # members asked at a time: each may cost two connections
QUEUED = 64  # claims that wait, in all
OF_ONE = 16  # and by the word of one peer
AGAIN_S = 10.0  # before the same is asked again, and for as long as a claim waits
REMEMBERED = 512  # claims that have been asked about
WRONG = 6  # claims without an answer in `PROBATION_S`, after which a peer's claims are not followed for as long
PROBATION_S = 60.0


@dataclass(slots=True)
class Claim:
    """That a member is in a state, by whose word; `at`: heard then, or asked then."""

    state: MemberState
    sender: str
    at: float


class Hearsay:
    """Claims that wait for their turn, and those that are open: asked, and not answered yet."""

    def __init__(self) -> None:
        self.open: dict[str, Claim] = {}
        self._waiting: dict[str, Claim] = {}
        self._asked: OrderedDict[tuple[str, int, int, str], float] = OrderedDict()
        self._wrong: dict[str, deque[float]] = {}
        self._said: dict[str, float] = {}

    def hear(self, state: MemberState, sender: str, now: float) -> None:
        """Remember to ask, unless it has been asked lately, or the sender's claims fill their place."""
        key = (state.node, state.incarnation, state.refutations, state.state)
        if state.node in self.open or self.distrusts(sender, now) or now < self._asked.get(key, -AGAIN_S) + AGAIN_S:
            return
        known = self._waiting.get(state.node)
        if known is None:
            of_one = sum(claim.sender == sender for claim in self._waiting.values())
            if of_one >= OF_ONE or len(self._waiting) >= QUEUED:
                return
        elif (known.state.incarnation, known.state.refutations) >= (state.incarnation, state.refutations):
            return
        self._waiting[state.node] = Claim(state, sender, now)

    @property
    def busy(self) -> bool:
        return bool(self.open or self._waiting)

    def concerns(self, node: str) -> bool:
        return node in self.open or node in self._waiting

    def next(self, now: float, quiet: Callable[[MemberState], bool]) -> list[Claim]:
        """Return what is to be asked now: of those members that are `quiet`, since any other speaks for itself."""
        found: list[Claim] = []
        for node, claim in list(self._waiting.items()):
            if now >= claim.at + AGAIN_S:
                del self._waiting[node]
            elif len(self.open) < OPEN and quiet(claim.state):
                del self._waiting[node]
                self.open[node] = Claim(claim.state, claim.sender, now)
                found.append(claim)
                self._remember(claim.state, now)
        return found

    def answered(self, node: str) -> None:
        """Take note that a member has spoken for itself."""
        self.open.pop(node, None)
        self._waiting.pop(node, None)

    def unanswered(self, now: float, within_s: float) -> list[Claim]:
        """Return the claims about which nobody has answered in time; nobody is asked about those any longer."""
        late = [claim for claim in self.open.values() if now >= claim.at + within_s]
        for claim in late:
            del self.open[claim.state.node]
        return late

    def wrong(self, sender: str, now: float) -> bool:
        """Count a claim that was wrong; return whether it is to be said now that the sender is on probation."""
        times = self._wrong.setdefault(sender, deque(maxlen=WRONG))
        times.append(now)
        if not self.distrusts(sender, now) or now < self._said.get(sender, -PROBATION_S) + PROBATION_S:
            return False
        self._said[sender] = now
        for node in [node for node, claim in self._waiting.items() if claim.sender == sender]:
            del self._waiting[node]
        return True

    def distrusts(self, sender: str, now: float) -> bool:
        times = self._wrong.get(sender)
        return times is not None and len(times) == WRONG and now < times[0] + PROBATION_S

    def due(self, within_s: float) -> list[float]:
        return [claim.at + within_s for claim in self.open.values()]

    def _remember(self, state: MemberState, now: float) -> None:
        self._asked[state.node, state.incarnation, state.refutations, state.state] = now
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)

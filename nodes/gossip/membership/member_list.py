"""Who is there, by all that has been said: a list that converges whatever order the states arrive in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace
from nervenet.broker.messages import MemberState

MOST = 2**53  # refutations that can be said
ORDER = {"alive": 0, "suspect": 1, "dead": 2, "left": 3}
REPEATS = 3  # times log2(n): how often one state is passed on (the lambda of SWIM, section 4.1)
AT_ONCE = 8  # states that travel on one message


def rank(state: MemberState) -> tuple[int, int, int]:
    """Return what is larger of the newer of two states of a member (SWIM, section 4.2, with incarnations in front).

    A later incarnation outweighs all of an earlier one; within an incarnation what the member itself said last
    outweighs all that others had said before; and of those left over the worse outweighs the better.
    """
    return state.incarnation, state.refutations, ORDER[state.state]


@dataclass(frozen=True, slots=True)
class Change:
    """A member's state is another than before; the owner of the list acts on it.

    `state` is ``alive`` (it is new, or here again), ``suspect``, ``dead`` (until it says otherwise), ``left``, or
    ``restarted``: the same name in a new incarnation, whatever its state before. Of this node itself: ``superseded``
    by a newer incarnation of its name, or ``readmitted`` after it had been called dead. `last` is the last round of one
    that left.
    """

    peer: str
    state: str
    incarnation: int
    addresses: Mapping[str, str]
    reason: str = ""
    last: int = 0


class MemberList:
    """The newest state of each member; `me` is what this node says of itself."""

    def __init__(self, me: MemberState, others: Iterable[MemberState] = ()) -> None:
        self.me = me
        self.known: dict[str, MemberState] = {state.node: state for state in others if state.node != me.node}

    def __contains__(self, node: object) -> bool:
        return node in self.known

    def in_state(self, *states: str) -> list[str]:
        return sorted(node for node, state in self.known.items() if state.state in states)

    def present(self) -> list[str]:
        return sorted([self.me.node, *self.in_state("alive", "suspect")])

    def take(self, state: MemberState, reason: str = "") -> Change | None:
        """Take in a state of another member; return what it changes, None where it is old."""
        before = self.known.get(state.node)
        if before is not None and rank(state) <= rank(before):
            return None
        if not state.addresses and before is not None:
            state = replace(state, addresses=before.addresses)
        self.known[state.node] = state
        if before is not None and before.incarnation < state.incarnation and state.state in ("alive", "suspect"):
            return _change(state, "restarted", reason)
        if before is None and state.state in ("dead", "left"):
            return None  # it was gone before this node knew of it
        if before is None or before.state != state.state:
            return _change(state, state.state, reason)
        return None

    def say(self, node: str, state: str, reason: str = "", last: int = 0) -> tuple[MemberState, Change | None]:
        said = replace(self.known[node], state=state, last=last)
        return said, self.take(said, reason)

    def refute(self, state: MemberState) -> MemberState | None:
        """Answer a state of this node in this incarnation that is worse than it is; None if it is not."""
        mine = self.me
        if state.incarnation != mine.incarnation or rank(state) <= rank(mine):
            return None
        self.me = replace(mine, refutations=min(state.refutations + 1, MOST))
        return self.me

    def all(self) -> tuple[MemberState, ...]:
        return tuple(state for _, state in sorted({**self.known, self.me.node: self.me}.items()))


class BroadcastQueue:
    """States that still travel: each on `REPEATS` log2(n) messages, the freshest first.

    After as many a state has reached all n with a probability of at least 1 - 1/n (SWIM, section 4.1).
    """

    def __init__(self) -> None:
        self._carried: dict[str, tuple[MemberState, int]] = {}  # by member: one state supersedes the other

    def put(self, state: MemberState) -> None:
        self._carried[state.node] = (state, 0)

    def take(self, members: int, first: Iterable[str] = ()) -> tuple[MemberState, ...]:
        """Return what travels on the next message: at most `AT_ONCE`, those of `first` before others."""
        limit = REPEATS * max(1, math.ceil(math.log2(members + 1)))
        wanted = set(first)
        queue = sorted(self._carried.items(), key=lambda item: (item[0] not in wanted, item[1][1], item[0]))
        chosen = []
        for node, (state, times) in queue[:AT_ONCE]:
            chosen.append(state)
            if times + 1 < limit:
                self._carried[node] = (state, times + 1)
            else:
                del self._carried[node]
        return tuple(chosen)


def _change(state: MemberState, to: str, reason: str) -> Change:
    return Change(state.node, to, state.incarnation, state.addresses, reason, state.last)

"""Round 0 for a peer that was started again since it began: it answers the open question, and does not ask itself.

It does not know what the others have answered before, and need not: a question is complete in itself. What all have
agreed on it is told in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from .survey_flood import Position, SurveyFlood

TOO_FAR = 2  # questions that another cannot be ahead, unless this peer has forgotten its own answers


class CatchingUp:
    """Both ends of it: the `followers` are neighbors that are told, `following` is whether this peer is."""

    def __init__(self, flood: SurveyFlood) -> None:
        self.followers: set[str] = set()
        self.following = False
        self._flood = flood
        self._agreement: Mapping[str, Any] | None = None
        self._done = False
        self._before: tuple[bool, Position] | None = None  # where this peer was when it was last told a question

    @property
    def waiting(self) -> bool:
        """Whether this peer waits for the others to tell what comes next."""
        return self.following and not self._done

    def tell(self, peer: str) -> list[e.Effect]:
        """Tell a neighbor where round 0 is; a node that is no member only that it is not over."""
        flood, over = self._flood, self._agreement is not None
        if over and flood.step < TOO_FAR:
            return []  # it comes to the same by the answers that it is sent
        member = peer in flood.members
        if member:
            self.followers.add(peer)
        question = dict(flood.question) if member and not over else None
        agreement = dict(self._agreement) if self._agreement is not None and member else None
        return [e.Send((peer,), m.CatchUp(flood.step, question, agreement))]

    def tell_all(self) -> list[e.Effect]:
        return [effect for peer in sorted(self.followers) for effect in self.tell(peer)]

    def remind(self, peers: Collection[str]) -> list[e.Effect]:
        """Tell those again who may have missed it."""
        late = [peer for peer in sorted(self.followers.intersection(peers)) if peer not in self._flood.surveys]
        return [effect for peer in late for effect in self.tell(peer)]

    def agreed(self, agreement: Mapping[str, Any]) -> list[e.Effect]:
        self._agreement = agreement
        return self.tell_all()

    def take(self, source: str, told: m.CatchUp, *, late: bool) -> list[e.Effect]:
        """Go where the others are, if this peer cannot get there by itself.

        One that comes `late` takes no agreement so: it is given a model.
        """
        flood = self._flood
        behind = late or self.following or told.step >= flood.step + TOO_FAR
        if self._done or not behind:
            return []
        if told.agreement is not None and not late:
            self._done = True
            return [e.CancelTimer(("join",)), e.ApplyAgreement(agreement=told.agreement)]
        if told.question is None or (self.following and told.step <= flood.step):
            return []
        self._before = (self.following, flood.position)
        self.following = True
        others = tuple(peer for peer in flood.neighbors if peer != source)
        onward = [e.Send(others, m.CatchUp(told.step, told.question))] if others else []
        return [*onward, *flood.follow(told.step, told.question, source)]

    def unfollow(self) -> list[e.Effect]:
        """Go back to where this peer was before it was told the question that is open."""
        if self._before is None:
            return []
        (self.following, position), self._before = self._before, None
        return self._flood.go_back(position)

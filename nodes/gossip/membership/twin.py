"""Whether this node has been started again elsewhere: others' word for it is a reason to look, and not to end."""

from __future__ import annotations

from nervenet.broker.messages import MemberState

from ...runtime import effects as e
from .member_list import Change, MemberList

LOOK_S = 3.0  # how long a newer incarnation of this node may take to answer
AGAIN_S = 10.0  # before this node looks again


class Twin:
    """A claimed newer incarnation of this node: it is dialed where it is said to be, under the name that both have.

    A node that answers there by this name, in a newer incarnation and, where keys are used, with this node's own key,
    has taken over. Others who refuse this node as an older one count together: one member alone does not end it.
    """

    def __init__(self, members: MemberList) -> None:
        self._members = members
        self._until: float | None = None
        self._looked = -AGAIN_S
        self._refused_by: set[str] = set()

    @property
    def looks(self) -> bool:
        return self._until is not None

    def claimed(self, state: MemberState, now: float) -> list[e.Effect | Change]:
        if now < self._looked + AGAIN_S or not state.addresses or state.addresses == self._members.me.addresses:
            return []
        self._until, self._looked = now + LOOK_S, now
        return [e.Link(state.node, state.addresses)]

    def answered(self, incarnation: int) -> list[e.Effect | Change]:
        me = self._members.me
        if incarnation <= me.incarnation:
            return []
        reason = f"{me.node} answers in a newer incarnation ({incarnation})"
        return [Change(me.node, "superseded", incarnation, {}, reason)]

    def over(self, now: float) -> list[e.Effect | Change]:
        """Look no longer for one that has not answered."""
        if self._until is None or now < self._until:
            return []
        self._until = None
        return [e.Unlink(self._members.me.node)]

    def refused_by(self, peer: str) -> bool:
        """Return whether most of the others, and more than one, refuse this node as an older incarnation of itself."""
        there = set(self._members.in_state("alive", "suspect"))
        self._refused_by = (self._refused_by | {peer}) & there
        return len(self._refused_by) > max(1, len(there) // 2)

"""Which peers one dials: those to whom something is sent, before it is, and those with whom a link is to stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

from ...runtime import effects as e
from .member_list import Change, MemberList

Actions: TypeAlias = list[e.Effect | Change]


class Links:
    """Remembers, by peer, at which addresses it was dialed.

    `dirty`: something has happened since the links that are to stand were last looked at, by which they may be others.
    """

    def __init__(self, members: MemberList) -> None:
        self.dirty = True
        self._standing: Collection[str] = ()  # when they were looked at last
        self._members = members
        self._dialed: dict[str, Mapping[str, str]] = {}

    def __contains__(self, peer: object) -> bool:
        return peer in self._dialed

    def dial(self, peer: str) -> e.Link | None:
        """Return what dials a peer where it is known to be; None where it is dialed there, or gone."""
        known = self._members.known.get(peer)
        if known is None or not known.addresses or known.state in ("dead", "left"):
            return None
        if self._dialed.get(peer) == known.addresses:
            return None
        self._dialed[peer] = known.addresses
        return e.Link(peer, known.addresses)

    def drop(self, peer: str) -> None:
        """Take note that a peer is elsewhere now."""
        self._dialed.pop(peer, None)

    def stand(self, standing: Collection[str]) -> None:
        """Take note of which links are to stand from now on."""
        self.dirty |= standing != self._standing

    def hang_up(self, needed: Callable[[str], bool]) -> Actions:
        """Return what ends the links that are `needed` no more."""
        over = [peer for peer in self._dialed if not needed(peer)]
        for peer in over:
            del self._dialed[peer]
        return [e.Unlink(peer) for peer in over]

    def before(self, actions: Actions, needed: Callable[[str], bool], standing: Collection[str]) -> Actions:
        """Return the actions with what they need: those of the `needed` that something is sent to are dialed before it,
        and others are answered where they asked; and all of `standing` are.
        """
        ready: Actions = []
        for each in actions:
            if isinstance(each, e.Link):
                self._dialed[each.peer] = each.addresses
            elif isinstance(each, e.Unlink):
                self.drop(each.peer)
            elif isinstance(each, e.Send):
                ready += [link for peer in each.to if needed(peer) and (link := self.dial(peer))]
            ready.append(each)
        self.dirty, self._standing = False, standing
        return ready + [link for peer in standing if (link := self.dial(peer))]

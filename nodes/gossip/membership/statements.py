"""What is made of member states: each is believed of itself, and of others no more than that they are silent.

A member speaks for itself over its own connection. That it is new, back, in a newer incarnation or gone, as others say,
is a reason to ask it (`Hearsay`); that it is silent, as others say, is a reason to suspect it, which it can refute.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeAlias

from msgspec.structs import replace
from nervenet.broker import messages as m

from ...runtime import effects as e
from .dissemination import Dissemination
from .hearsay import Claim, Hearsay
from .member_list import Change, MemberList
from .twin import Twin

Actions: TypeAlias = list[e.Effect | Change]


class Detector(Protocol):
    """What a failure detector knows that statements are compared with."""

    @property
    def patience_s(self) -> float: ...
    def spoke(self, peer: str, now: float) -> bool: ...
    def is_contact(self, peer: str) -> bool: ...
    def next_probe(self) -> int: ...
    def probe(self, peer: str, now: float) -> Actions: ...
    def worse(self) -> None: ...
    def changed(self, state: m.MemberState, change: Change | None, now: float) -> Actions: ...


class Statements:
    """Takes the member states that arrive, by who says them and of whom."""

    def __init__(self, members: MemberList, dissemination: Dissemination, detector: Detector) -> None:
        self.twin = Twin(members)
        self._members = members
        self._dissemination = dissemination
        self._detector = detector
        self._hearsay = Hearsay()
        self._incarnations: dict[str, int] = {}  # of those that are connected, as their connections have it

    def connected(self, peer: str, incarnation: int) -> None:
        self._incarnations[peer] = max(incarnation, self._incarnations.get(peer, 0))

    def take(self, states: Iterable[m.MemberState], sender: str, now: float, *, whole: bool = False) -> Actions:
        """Take what a peer says; `whole`: all that it knows, as after a partition."""
        actions: Actions = []
        followed = not self._hearsay.distrusts(sender, now)
        for each in states:
            if each.node not in self._members and each.node not in (sender, self._members.me.node) and not followed:
                continue
            if each.node == self._members.me.node:
                actions += self._about_me(each, sender, now)
            elif each.node == sender:
                actions += self._own_word(each, now)
            else:
                actions += self._of_another(each, sender, now, whole=whole)
        return actions

    def due(self) -> list[float]:
        return self._hearsay.due(self._detector.patience_s)

    @property
    def busy(self) -> bool:
        """Whether somebody is asked about what is said, or will be."""
        return self._hearsay.busy or self.twin.looks

    def asks(self, peer: str) -> bool:
        """Whether a peer is being asked about what is said of it, or will be."""
        return self._hearsay.concerns(peer)

    def _own_word(self, state: m.MemberState, now: float) -> Actions:
        """Take what a member says of itself, in the incarnation that its connection has."""
        if state.incarnation != self._incarnations.get(state.node, state.incarnation) or state.state != "alive":
            return []
        self._hearsay.answered(state.node)
        return self._detector.changed(state, self._members.take(state, "says so itself"), now)

    def _of_another(self, state: m.MemberState, sender: str, now: float, *, whole: bool) -> Actions:
        detector, known = self._detector, self._members.known.get(state.node)
        if known is None or state.incarnation > known.incarnation:
            complete = state.addresses.keys() == self._members.me.addresses.keys()
            if complete and state.state in ("alive", "suspect"):
                self._hearsay.hear(state, sender, now)
            return []
        if state.incarnation < known.incarnation:
            return detector.changed(state, None, now)
        here = known.state in ("alive", "suspect")
        recovered = state.state == "alive" and known.state != "alive" and state.refutations > known.refutations
        if recovered or state.state == "left":
            if recovered or here:
                self._hearsay.hear(state, sender, now)
            return []
        worse = state.state
        if detector.is_contact(state.node):
            # With whom this node is in touch it finds out itself, and lets it speak for itself first.
            worse = "suspect" if worse == "dead" else worse
        elif worse == "suspect":
            return []  # its own contacts find out: to refute it here, it would have to connect
        elif worse == "dead" and here and (whole or detector.spoke(state.node, now)):
            worse = "suspect"
        refutations = min(state.refutations, known.refutations)
        said = replace(state, state=worse, refutations=refutations, addresses=known.addresses, last=0)
        change = self._members.take(said, f"{sender} says so")
        actions = detector.changed(said, change, now)
        # It may never hear of that suspicion, or its refutation be lost: what it says itself decides.
        return actions + detector.probe(state.node, now) if change is not None and worse == "suspect" else actions

    def _about_me(self, state: m.MemberState, sender: str, now: float) -> Actions:
        mine = self._members.me
        if state.incarnation > mine.incarnation:
            return self.twin.claimed(state, now)
        outdated = state.incarnation < mine.incarnation or state.refutations < mine.refutations
        if outdated and self._dissemination.notify(f"{sender} about me", now):
            return [e.Send((sender,), m.Gossip((mine,)))]
        # Only this node counts its refutations: a larger number is made up, and must not use them up.
        refuted = self._members.refute(replace(state, refutations=min(state.refutations, mine.refutations)))
        if refuted is None:
            return []
        self._detector.worse()
        self._dissemination.put(refuted, at_once=True, urgent_to=sender)
        if state.state not in ("dead", "left"):
            return []
        reason = f"{sender} believed that it had {'died' if state.state == 'dead' else 'left'}"
        return [Change(mine.node, "readmitted", mine.incarnation, mine.addresses, reason)]

    # ------------------------------------------------------------------------------------------------- whom to ask

    def ask(self, now: float) -> Actions:
        """Put claims to those whom they are about: where they are said to be, if they are not there yet."""
        actions: Actions = self.twin.over(now)
        for claim in self._hearsay.unanswered(now, self._detector.patience_s):
            actions += self._nobody_answered(claim, now)
        for claim in self._hearsay.next(now, lambda state: not self._detector.spoke(state.node, now)):
            said = claim.state
            known = self._members.known.get(said.node)
            # What is outdated, or nothing at all, it answers by what it says of itself.
            told = m.MemberState(said.node, 0, "suspect") if known is None else replace(known, addresses={}, last=0)
            at = said.addresses if known is None or said.incarnation > known.incarnation else known.addresses
            link: Actions = [e.Link(said.node, at)] if at else []
            actions += [*link, e.Send((said.node,), m.Ping(self._detector.next_probe(), said.node, (told,)))]
        return actions

    def _nobody_answered(self, claim: Claim, now: float) -> Actions:
        said = claim.state
        known = self._members.known.get(said.node)
        if known is not None and said.incarnation <= known.incarnation:
            if said.state != "left" or known.state == "left":
                return []
            # It does not answer, so that it is gone one way or the other; until when it took part only it could say.
            reason = f"{claim.sender} says so, and it does not answer"
            return self._detector.changed(*self._members.say(said.node, "left", reason), now)
        back: Actions = [e.Unlink(said.node)] if known is None else [e.Link(said.node, known.addresses)]
        if not self._hearsay.wrong(claim.sender, now):
            return back
        reason = f"{claim.sender} tells of members that do not answer ({said.node} is one): its word is not followed"
        return [*back, e.Publish("warning", {"subject": claim.sender, "reason": reason})]

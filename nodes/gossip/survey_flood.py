"""Round 0 of a peer: the surveys are flooded until every peer holds all (docs/protocol.md, section 6.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .checkpointing import ROUNDS, NoCommonCheckpoint, common_round, rounds_told

SELDOM = 7  # heartbeats that are left out, at the most
AT_ONCE = 32  # testimonies that a neighbor is told again with one heartbeat: a flood of them would only slow the flood
SPARSE = 4  # neighbors up to which everything is flooded: so few ways are each worth having


class SurveyFlood:
    """What a peer knows of the sites before it trains.

    Parameters
    ----------
    links
        Who is linked to whom, as far as it is known: on a dense graph (more than `SPARSE` neighbors) nobody is told
        what he hears from the very peer that it is about. Should that fail, he is told again; see `remind`.

    Attributes
    ----------
    testimonies
        The surveys held so far, by the peer that they are about.
    fault
        Why all that is held settles nothing: the peers go on from former lives, and have no round in common.
    """

    def __init__(
        self,
        name: str,
        members: tuple[str, ...],
        neighbors: tuple[str, ...],
        links: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self.name = name
        self.members = members
        self.neighbors = neighbors
        self._links = links if links is not None and len(neighbors) > SPARSE else {}
        self.testimonies: dict[str, tuple[Mapping[str, Any], ev.Body]] = {}
        self.fault: str | None = None
        self._told_by: dict[str, set[str]] = {}  # of whom each neighbor has told, and so knows
        self._reminded: dict[str, int] = {}  # how many testimonies a neighbor has been told again
        self._counted = 0  # that were held at the last reminder
        self._spared: dict[str, int] = {}  # heartbeats until a neighbor is reminded again
        self._pauses: dict[str, int] = {}  # and how many there are to be the next time

    @property
    def missing(self) -> list[str]:
        """Of whom nothing has been heard."""
        return [peer for peer in self.members if peer not in self.testimonies]

    def greet(self, peer: str) -> list[e.Effect]:
        """Send a neighbor that has come what it does not hear otherwise."""
        self._told_by.pop(peer, None)
        wanted = [o for o in sorted(self.testimonies) if o == self.name or peer not in self._links.get(o, ())]
        return [self._witness((peer,), origin) for origin in wanted]

    def tell(self, peers: tuple[str, ...]) -> list[e.Effect]:
        """Send all testimonies held; a peer ignores those it knows."""
        return [self._witness(peers, origin) for origin in sorted(self.testimonies)] if peers else []

    def remind(self, peers: tuple[str, ...]) -> list[e.Effect]:
        """Tell again those who may have missed something, `AT_ONCE` each in turn; nobody while news is coming in.

        Each time twice as many of its heartbeats pass before the next, up to `SELDOM`: most are only slow.
        """
        held = len(self.testimonies)
        quiet, self._counted = held in (self._counted, len(self.members)), held
        effects: list[e.Effect] = []
        for peer in peers if quiet else ():
            if self._spared.get(peer, 0):
                self._spared[peer] -= 1
                continue
            self._spared[peer] = pause = self._pauses.get(peer, 0)
            self._pauses[peer] = min(SELDOM, 2 * pause + 1)
            known = self._told_by.get(peer, ())
            open_ = [origin for origin in sorted(self.testimonies) if origin not in known]
            start = self._reminded.get(peer, 0) % max(1, len(open_))
            again = (open_ + open_)[start : start + min(AT_ONCE, len(open_))]
            self._reminded[peer] = start + len(again)
            effects += [self._witness((peer,), origin) for origin in again]
        return effects

    def testify(self, origin: str, fields: Mapping[str, Any], body: ev.Body, source: str = "") -> list[e.Effect]:
        """Take a survey, one's own or a neighbor's word, pass it on, and settle when all are there."""
        if source:
            self._told_by.setdefault(source, set()).add(origin)
        if origin in self.testimonies:
            return []
        self.testimonies[origin] = (fields, body)
        onward = tuple(
            peer
            for peer in self.neighbors
            if peer != source and (origin == self.name or peer not in self._links.get(origin, ()))
        )
        effects: list[e.Effect] = [self._witness(onward, origin)] if onward else []
        if not self.missing:
            effects += [e.CancelTimer(("join",)), *self._settle()]
        return effects

    def _settle(self) -> list[e.Effect]:
        told = dict(sorted(self.testimonies.items()))
        try:
            number = common_round({origin: rounds_told(origin, fields) for origin, (fields, _) in told.items()})
        except NoCommonCheckpoint as error:
            self.fault = str(error)
            return []
        surveys = {o: ({k: v for k, v in fields.items() if k != ROUNDS}, body) for o, (fields, body) in told.items()}
        return [e.ApplyAgreement(surveys=surveys, round=number)]

    def _witness(self, to: tuple[str, ...], origin: str) -> e.Effect:
        fields, body = self.testimonies[origin]
        payload = m.Payload(layout="survey", dtype="float64", length=len(body))
        return e.Send(to, m.PeerSurvey(origin=origin, fields=dict(fields), payload=payload), body)

"""Round 0 of a peer: the surveys are flooded until every peer holds all (docs/protocol.md, section 6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .checkpointing import ROUNDS, NoCommonCheckpoint, common_round, rounds_held

SELDOM = 7  # heartbeats that are left out, at the most
AT_ONCE = 32  # surveys that a neighbor is sent again with one heartbeat: a flood of them would only slow the flood


class SurveyFlood:
    """What a peer knows of the sites before it trains: the `surveys` so far, by the peer they are about.

    `fault` is why all of them settle nothing: the peers go on from previous incarnations, with no round in common.
    """

    def __init__(self, name: str, members: tuple[str, ...], neighbors: tuple[str, ...]) -> None:
        self.name = name
        self.members = members
        self.neighbors = neighbors
        self.surveys: dict[str, tuple[Mapping[str, Any], ev.Body]] = {}
        self.fault: str | None = None
        self._received_from: dict[str, set[str]] = {}  # of whom each neighbor has sent the survey, and so holds it
        self._reminded: dict[str, int] = {}  # how many surveys a neighbor has been sent again
        self._counted = 0  # that were held at the last reminder
        self._spared: dict[str, int] = {}  # heartbeats until a neighbor is reminded again
        self._pauses: dict[str, int] = {}  # and how many there are to be the next time

    @property
    def missing(self) -> list[str]:
        return [peer for peer in self.members if peer not in self.surveys]

    def greet(self, peer: str) -> list[e.Effect]:
        self._received_from.pop(peer, None)
        return [self._send((peer,), origin) for origin in sorted(self.surveys)]

    def remind(self, peers: tuple[str, ...]) -> list[e.Effect]:
        """Send again to those who may have missed something, `AT_ONCE` each in turn; to nobody while more comes in.

        Each time twice as many of its heartbeats pass before the next, up to `SELDOM`: most are only slow.
        """
        held = len(self.surveys)
        quiet, self._counted = held in (self._counted, len(self.members)), held
        effects: list[e.Effect] = []
        for peer in peers if quiet else ():
            if self._spared.get(peer, 0):
                self._spared[peer] -= 1
                continue
            self._spared[peer] = pause = self._pauses.get(peer, 0)
            self._pauses[peer] = min(SELDOM, 2 * pause + 1)
            known = self._received_from.get(peer, ())
            open_ = [origin for origin in sorted(self.surveys) if origin not in known]
            start = self._reminded.get(peer, 0) % max(1, len(open_))
            again = (open_ + open_)[start : start + min(AT_ONCE, len(open_))]
            self._reminded[peer] = start + len(again)
            effects += [self._send((peer,), origin) for origin in again]
        return effects

    def unsent(self, peer: str) -> None:
        """Note that a neighbor takes no more for now: it is reminded seldom, and a flood of warnings helps nobody."""
        self._spared[peer] = self._pauses[peer] = SELDOM

    def add(self, origin: str, fields: Mapping[str, Any], body: ev.Body, source: str = "") -> list[e.Effect]:
        """Take a survey, one's own or a neighbor's word, pass it on, and ask for the agreement when all are there."""
        if source:
            self._received_from.setdefault(source, set()).add(origin)
        if origin in self.surveys:
            return []
        self.surveys[origin] = (fields, body)
        onward = tuple(peer for peer in self.neighbors if peer != source)
        effects: list[e.Effect] = [self._send(onward, origin)] if onward else []
        if not self.missing:
            effects += [e.CancelTimer(("join",)), *self._agree()]
        return effects

    def _agree(self) -> list[e.Effect]:
        surveys = dict(sorted(self.surveys.items()))
        try:
            number = common_round({origin: rounds_held(origin, fields) for origin, (fields, _) in surveys.items()})
        except NoCommonCheckpoint as error:
            self.fault = str(error)
            return []
        bare = {o: ({k: v for k, v in fields.items() if k != ROUNDS}, body) for o, (fields, body) in surveys.items()}
        return [e.ApplyAgreement(surveys=bare, round=number)]

    def _send(self, to: tuple[str, ...], origin: str) -> e.Effect:
        fields, body = self.surveys[origin]
        payload = m.Payload(layout="survey", dtype="float64", length=len(body))
        return e.Send(to, m.PeerSurvey(origin=origin, fields=dict(fields), payload=payload), body)

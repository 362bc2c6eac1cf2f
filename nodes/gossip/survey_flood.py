"""Round 0 of a peer: the answers to each question are flooded until every peer holds all (docs/protocol.md, 6.1).

Every peer derives the next question from the same answers. No peer is more than one question ahead of another, since it
needs the other's answer to go on: what it holds of the question before is what a peer behind it may still want.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.question_progress import QuestionProgress
from .checkpointing import ROUNDS, NoCommonCheckpoint, common_round, rounds_held

SELDOM = 7  # heartbeats that are left out, at the most
AT_ONCE = 32  # answers that a neighbor is sent again with one heartbeat: a flood of them would only slow the flood
NUMBERS_AT_ONCE = 1 << 20  # and how long they may be together, but for one

Answer: TypeAlias = tuple[Mapping[str, Any], ev.Body]


class Position(NamedTuple):
    """Where round 0 is at a peer: the open question, who has told it (nobody: empty), and the answers that are held."""

    step: int
    question: Mapping[str, Any]
    asker: str
    held: dict[int, dict[str, Answer]]


class SurveyFlood:
    """What a peer knows of the sites before it trains: the `surveys`, answers to the open question, by whose they are.

    `step` says which question is open, `fault` why all the answers settle nothing: the peers go on from previous
    incarnations, with no round in common.
    """

    def __init__(self, name: str, members: tuple[str, ...], neighbors: tuple[str, ...]) -> None:
        self.name = name
        self.members = members
        self.neighbors = neighbors
        self.step = 0
        self.question: Mapping[str, Any] = {}
        self.fault: str | None = None
        self._asker = ""  # who has told this peer the open question; it asks itself nothing then
        self._held: dict[int, dict[str, Answer]] = {0: {}}  # of the question before, the open one, the next one
        self._received_from: dict[str, set[tuple[int, str]]] = {}  # which answers each neighbor has sent, and so holds
        self._taken = 0  # answers so far
        self._counted = 0  # that were taken at the last reminder
        self._reminded: dict[str, int] = {}  # how many answers a neighbor has been sent again
        self._spared: dict[str, int] = {}  # heartbeats until a neighbor is reminded again
        self._pauses: dict[str, int] = {}  # and how many there are to be the next time
        self._unsent: set[str] = set()  # neighbors that have not got something, and have said nothing since
        self._progress = QuestionProgress()

    @property
    def surveys(self) -> Mapping[str, Answer]:
        return self._held[self.step]

    @property
    def missing(self) -> list[str]:
        held = self.surveys
        return [peer for peer in self.members if peer not in held]

    @property
    def complete(self) -> bool:
        """Whether every member has answered; asked with each answer that comes, while most are missing."""
        return len(self.surveys) >= len(self.members) and not self.missing

    def greet(self, peer: str) -> list[e.Effect]:
        self._received_from.pop(peer, None)
        return [self._send((peer,), *key) for key in self._keys()]

    def remind(self, peers: tuple[str, ...]) -> list[e.Effect]:
        """Send again to those who may have missed something, `AT_ONCE` each in turn; to nobody while more comes in.

        Each time twice as many of its heartbeats pass before the next, up to `SELDOM`: most are only slow.
        """
        quiet, self._counted = self._taken == self._counted or self.complete, self._taken
        effects: list[e.Effect] = []
        for peer in peers if quiet else ():
            if self._spared.get(peer, 0):
                self._spared[peer] -= 1
                continue
            self._spared[peer] = pause = self._pauses.get(peer, 0)
            self._pauses[peer] = min(SELDOM, 2 * pause + 1)
            again = self._again(peer)
            effects += [self._send((peer,), *key) for key in again]
        return effects

    def unsent(self, peer: str) -> None:
        """Take note that a neighbor has not got something: it is reminded with the next heartbeat.

        Once, until it says something itself: one that takes nothing must not be sent all again every time.
        """
        if peer not in self._unsent:
            self._unsent.add(peer)
            self._spared.pop(peer, None)
            self._pauses.pop(peer, None)

    def add(
        self, origin: str, fields: Mapping[str, Any], body: ev.Body, source: str = "", step: int = 0
    ) -> list[e.Effect]:
        """Take an answer, one's own or a neighbor's word, pass it on, and go on when all are there."""
        self._unsent.discard(source)
        if step == self.step + 1:
            self._held.setdefault(step, {})
        held = self._held.get(step)
        if held is None:  # of a question that is over, or of one that nobody can have been asked
            return []
        if source:
            self._received_from.setdefault(source, set()).add((step, origin))
        if origin in held:
            return []
        held[origin] = (fields, body)
        self._taken += 1
        onward = tuple(peer for peer in self.neighbors if peer != source)
        effects: list[e.Effect] = [self._send(onward, step, origin)] if onward else []
        return effects + (self._go_on() if step == self.step else [])

    def ask(self, event: ev.NextQuestion) -> list[e.Effect]:
        """Open the next question, and have it answered here; answers of others may have come before it."""
        return self._open(event.step, event.question)

    def follow(self, step: int, question: Mapping[str, Any], asker: str) -> list[e.Effect]:
        """Open a question that others have come to; that all have answered it is theirs to say."""
        self._asker = asker
        return self._open(step, question)

    @property
    def position(self) -> Position:
        return Position(self.step, self.question, self._asker, {step: dict(a) for step, a in self._held.items()})

    def go_back(self, before: Position) -> list[e.Effect]:
        """Return to an earlier `position`; a question that this site had not answered then is put to it again."""
        self.step, self.question, self._asker, self._held = before
        return [] if self.name in self.surveys else [e.Survey(self.question, self.step, self._asker)]

    def _open(self, step: int, question: Mapping[str, Any]) -> list[e.Effect]:
        self.step, self.question = step, question
        self._held = {number: self._held.get(number, {}) for number in (step - 1, step) if number >= 0}
        for known in self._received_from.values():
            known.difference_update([key for key in known if key[0] < step - 1])
        self._spared.clear()
        self._pauses.clear()
        self._unsent.clear()
        return [e.Survey(question, step, self._asker)]

    def progress(self) -> list[e.Effect]:
        return self._progress.show(self.step, self.question, self.missing)

    def _go_on(self) -> list[e.Effect]:
        if self._asker or not self.complete:
            return []
        surveys = dict(sorted(self.surveys.items()))
        done = e.CancelTimer(("join",))
        if self.step:
            return [done, e.ApplyAgreement(surveys=surveys, step=self.step)]
        try:
            number = common_round({origin: rounds_held(origin, fields) for origin, (fields, _) in surveys.items()})
        except NoCommonCheckpoint as error:
            self.fault = str(error)
            return [done]
        bare = {o: ({k: v for k, v in fields.items() if k != ROUNDS}, body) for o, (fields, body) in surveys.items()}
        return [done, e.ApplyAgreement(surveys=bare, round=number)]

    def _keys(self) -> list[tuple[int, str]]:
        return [(step, origin) for step in sorted(self._held) for origin in sorted(self._held[step])]

    def _again(self, peer: str) -> list[tuple[int, str]]:
        """Return the next answers that a neighbor may not have."""
        known = self._received_from.get(peer, set())
        # One that has answered a question has all answers to the one before.
        done = max((step for step, origin in known if origin == peer), default=0)
        open_ = [key for key in self._keys() if key not in known and key[0] >= done]
        start = self._reminded.get(peer, 0) % max(1, len(open_))
        again: list[tuple[int, str]] = []
        length = 0
        for step, origin in (open_ + open_)[start : start + min(AT_ONCE, len(open_))]:
            length += len(self._held[step][origin][1])
            if again and length > NUMBERS_AT_ONCE:
                break
            again.append((step, origin))
        self._reminded[peer] = start + len(again)
        return again

    def _send(self, to: tuple[str, ...], step: int, origin: str) -> e.Effect:
        fields, body = self._held[step][origin]
        payload = m.Payload(layout="survey", dtype="float64", length=len(body))
        return e.Send(to, m.PeerSurvey(origin=origin, fields=dict(fields), payload=payload, step=step), body)

"""Round 0 of a peer: the answers to each question are flooded until every peer holds all (docs/protocol.md, 6.1).

Where they are many, answers go up and down a spanning tree first, together: see `survey_tree`.

Every peer derives the next question from the same answers. No peer is more than one question ahead of another, since it
needs the other's answer to go on: what it holds of the question before is what a peer behind it may still want.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.question_progress import QuestionProgress
from ..runtime.site_answer import SameAnswers, SiteAnswer
from .checkpointing import ROUNDS, NoCommonCheckpoint, common_round, rounds_held
from .rules import PeerRules
from .survey_batches import NUMBERS_AT_ONCE, messages_of
from .survey_deliveries import Deliveries
from .survey_tree import SpanningTree, TreeRelay

SELDOM = 7  # heartbeats that are left out, at the most; among many as often as the tree's patience says
OFTEN = 8  # reminders to a neighbor without a pause, where all that is held is little:
FEW = 32  # of fewer members than these,
LITTLE = 4_096  # and so many numbers at the most
AT_ONCE = 32  # answers that a neighbor is sent again with one heartbeat: a flood of them would only slow the flood


class Position(NamedTuple):
    """Where round 0 is at a peer: the open question, who has told it (nobody: empty), and the answers that are held."""

    step: int
    question: Mapping[str, Any]
    asker: str
    held: dict[int, dict[str, SiteAnswer]]


class SurveyFlood:
    """What a peer knows of the sites before it trains: the `surveys`, answers to the open question, by whose they are.

    `step` says which question is open, `fault` why all the answers settle nothing: the peers go on from previous
    incarnations, with no round in common. Without a `tree` each answer is passed on by itself, at once, to all. What
    other peers of the process hold as well is kept once, in `same`.
    """

    def __init__(
        self,
        name: str,
        members: tuple[str, ...],
        neighbors: tuple[str, ...],
        tree: SpanningTree | None = None,
        same: SameAnswers | None = None,
    ) -> None:
        self.name = name
        self.members = members
        self.neighbors = neighbors
        self.step = 0
        self.question: Mapping[str, Any] = {}
        self.fault: str | None = None
        self._asker = ""  # who has told this peer the open question; it asks itself nothing then
        self._held: dict[int, dict[str, SiteAnswer]] = {0: {}}  # of the question before, the open one, the next one
        numbers = {member: place for place, member in enumerate(members)} if tree is None else tree.numbers
        self._same = same
        self._deliveries = Deliveries(numbers)
        self._relay = None if tree is None else TreeRelay(tree, name)
        self._taken = 0  # answers so far
        self._counted = 0  # that were taken at the last reminder
        self._reminded: dict[str, int] = {}  # how many answers a neighbor has been sent again
        self._spared: dict[str, int] = {}  # heartbeats until a neighbor is reminded again
        self._pauses: dict[str, int] = {}  # and how many there are to be the next time
        self._often: dict[str, int] = {}  # how often a neighbor was reminded of the open question
        self._unsent: set[str] = set()  # neighbors that have not got something, and have said nothing since
        self._progress = QuestionProgress()

    @classmethod
    def of(cls, rules: PeerRules, neighbors: tuple[str, ...]) -> SurveyFlood:
        return cls(rules.name, rules.members, neighbors, rules.tree, rules.same)

    def expects(self, origin: str) -> bool:
        """Whether an answer is one of a member."""
        return origin in self._deliveries

    @property
    def surveys(self) -> Mapping[str, SiteAnswer]:
        return self._held[self.step]

    @property
    def missing(self) -> list[str]:
        held = self.surveys
        return [peer for peer in self.members if peer not in held]

    @property
    def complete(self) -> bool:
        """Whether every member has answered; asked with each answer that comes, while most are missing."""
        return len(self.surveys) >= len(self.members) and not self.missing

    @property
    def linked(self) -> tuple[str, ...]:
        """The neighbors, and those that are linked for the tree's sake."""
        by_tree = set() if self._relay is None else self._relay.reached.difference(self.neighbors)
        return (*self.neighbors, *sorted(by_tree))

    def in_tree(self, peer: str) -> bool:
        """Whether answers go to a peer, and come from it, by the tree."""
        return self._relay is not None and peer in self._relay

    def greet(self, peer: str, *, restarted: bool = False) -> list[e.Effect]:
        """Send a neighbor that is linked anew what it may lack: all, but where a tree is on its way to bring it."""
        relay, deliveries = self._relay, self._deliveries
        if relay is not None and not relay.linked(peer, anew=restarted):
            return self._pass_on()  # each of two that dial each other has word of both connections
        if restarted or relay is None:
            deliveries.forgot(peer)
        lost = deliveries.relinked(peer)
        effects: list[e.Effect] = []
        for step, there in self._there():
            wanted = there if restarted or relay is None else deliveries.lacks(peer, step, lost.get(step, 0) & there)
            effects += self._send_set((peer,), step, wanted)
        return effects + self._pass_on()

    def cut(self, peer: str) -> None:
        """Take note that the link of a neighbor has ended, and what was under way to it may be lost."""
        if self._relay is not None:
            self._relay.cut(peer)

    @property
    def spreading(self) -> bool:
        """Whether answers are held that go to all neighbors soon, since the tree is cut somewhere."""
        relay, lacks = self._relay, self._deliveries.lacks
        if relay is None or not relay.spreading:
            return False
        return any(lacks(peer, *each, unsent=True) for each in self._there() for peer in relay.reached)

    def spread(self) -> list[e.Effect]:
        """Send each neighbor what it may lack, and was not sent before, where the tree is cut."""
        relay, effects = self._relay, list[e.Effect]()
        for step, there in self._there() if relay is not None and relay.spreading else ():
            by_set: dict[int, list[str]] = {}
            for peer in sorted(relay.reached if relay is not None else ()):
                by_set.setdefault(self._deliveries.lacks(peer, step, there, unsent=True), []).append(peer)
            for wanted, peers in by_set.items():
                effects += self._send_set(tuple(peers), step, wanted)
        return effects

    def remind(self, peers: tuple[str, ...]) -> list[e.Effect]:
        """Send again to those who may have missed something, `AT_ONCE` each in turn.

        To nobody while more comes in, and each time twice as many of its heartbeats pass before the next, up to
        `SELDOM`: most are only slow. Where it is little, each has the first ones as it comes: who dies in round 0 has
        told others of itself by then, and they the rest.
        """
        quiet, self._counted = self._taken == self._counted or self.complete, self._taken
        little, patience = self._little, 0 if self._relay is None else self._relay.patience
        effects: list[e.Effect] = []
        if self._relay is not None:
            self._relay.beat(waiting=quiet and not self.complete)
            effects += self.spread()
        by_tree = (peer for peer in sorted(self._unsent) if peer not in self.neighbors and self.in_tree(peer))
        for peer in (*peers, *by_tree):
            often = little and self._often.get(peer, 0) < OFTEN
            if not (quiet or often):
                continue
            if self._spared.setdefault(peer, patience):
                self._spared[peer] -= 1
                continue
            self._spared[peer] = pause = self._pauses.get(peer, 0)
            self._pauses[peer] = 0 if often else min(max(SELDOM, patience), 2 * pause + 1)
            self._often[peer] = self._often.get(peer, 0) + 1
            for step, origins in self._again(peer).items():
                effects += self._send_all((peer,), step, origins)
        return effects

    @property
    def _little(self) -> bool:
        """Whether to send all again that is held costs nothing."""
        if len(self.members) >= FEW:
            return False
        return sum(len(answer.body) for there in self._held.values() for answer in there.values()) <= LITTLE

    def unsent(self, peer: str) -> None:
        """Take note that a neighbor has not got something: it is reminded with the next heartbeat.

        Once, until it says something itself: one that takes nothing must not be sent all again every time.
        """
        if peer not in self._unsent:
            self._unsent.add(peer)
            self._spared[peer] = 0
            self._pauses.pop(peer, None)

    def add(
        self, origin: str, fields: Mapping[str, Any], body: ev.Body, source: str = "", step: int = 0
    ) -> list[e.Effect]:
        """Take an answer, one's own or a neighbor's word, pass it on, and go on when all are there."""
        return self.add_all([SiteAnswer.of(origin, fields, body)], source, step)

    def add_all(self, answers: Sequence[SiteAnswer], source: str = "", step: int = 0) -> list[e.Effect]:
        """Take several answers to one question, as `add` does."""
        self._unsent.discard(source)
        if step == self.step + 1:
            self._held.setdefault(step, {})
        held = self._held.get(step)
        if held is None:  # of a question that is over, or of one that nobody can have been asked
            return []
        if source:
            self._deliveries.came(source, step, (answer.origin for answer in answers))
        fresh = [answer for answer in answers if answer.origin not in held]
        if not fresh:
            return []
        if self._same is not None:
            fresh = [self._same.of(step, answer) for answer in fresh]
        held.update((answer.origin, answer) for answer in fresh)
        self._taken += len(fresh)
        if self._relay is None:
            onward = tuple(peer for peer in self.neighbors if peer != source)
            effects = self._send_all(onward, step, [answer.origin for answer in fresh]) if onward else []
        else:
            if source:
                self._relay.came(source, self._deliveries.set_of(answer.origin for answer in fresh))
            effects = self._pass_on()
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
        self._deliveries.over(step - 1)
        if self._relay is not None:
            self._relay.over(step - 1)
        self._spared.clear()
        self._pauses.clear()
        self._often.clear()
        self._unsent.clear()
        return [e.Survey(question, step, self._asker)]

    def progress(self) -> list[e.Effect]:
        return self._progress.show(self.step, self.question, self.missing)

    def _go_on(self) -> list[e.Effect]:
        if self._asker or not self.complete:
            return []
        answers = [answer for _, answer in sorted(self.surveys.items())]
        done = e.CancelTimer(("join",))
        if self.step:
            return [done, e.ApplyAgreement(surveys={a.origin: (a.fields, a.body) for a in answers}, step=self.step)]
        try:
            number = common_round({answer.origin: rounds_held(answer.origin, answer.fields) for answer in answers})
        except NoCommonCheckpoint as error:
            self.fault = str(error)
            return [done]
        surveys = {answer.origin: (_without_rounds(answer.fields), answer.body) for answer in answers}
        return [done, e.ApplyAgreement(surveys=surveys, round=number)]

    def _there(self) -> list[tuple[int, int]]:
        """Return the questions of which answers are held, and the set of those who gave them."""
        return [(step, self._deliveries.set_of(held)) for step, held in sorted(self._held.items()) if held]

    def _again(self, peer: str) -> dict[int, list[str]]:
        """Return the next answers that a neighbor may not have, by question."""
        deliveries = self._deliveries
        done = deliveries.answered(peer)
        open_: list[tuple[int, str]] = []
        for step, there in self._there():
            if step >= done:
                lacking = deliveries.names(sorted(self._held[step]), deliveries.lacks(peer, step, there))
                open_ += [(step, origin) for origin in lacking]
        start = self._reminded.get(peer, 0) % max(1, len(open_))
        most = AT_ONCE if self._relay is None else len(open_)  # together they are a message or two
        again: dict[int, list[str]] = {}
        taken = length = 0
        for step, origin in (open_ + open_)[start : start + min(most, len(open_))]:
            length += len(self._held[step][origin].body)
            if again and length > NUMBERS_AT_ONCE:
                break
            again.setdefault(step, []).append(origin)
            taken += 1
        self._reminded[peer] = start + taken
        return again

    def _pass_on(self) -> list[e.Effect]:
        """Send the neighbors in the tree all answers of this side to a question, once they are there."""
        relay, effects = self._relay, list[e.Effect]()
        for step, there in self._there() if relay is not None else ():
            sides = {} if relay is None else relay.ready(step, there)
            lacking = {peer: self._deliveries.lacks(peer, step, side, unsent=True) for peer, side in sides.items()}
            ready = tuple(peer for peer, wanted in lacking.items() if wanted)
            # Several lack nearly all, and what is the same for them is encoded once.
            effects += self._send_set(ready, step, lacking[ready[0]] if len(ready) == 1 else there) if ready else []
        return effects

    def _send_set(self, to: tuple[str, ...], step: int, wanted: int) -> list[e.Effect]:
        return self._send_all(to, step, self._deliveries.names(sorted(self._held[step]), wanted)) if wanted else []

    def _send_all(self, to: tuple[str, ...], step: int, origins: Sequence[str]) -> list[e.Effect]:
        """Send answers to a question: each by itself, or together where there is a tree."""
        answers = [self._held[step][origin] for origin in origins]
        if self._relay is None:
            return [e.Send(to, *each) for answer in answers for each in messages_of([answer], step)]
        for peer in to:
            self._deliveries.sent(peer, step, origins)
        return [e.Send(to, *each) for each in messages_of(answers, step)]


def _without_rounds(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in fields.items() if key != ROUNDS} if ROUNDS in fields else fields

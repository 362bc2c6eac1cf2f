"""Failure detection without a master: SWIM (Das, Gupta & Motivala 2002) with the local health of Lifeguard (Dadgar,
Phillips & Currey 2018).

Once a period a node pings one other; gets no ack, asks `helpers` others to ping it; gets none of those either, says
that it is suspect; and when the suspect has not refuted that in time, that it is dead. What is said travels on the
pings themselves. So a node sends a constant number of messages a period, however many there are, and every failure is
found within a few periods. Pure: events and `now` in, effects and changes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replace_field
from typing import TypeAlias

from nervenet.broker import messages as m
from nervenet.models.rng import generator

from ...runtime import effects as e
from ...runtime import events as ev
from .dissemination import Dissemination, draw
from .member_list import Change, MemberList, rank
from .statements import Statements

TIMER: ev.Key = ("probe",)
FIRST = 4  # times as long is waited for the first answer of all
USUAL_S = 2.0  # default of `network.suspect_after_s`, to which the times below belong
ALONE = 16  # peers in one process that answer as fast as one
UNHEALTHY = 3  # the worst local health (the S of Lifeguard, section IV A)
INDIRECT = 16  # probes at a time on behalf of others: each may cost a connection

Actions: TypeAlias = list[e.Effect | Change]


@dataclass(frozen=True)
class SwimRules:
    """How often a node probes and how long it waits; the waits for answers are stretched by (1 + its health score).

    A shorter period finds failures sooner and costs more messages: at rest a node sends about 2 / `period_s` a second.
    """

    period_s: float = 0.6
    timeout_s: float = 0.25  # for the direct answer; of helpers as much again: together less than a period
    helpers: int = 3
    suspicion_s: float = 1.5  # how long a suspect may take to refute
    dead_probe_s: float = 2.0  # how often one of the dead is asked whether it is back
    sync_s: float = 15.0  # how often one other gets, and is asked for, all that is known
    seed: int = 0

    def slower(self, peers: float, suspect_after_s: float) -> SwimRules:
        """Return rules that give more time where so many peers share one event loop and answer one after another, and
        where more is asked for than is usual (``network.suspect_after_s``).
        """
        longer = max(1.0, peers / ALONE, suspect_after_s / USUAL_S)
        waits = ("period_s", "timeout_s", "suspicion_s", "dead_probe_s", "sync_s")
        return replace_field(self, **{name: longer * getattr(self, name) for name in waits})


@dataclass(slots=True)
class _Probe:
    """A ping that has not been answered."""

    peer: str
    since: float
    helped: bool = False
    asker: str = ""  # on whose behalf, and under which id it asked
    asked_as: int = 0
    dead: bool = False  # at a member that counts as dead: no answer changes nothing
    first: bool = False  # at a member never heard before: a connection has to be made
    helpers: tuple[str, ...] = ()  # whose word counts as its answer


class SwimDetector:
    """Finds out who is there, and says who is not.

    `contacts` are those it probes and tells, with whom a connection is worth its keep; None: everybody. `health_score`
    is this node's own ill health, 0 (well) to 3: it grows where its own timers are late, where nobody at all is heard
    while it probes, and where it has to refute that it is suspect.
    """

    def __init__(self, rules: SwimRules, members: MemberList, contacts: frozenset[str] | None = None) -> None:
        self.rules = rules
        self.members = members
        self.contacts = contacts
        self.health_score = 0
        self._dissemination = Dissemination(members, rules.seed)
        self.statements = Statements(members, self._dissemination, self)
        self._open: dict[int, _Probe] = {}
        self._suspected: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._order: list[str] = []
        self._due = {"period": 0.0, "dead_probe": 0.0, "sync": 0.0}
        self._counts = {"probes": 0, "passes": 0, "dead_probes": 0, "syncs": 0}  # what addresses the draws

    @property
    def me(self) -> str:
        return self.members.me.node

    def handle(self, event: ev.Event, now: float) -> Actions:
        actions: Actions = []
        match event:
            case ev.Started():
                self._begin(now)
                self._dissemination.put(self.members.me)
            case ev.Arrived(sender=sender, message=message):
                actions += self._hear(sender, now)
                actions += self._arrived(sender, message, now)
            case ev.LinkUp(peer, _, incarnation) if peer == self.me:
                actions += self.statements.twin.answered(incarnation)
            case ev.LinkUp(peer, _, incarnation):
                self.statements.connected(peer, incarnation)
                actions += self._hear(peer, now)
            case ev.LinkLost(peer) if peer in self._others() and peer in self.members.in_state("alive"):
                # More often than not its process has ended. But who was stopped finds all its connections ended when
                # it wakes: so others are asked, too, before anything is said.
                actions += self._ping(peer, now)
            case ev.TimerFired(key, due) if key == TIMER:
                actions += self._tick(now, now - due)
            case _:
                return []
        actions += self.statements.ask(now)
        actions += self._flush()
        actions.append(e.SetTimer(TIMER, self._next()))
        return actions

    def only_heard(self, peer: str, now: float) -> bool:
        """Take note of a sign of life; return False, and do not, where more follows from it than that."""
        known = self.members.known.get(peer)
        there = known is not None and known.state in ("alive", "left")
        asked = any(probe.peer == peer for probe in self._open.values())
        if not there or asked or self._dissemination.pressing or self.statements.busy:
            return False
        self._heard[peer] = now
        return True

    def left(self, peer: str, last: int, reason: str, now: float, *, spread: bool = True) -> Actions:
        """Take note that a member has said goodbye; without `spread`, of what is no news to anybody."""
        if peer not in self.members or self.members.known[peer].state == "left":
            return []
        state, change = self.members.say(peer, "left", reason, last)
        actions = self.changed(state, change, now, spread=spread)
        return [*actions, *self._flush()]

    # ----------------------------------------------------------------------------------------------- what others say

    def _arrived(self, sender: str, message: m.Message, now: float) -> Actions:
        match message:
            case m.Ping(id=number, subject=subject, members=states):
                actions = self.statements.take(states, sender, now)
                if subject == self.me:
                    ack = m.Ack(number, subject, self._dissemination.piggyback(sender, self.me))
                    return [*actions, e.Send((sender,), ack)]
                if (gone := self._gone(subject)) is not None:  # said to few; who asks may not have heard it
                    return [*actions, e.Send((sender,), m.Ack(number, self.me, (gone,)))]
                if subject == sender or sum(bool(probe.asker) for probe in self._open.values()) >= INDIRECT:
                    return actions
                return actions + self._ping(subject, now, asker=sender, asked_as=number)
            case m.Ack(id=number, subject=subject, members=states):
                actions = self.statements.take(states, sender, now)
                probe = self._open.get(number)
                if probe is not None and probe.peer == subject and sender in probe.helpers:
                    actions += self._hear(subject, now)
                return actions
            case m.Gossip(members=states, extent=extent):
                actions = self.statements.take(states, sender, now, whole=extent != "fresh")
                return actions + (self._dissemination.everything(sender, "answer") if extent == "ask" else [])
            case _:
                return []

    def changed(self, state: m.MemberState, change: Change | None, now: float, *, spread: bool = True) -> Actions:
        peer = state.node
        known = self.members.known[peer]
        if known.state != "suspect":
            self._suspected.pop(peer, None)
        elif peer not in self._suspected:
            self._suspected[peer] = now
        if known.state in ("dead", "left"):
            for number in [number for number, probe in self._open.items() if probe.peer == peer]:
                del self._open[number]
        if change is None:
            if rank(known) != rank(state):
                self._dissemination.put(known)  # whoever said that does not know the newest
            return []
        if spread:  # at once; to a suspect, too, that it may refute
            self._dissemination.put(known, at_once=True, urgent_to=peer if known.state == "suspect" else "")
        return [change]

    def _hear(self, peer: str, now: float) -> Actions:
        """Any traffic is a sign of life: a probe that is open is answered by it."""
        actions: Actions = []
        self._heard[peer] = now
        for number in [number for number, probe in self._open.items() if probe.peer == peer]:
            probe = self._open.pop(number)
            if not (probe.asker or probe.helped or probe.dead):
                self.health_score = max(0, self.health_score - 1)
            if probe.asker:
                ack = m.Ack(probe.asked_as, peer, self._dissemination.piggyback(probe.asker, peer))
                actions.append(e.Send((probe.asker,), ack))
        known = self.members.known.get(peer)
        if peer == self.me or (known is not None and known.state in ("alive", "left")):
            return actions
        if not self._dissemination.notify(peer, now):
            return actions
        if known is None:
            return actions + self._dissemination.everything(peer, "ask")
        actions.append(e.Send((peer,), m.Gossip((known,))))
        if known.state == "suspect":
            self._suspected[peer] = now  # it is there, and only it may say so to everybody
            return actions
        return actions + self._dissemination.everything(peer, "ask")

    # ------------------------------------------------------------------------------------------- what this node finds

    def _ping(self, peer: str, now: float, *, asker: str = "", asked_as: int = 0, dead: bool = False) -> Actions:
        known = self.members.known.get(peer)
        if known is None:
            return []
        number = self._count("probes")
        first = peer not in self._heard
        self._open[number] = _Probe(peer, now, asker=asker, asked_as=asked_as, dead=dead, first=first, helpers=(peer,))
        link: list[e.Effect] = [e.Link(peer, known.addresses)] if known.addresses else []
        return [*link, e.Send((peer,), m.Ping(number, peer, self._dissemination.piggyback(peer)))]

    def _tick(self, now: float, late: float) -> Actions:
        self._extend_deadlines(late, now)
        actions: Actions = []
        for number, probe in list(self._open.items()):
            actions += self._look_at(number, probe, now)
        for peer, since in list(self._suspected.items()):
            if now >= since + self.rules.suspicion_s:
                state, change = self.members.say(peer, "dead", "suspect, and silent since")
                actions += self.changed(state, change, now)
        if self._is_due("period", now, self.rules.period_s) and (target := self._target(now)):
            actions += self._ping(target, now)
        if self._is_due("dead_probe", now, self.rules.dead_probe_s) and (dead := self.members.in_state("dead")):
            actions += self._ping(dead[self._count("dead_probes") % len(dead)], now, dead=True)
        if self._is_due("sync", now, self.rules.sync_s):
            for peer in self._draw(self._others(), 1, "sync", self._count("syncs")):
                actions += self._dissemination.everything(peer, "ask")
        return actions

    def _look_at(self, number: int, probe: _Probe, now: float) -> Actions:
        """Ask others to help, or give up, where an answer has not come in time."""
        if now >= probe.since + self._wait(probe, self.rules.period_s):
            self._open.pop(number, None)
            return self._unanswered(probe, now)
        if probe.helped or probe.dead or now < probe.since + self._wait(probe, self.rules.timeout_s):
            return []
        probe.helped = True
        if probe.asker:
            # Without a word of this the asker could not tell the silence of one from its own deafness.
            return [e.Send((probe.asker,), m.Ack(probe.asked_as, self.me, self._dissemination.piggyback(probe.asker)))]
        helpers = self._draw([p for p in self._others() if p != probe.peer], self.rules.helpers, "help", number)
        probe.helpers = (probe.peer, *helpers)
        ping = m.Ping(number, probe.peer, self._dissemination.piggyback(probe.peer)) if helpers else None
        return [e.Send(tuple(helpers), ping)] if ping else []

    def _unanswered(self, probe: _Probe, now: float) -> Actions:
        if probe.asker or probe.dead or probe.peer not in self.members.in_state("alive"):
            return []
        if self.statements.asks(probe.peer):
            return []  # it may have left, as is said
        heard = any(at >= probe.since for at in self._heard.values())
        if not heard and len(self._others()) > 2 and self.health_score < UNHEALTHY:
            self.worse()  # nobody at all was heard meanwhile: it is this node that does not hear
            return []
        limit = f"{self._wait(probe, self.rules.period_s):.2g} s"
        reason = f"no answer within {limit}, neither to this node nor to others"
        return self.changed(*self.members.say(probe.peer, "suspect", reason), now)

    def _extend_deadlines(self, late: float, now: float) -> None:
        """Add the time by which this node's own timer was late to all waits, up to having begun to wait now."""
        if late <= 0:
            return
        if late > self.rules.timeout_s:
            self.worse()
        for probe in self._open.values():
            probe.since = min(now, probe.since + late)
        for peer, since in self._suspected.items():
            self._suspected[peer] = min(now, since + late)

    def _target(self, now: float) -> str:
        """Return whom to probe: each in turn, in an order drawn anew for each pass (SWIM, section 4.3), if silent."""
        there = set(self._others())
        for _ in range(2):
            while self._order:
                peer = self._order.pop()
                # Whoever was heard within the period has no need to be asked.
                if peer in there and now >= self._heard.get(peer, -1e9) + self.rules.period_s:
                    return peer
            self._order = self._draw(sorted(there), len(there), "order", self._count("passes"))
        return ""

    # -------------------------------------------------------------------------------------------------------- helpers

    def _begin(self, now: float) -> None:
        # All start together: without an offset of its own each would probe in the same instant.
        offset = float(generator(self.rules.seed, self.me, "probe", "offset").random())
        self._due["period"] = now + offset * self.rules.period_s
        self._due["dead_probe"] = now + self.rules.dead_probe_s
        self._due["sync"] = now + offset * self.rules.sync_s

    def _is_due(self, what: str, now: float, every_s: float) -> bool:
        """Return whether what comes round comes now; then it comes again after `every_s` seconds."""
        due = now >= self._due[what]
        if due:
            self._due[what] = now + every_s
        return due

    def _next(self) -> float:
        due = list(self._due.values())
        for probe in self._open.values():
            span = self.rules.period_s if probe.helped or probe.dead else self.rules.timeout_s
            due.append(probe.since + self._wait(probe, span))
        due += [since + self.rules.suspicion_s for since in self._suspected.values()]
        return min(due + self.statements.due())

    def _wait(self, probe: _Probe, seconds: float) -> float:
        """How long an answer is waited for: longer by an unhealthy node, and where there is no connection yet."""
        return seconds * (1 + self.health_score) * (FIRST if probe.first and not probe.asker else 1)

    def _flush(self) -> Actions:
        return [*self._dissemination.flush(self._others())] if self._dissemination.pressing else []

    def worse(self) -> None:
        self.health_score = min(UNHEALTHY, self.health_score + 1)

    def _others(self) -> list[str]:
        there = self.members.in_state("alive", "suspect")
        return there if self.contacts is None else [peer for peer in there if peer in self.contacts]

    def _gone(self, peer: str) -> m.MemberState | None:
        """Return the state of a member that has left."""
        known = self.members.known.get(peer)
        return known if known is not None and known.state == "left" else None

    def spoke(self, peer: str, now: float) -> bool:
        """Return whether a peer was heard so lately that it is not silent yet."""
        return now < self._heard.get(peer, -1e9) + self.rules.period_s

    def is_contact(self, peer: str) -> bool:
        return self.contacts is None or peer in self.contacts

    @property
    def patience_s(self) -> float:
        """How long one of whom something is said may take to answer for itself, where a connection has to be made."""
        return self.rules.period_s * (1 + self.health_score) * FIRST / 2

    def probe(self, peer: str, now: float) -> Actions:
        """Ask a peer whether it is there, unless it is being asked."""
        return [] if any(probe.peer == peer for probe in self._open.values()) else self._ping(peer, now)

    def next_probe(self) -> int:
        return self._count("probes")

    def _count(self, what: str) -> int:
        self._counts[what] += 1
        return self._counts[what]

    def _draw(self, names: list[str], count: int, *address: str | int) -> list[str]:
        return draw(self.rules.seed, self.me, names, count, *address)

"""Failure detection without a master: SWIM (Das, Gupta & Motivala 2002) with the local health of Lifeguard (Dadgar,
Phillips & Currey 2018).

Once a period a node asks one other whether it is there; gets no answer, asks `helpers` others to ask it; gets none of
those either, says that it is suspect; and when the suspect has not refuted that in time, that it is gone. What is said
travels on the probes themselves. So a node sends a constant number of messages a period, however many there are, and
every failure is found within a few periods. Pure: events and `now` in, effects and changes out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from dataclasses import replace as replace_field
from typing import Literal, TypeAlias

from msgspec.structs import replace
from nervenet.broker import messages as m
from nervenet.models.rng import generator

from ...runtime import effects as e
from ...runtime import events as ev
from .member_list import Change, MemberList
from .news import BroadcastQueue

TIMER: ev.Key = ("probe",)
SPREAD = 3  # how many are told at once of what cannot wait for the next probe
FIRST = 4  # times as long is waited for the first answer of all
SORRY_S = 0.2  # who is believed dead and speaks is told so no more often than this
USUAL_S = 2.0  # default of `network.suspect_after_s`, to which the times below belong
ALONE = 16  # peers in one process that answer as fast as one
UNHEALTHY = 3  # the worst local health (the S of Lifeguard, section IV A)
LIST = 64  # sayings in one message of all that is known: the longest fit into the 64 kB of the control lane
FAVORS = 16  # probes at a time on behalf of others: each may cost a connection

Told: TypeAlias = list[e.Effect | Change]


@dataclass(frozen=True)
class SwimRules:
    """How often a node probes and how long it waits; the waits for answers are stretched by (1 + its own ill health).

    A shorter period finds failures sooner and costs more messages: at rest a node sends about 2 / `period_s` a second.
    """

    period_s: float = 0.6
    timeout_s: float = 0.25  # for the direct answer; of helpers as much again: together less than a period
    helpers: int = 3
    suspicion_s: float = 1.5  # how long a suspect may take to refute
    knock_s: float = 2.0  # how often one of the gone is asked whether it is back
    sync_s: float = 15.0  # how often one other is told, and asked for, all that is known
    seed: int = 0

    def slower(self, peers: float, suspect_after_s: float) -> SwimRules:
        """Give more time where so many peers share one event loop and answer one after another, and where more is asked
        for than is usual (``network.suspect_after_s``).
        """
        longer = max(1.0, peers / ALONE, suspect_after_s / USUAL_S)
        waits = ("period_s", "timeout_s", "suspicion_s", "knock_s", "sync_s")
        return replace_field(self, **{name: longer * getattr(self, name) for name in waits})


@dataclass(slots=True)
class _Open:
    """A probe that has not been answered."""

    peer: str
    since: float
    helped: bool = False
    asker: str = ""  # on whose behalf, and under which id it asked
    asked_as: int = 0
    knock: bool = False  # at somebody who counts as gone: no answer is no news
    first: bool = False  # at somebody never heard before: a connection has to be made


@dataclass(slots=True)
class _Due:
    """When what comes round comes next."""

    period: float = 0.0
    knock: float = 0.0
    sync: float = 0.0


@dataclass(slots=True)
class _Counts:
    """What addresses the draws."""

    probes: int = 0
    passes: int = 0
    spreads: int = 0
    knocks: int = 0
    syncs: int = 0


@dataclass
class SwimDetector:
    """Finds out who is there, and says who is not.

    Parameters
    ----------
    rules
    members
        The list that it keeps.
    contacts
        Whom it probes and tells, by name: those with whom a connection is worth its keep. None: everybody.

    Attributes
    ----------
    illness
        This node's own ill health, 0 (well) to 3: it grows where its own timers are late, where nobody at all is heard
        while it probes, and where it has to refute that it is suspect.
    """

    rules: SwimRules
    members: MemberList
    contacts: frozenset[str] | None = None
    illness: int = 0
    _rumours: BroadcastQueue = field(default_factory=BroadcastQueue)
    _open: dict[int, _Open] = field(default_factory=dict)
    _suspected: dict[str, float] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _sorry: dict[str, float] = field(default_factory=dict)
    _order: list[str] = field(default_factory=list)
    _due: _Due = field(default_factory=_Due)
    _counts: _Counts = field(default_factory=_Counts)
    _urgent: set[str] = field(default_factory=set)  # who must hear of it, whoever else does
    _pressing: bool = False

    @property
    def me(self) -> str:
        """This node's name."""
        return self.members.me.node

    def handle(self, event: ev.Event, now: float) -> Told:
        """Take one event; say what to send, when to be woken, and who has come to stand otherwise."""
        told: Told = []
        match event:
            case ev.Started():
                self._begin(now)
                self._rumours.put(self.members.me)
            case ev.Arrived(sender=sender, message=message):
                told += self._hear(sender, now)
                told += self._arrived(sender, message, now)
            case ev.LinkUp(peer=peer):
                told += self._hear(peer, now)
            case ev.LinkLost(peer) if peer in self._others() and peer in self.members.in_state("alive"):
                # More often than not its process has ended. But who was stopped finds all its connections ended when
                # it wakes: so others are asked, too, before anything is said.
                told += self._ask(peer, now)
            case ev.TimerFired(key, due) if key == TIMER:
                told += self._tick(now, now - due)
            case _:
                return []
        told += self._press()
        told.append(e.SetTimer(TIMER, self._next()))
        return told

    def left(self, peer: str, last: int, reason: str, now: float, *, spread: bool = True) -> Told:
        """Take note that a member has said goodbye; without `spread`, of what is no news to anybody."""
        if peer not in self.members or self.members.known[peer].state == "left":
            return []
        news, change = self.members.say(peer, "left", reason, last)
        told = self._changed(news, change, now, spread=spread)
        return [*told, *self._press()]

    # ----------------------------------------------------------------------------------------------- what others say

    def _arrived(self, sender: str, message: m.Message, now: float) -> Told:
        match message:
            case m.Ping(id=number, subject=subject, members=news):
                told = self._take(news, sender, now)
                if subject == self.me:
                    answer = m.Ack(number, subject, self._news(sender, self.me))
                    return [*told, e.Send((sender,), answer)]
                if subject == sender or sum(bool(probe.asker) for probe in self._open.values()) >= FAVORS:
                    return told
                return told + self._ask(subject, now, asker=sender, asked_as=number)
            case m.Ack(id=number, subject=subject, members=news):
                told = self._take(news, sender, now)
                probe = self._open.get(number)
                if probe is not None and probe.peer == subject:
                    told += self._hear(subject, now)
                return told
            case m.Gossip(members=news, extent=extent):
                told = self._take(news, sender, now, whole=extent != "fresh")
                return told + (self._tell_all(sender, "answer") if extent == "ask" else [])
            case _:
                return []

    def _take(self, news: Iterable[m.MemberState], sender: str, now: float, *, whole: bool = False) -> Told:
        told: Told = []
        for each in news:
            if each.node == self.me:
                told += self._about_me(each, sender)
                continue
            known = self.members.known.get(each.node)
            if whole and each.state == "dead" and known is not None and known.state in ("alive", "suspect"):
                # Two halves that meet again believe each other's members gone: let each speak for itself first.
                each = replace(each, state="suspect")
            told += self._changed(each, self.members.take(each, f"{sender} says so"), now)
        return told

    def _about_me(self, news: m.MemberState, sender: str) -> Told:
        mine = self.members.me
        if news.incarnation > mine.incarnation:
            reason = f"{sender} knows {self.me} in a newer life (incarnation {news.incarnation})"
            return [Change(self.me, "superseded", news.incarnation, news.addresses, reason)]
        if news.incarnation < mine.incarnation:
            self._rumours.put(mine)
        refuted = self.members.refute(news)
        if refuted is not None:
            self._worse()
            self._rumours.put(refuted)
            self._pressing = True
            self._urgent.add(sender)
            if news.state in ("dead", "left"):
                reason = f"{sender} believed that it had {'died' if news.state == 'dead' else 'left'}"
                return [Change(self.me, "readmitted", mine.incarnation, mine.addresses, reason)]
        return []

    def _changed(self, news: m.MemberState, change: Change | None, now: float, *, spread: bool = True) -> Told:
        """Draw the consequences of a saying that was taken in."""
        peer = news.node
        known = self.members.known[peer]
        if known.state != "suspect":
            self._suspected.pop(peer, None)
        elif peer not in self._suspected:
            self._suspected[peer] = now
        if known.state in ("dead", "left"):
            for number in [number for number, probe in self._open.items() if probe.peer == peer]:
                del self._open[number]
        if change is None:
            if (known.incarnation, known.refutations, known.state) != (
                news.incarnation, news.refutations, news.state,
            ):  # fmt: skip
                self._rumours.put(known)  # whoever said that does not know the newest
            return []
        if not spread:
            return [change]
        self._rumours.put(known)
        self._pressing = True
        if known.state == "suspect":
            self._urgent.add(peer)  # that it may refute
        return [change]

    def _hear(self, peer: str, now: float) -> Told:
        """Any traffic is a sign of life: a probe that is open is answered by it."""
        told: Told = []
        self._heard[peer] = now
        for number in [number for number, probe in self._open.items() if probe.peer == peer]:
            probe = self._open.pop(number)
            if not (probe.asker or probe.helped or probe.knock):
                self.illness = max(0, self.illness - 1)
            if probe.asker:
                told.append(e.Send((probe.asker,), m.Ack(probe.asked_as, peer, self._news(probe.asker, peer))))
        known = self.members.known.get(peer)
        if peer == self.me or (known is not None and known.state in ("alive", "left")):
            return told
        if now < self._sorry.get(peer, -SORRY_S) + SORRY_S:
            return told
        self._sorry[peer] = now
        if known is None:
            return told + self._tell_all(peer, "ask")
        if known.state == "suspect":
            # It is there, and only it may say so to everybody.
            self._suspected[peer] = now
            return [*told, e.Send((peer,), m.Gossip((known,)))]
        return [*told, e.Send((peer,), m.Gossip((known,))), *self._tell_all(peer, "ask")]

    # ------------------------------------------------------------------------------------------- what this node finds

    def _suspect(self, peer: str, reason: str, now: float) -> Told:
        news, change = self.members.say(peer, "suspect", reason)
        return self._changed(news, change, now)

    def _ask(self, peer: str, now: float, *, asker: str = "", asked_as: int = 0, knock: bool = False) -> Told:
        known = self.members.known.get(peer)
        if known is None:
            return []
        self._counts.probes += 1
        number = self._counts.probes
        first = peer not in self._heard
        self._open[number] = _Open(peer, now, asker=asker, asked_as=asked_as, knock=knock, first=first)
        link: list[e.Effect] = [e.Link(peer, known.addresses)] if known.addresses else []
        return [*link, e.Send((peer,), m.Ping(number, peer, self._news(peer)))]

    def _tick(self, now: float, late: float) -> Told:
        self._forgive(late, now)
        told: Told = []
        for number, probe in list(self._open.items()):
            if now >= probe.since + self._wait(probe, self.rules.period_s):
                self._open.pop(number, None)
                told += self._unanswered(probe, now)
            elif probe.helped or probe.knock or now < probe.since + self._wait(probe, self.rules.timeout_s):
                continue
            elif probe.asker:
                # Without a word of this the asker could not tell the silence of one from its own deafness.
                probe.helped = True
                told.append(e.Send((probe.asker,), m.Ack(probe.asked_as, self.me, self._news(probe.asker))))
            else:
                probe.helped = True
                helpers = self._draw([p for p in self._others() if p != probe.peer], self.rules.helpers, "help", number)
                if helpers:
                    told.append(e.Send(tuple(helpers), m.Ping(number, probe.peer, self._news(probe.peer))))
        for peer, since in list(self._suspected.items()):
            if now >= since + self.rules.suspicion_s:
                news, change = self.members.say(peer, "dead", "suspect, and silent since")
                told += self._changed(news, change, now)
        if now >= self._due.period:
            self._due.period = now + self.rules.period_s
            target = self._target(now)
            told += self._ask(target, now) if target else []
        if now >= self._due.knock:
            self._due.knock = now + self.rules.knock_s
            told += self._knock(now)
        if now >= self._due.sync:
            self._due.sync = now + self.rules.sync_s
            self._counts.syncs += 1
            for peer in self._draw(self._others(), 1, "sync", self._counts.syncs):
                told += self._tell_all(peer, "ask")
        return told

    def _unanswered(self, probe: _Open, now: float) -> Told:
        if probe.asker or probe.knock or probe.peer not in self.members.in_state("alive"):
            return []
        heard = any(at >= probe.since for at in self._heard.values())
        if not heard and len(self._others()) > 2 and self.illness < UNHEALTHY:
            self._worse()  # nobody at all was heard meanwhile: it is this node that does not hear
            return []
        limit = f"{self._wait(probe, self.rules.period_s):.2g} s"
        return self._suspect(probe.peer, f"no answer within {limit}, neither to this node nor to others", now)

    def _forgive(self, late: float, now: float) -> None:
        """Give everybody the time by which this node's own clock was served late, up to having begun to wait now."""
        if late <= 0:
            return
        if late > self.rules.timeout_s:
            self._worse()
        for probe in self._open.values():
            probe.since = min(now, probe.since + late)
        for peer, since in self._suspected.items():
            self._suspected[peer] = min(now, since + late)

    def _target(self, now: float) -> str:
        """Whom to probe: each in turn, in an order drawn anew for each pass (SWIM, section 4.3), if it is silent."""
        there = set(self._others())
        for _ in range(2):
            while self._order:
                peer = self._order.pop()
                # Whoever was heard within the period has no need to be asked.
                if peer in there and now >= self._heard.get(peer, -1e9) + self.rules.period_s:
                    return peer
            self._counts.passes += 1
            self._order = self._draw(sorted(there), len(there), "order", self._counts.passes)
        return ""

    def _knock(self, now: float) -> Told:
        gone = self.members.in_state("dead")
        if not gone:
            return []
        self._counts.knocks += 1
        return self._ask(gone[self._counts.knocks % len(gone)], now, knock=True)

    # -------------------------------------------------------------------------------------------------------- helpers

    def _begin(self, now: float) -> None:
        # All start together: without an offset of its own each would probe in the same instant.
        offset = float(generator(self.rules.seed, self.me, "probe", "offset").random())
        self._due = _Due(now + offset * self.rules.period_s, now + self.rules.knock_s, now + offset * self.rules.sync_s)

    def _next(self) -> float:
        due = [self._due.period, self._due.knock, self._due.sync]
        for probe in self._open.values():
            span = self.rules.period_s if probe.helped or probe.knock else self.rules.timeout_s
            due.append(probe.since + self._wait(probe, span))
        due += [since + self.rules.suspicion_s for since in self._suspected.values()]
        return min(due)

    def _wait(self, probe: _Open, seconds: float) -> float:
        """How long an answer is waited for: longer by an unhealthy node, and where there is no connection yet."""
        return seconds * (1 + self.illness) * (FIRST if probe.first and not probe.asker else 1)

    def _worse(self) -> None:
        self.illness = min(UNHEALTHY, self.illness + 1)

    def _others(self) -> list[str]:
        """Whom this node probes and tells, in name order."""
        there = self.members.in_state("alive", "suspect")
        return there if self.contacts is None else [peer for peer in there if peer in self.contacts]

    def _draw(self, names: list[str], count: int, *address: str | int) -> list[str]:
        if not names or not count:
            return []
        chosen = generator(self.rules.seed, self.me, "probe", *address).permutation(len(names))[:count]
        return [names[i] for i in chosen]

    def _news(self, *first: str) -> tuple[m.MemberState, ...]:
        return self._rumours.take(len(self.members.known) + 1, first)

    def _press(self) -> Told:
        """Tell a few at once what has changed, and whom it concerns."""
        if not self._pressing:
            return []
        self._pressing = False
        self._counts.spreads += 1
        to = {*self._draw(self._others(), SPREAD, "spread", self._counts.spreads), *self._urgent}
        self._urgent = set()
        news = self._news()
        return [e.Send(tuple(sorted(to)), m.Gossip(news))] if to and news else []

    def _tell_all(self, peer: str, extent: Literal["ask", "answer"]) -> Told:
        known = self.members.all()
        parts = [known[i : i + LIST] for i in range(0, len(known), LIST)]
        # Only the last part asks, so that one answer comes.
        return [e.Send((peer,), m.Gossip(part, extent if part is parts[-1] else "answer")) for part in parts]

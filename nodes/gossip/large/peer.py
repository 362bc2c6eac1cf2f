"""A peer of a run whose model no message can carry: announces what it sends, fetches what others announce; pure.

To the peer's own machine nothing of that is visible: it sends messages, and is given messages once all of them is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from msgspec import structs
from nervenet.broker import messages as m

from ...large.offer import REFUSALS
from ...large.sizes import ITEM_BYTES, Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.payload_checks import HEADER_BYTES
from ..rules import PeerRules
from .fetches import Fetch, Fetches
from .offers import Offers

_OWN = frozenset({m.Announcement, m.GetChunk, m.Chunk, m.Fetched})
MOST_ENCODED = 8  # bytes of an encoding for each number of what it stands for, at the most


class PeerMachine(Protocol):
    """What is asked of the machine inside."""

    rules: PeerRules

    @property
    def settled(self) -> ev.ModelReady | None: ...

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]: ...


class LargePeer(ABC):
    """Wraps a peer's machine; where its model fits a message, events go straight to that.

    From each neighbor one array after the other is fetched, and of several neighbors at once: a slow one holds up what
    is its own.
    """

    kinds: ClassVar[tuple[type[Any], ...]]  # what the machine takes of neighbors

    def __init__(self, machine: PeerMachine, sizes: Sizes) -> None:
        self.inner = machine
        self.sizes = sizes
        self.offers = Offers(sizes)
        self.fetches = Fetches(sizes)
        self.on_fetched: Callable[[], None] = lambda: None  # called when a neighbor needs no more of something
        self._fits = False  # the model is known, and fits a message
        self._incarnations: dict[str, int] = {}

    # ------------------------------------------------------------------------------- what the kind of machine decides

    @abstractmethod
    def _knows(self, peer: str) -> bool:
        """Whether what a node announces may be fetched."""

    @abstractmethod
    def _gone(self, peer: str) -> bool:
        """Whether a peer needs nothing more, and sends nothing more."""

    @abstractmethod
    def _is_over(self, message: m.Announced) -> bool:
        """Whether it is too late for a message: its array is not needed."""

    @property
    def _model(self) -> m.Payload | None:
        """What the agreed weights are on the wire, once that is known."""
        settled = self.inner.settled
        return None if settled is None else settled.payload

    def _timer(self, event: ev.TimerFired, now: float) -> list[e.Effect]:
        return self.inner.handle(event, now)

    def _moves(self, peer: str, now: float) -> list[e.Effect]:  # noqa: ARG002
        """Take note that something passes between this peer and another."""
        return []

    def _awaits(self, fetch: Fetch) -> list[e.Effect] | None:  # noqa: ARG002
        """Return what is to be done before an array can be fetched, None if it can be now."""
        return [] if self._model is None else None

    def _given_up(self, fetch: Fetch) -> None:  # noqa: B027
        """Take note that an array will not come."""

    def _arrives(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Hand a message to the machine, with its array or with what is wrong with that."""
        return self.inner.handle(event, now)

    # ------------------------------------------------------------------------------------------------------ events in

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        own = type(event) is ev.Arrived and type(event.message) in _OWN
        if self._fits and not own and not self.offers and not self.fetches:
            return self.inner.handle(event, now)
        effects = self._performed(self._handle(event, now), now)
        if self.fetches:
            effects += self._performed(self._go_on(now), now)
        if not self._fits and self._model is not None:
            length = len(self.inner.rules.needs.parts) * self._model.length
            self._fits = not self.sizes.too_large(structs.replace(self._model, length=length))
        return effects

    def _performed(self, effects: list[e.Effect], now: float) -> list[e.Effect]:
        """Announce what is too large to be sent; tell the machine what has made room for it."""
        found = self.offers.withhold(effects, now)
        while superseded := self.offers.take_superseded():
            for peer, message in superseded:
                if isinstance(message, m.Propose):
                    continue  # decided long ago: the machine proposes one thing at a time, and now another one
                reason = f"a newer one took its place before {peer} had fetched all of it"
                failed = ev.SendFailed(peer, m.tag_of(message), int(getattr(message, "round", 0)), reason, "slow")
                found += self.offers.withhold(self.inner.handle(failed, now), now)
        return found

    def _handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        match event:
            case ev.Arrived():
                return self._arrived(event, now)
            case ev.LinkUp(peer, _, incarnation):
                return self._connected(event, peer, incarnation, now)
            case ev.RangeKept():
                return self._kept(event, now)
            case ev.StillSending(peer):
                self.offers.moved(peer, now)
                return self.inner.handle(event, now)
            case ev.SendFailed(peer, "announcement", number):
                message = self.offers.unsent(peer, number)
                return [] if message is None else self.inner.handle(structs.replace(event, tag=m.tag_of(message)), now)
            case ev.SendFailed(tag="get_chunk" | "chunk" | "fetched"):
                return []  # it is asked for again
            case ev.TimerFired(("pulse",)):
                return self.inner.handle(event, now) + self._review(now)
            case ev.TimerFired():
                return self._timer(event, now)
            case _:
                return self.inner.handle(event, now)

    def _arrived(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        sender, message = event.sender, event.message
        match message:
            case m.Announcement():
                return self._heard(event, now) + self._announced(sender, message, now)
            case m.GetChunk():
                return self._heard(event, now) + self._moves(sender, now) + self.offers.serve(sender, message, now)
            case m.Chunk():
                return self._heard(event, now) + self._moves(sender, now) + self._came(event, message, now)
            case m.Fetched(generation):
                self.offers.fetched(sender, generation)
                self.on_fetched()
                return self._heard(event, now)
            case m.Refused(about="get_chunk") as refused:
                return self._refused(sender, refused) if refused.code in REFUSALS else []
            case m.Heartbeat(sending=rounds):
                self.fetches.on_its_way(sender, tuple(rounds), now)
            case m.Goodbye():
                self.offers.forget(sender)
            case _:
                pass
        return self.inner.handle(event, now)

    def _heard(self, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Have the machine see a sign of life."""
        return self.inner.handle(structs.replace(event, body=None, flaw=None), now)

    def _connected(self, event: ev.LinkUp, peer: str, incarnation: int, now: float) -> list[e.Effect]:
        """Say and ask again what a connection that has ended may have taken with it; of a new incarnation nothing."""
        before, self._incarnations[peer] = self._incarnations.get(peer, incarnation), incarnation
        if before == incarnation:
            return self.offers.again(peer) + self.fetches.again(peer, now) + self.inner.handle(event, now)
        self.offers.forget(peer)
        return self._forgotten(peer) + self.inner.handle(event, now)

    # ------------------------------------------------------------------------------------------------------- fetching

    def _announced(self, sender: str, announcement: m.Announcement, now: float) -> list[e.Effect]:
        generation = announcement.generation
        if self.fetches.waiting(sender, generation) or not self._knows(sender):
            return []  # said twice, or by a stranger
        if self.fetches.knows(sender, generation) or not isinstance(announcement.message, self.kinds):
            return [e.Send((sender,), m.Fetched(generation))]
        effects: list[e.Effect] = []
        for fetch in self.fetches.add(sender, announcement, now):
            self._given_up(fetch)
            effects += self.fetches.remove(fetch)
        return effects

    def _go_on(self, now: float) -> list[e.Effect]:
        """Begin with what is first of each sender; give up what is needed no longer."""
        effects: list[e.Effect] = []
        for sender in {fetch.sender: None for fetch in self.fetches}:
            while (fetch := self.fetches.first(sender)) is not None:
                if self._is_over(fetch.message):
                    effects += self._hand_on(fetch, None, None, now)
                    continue
                if fetch.pull is not None:
                    break
                before = self._awaits(fetch)
                if before is not None:
                    effects += before
                    break
                flaw = self._misfit(fetch.message.payload)
                if flaw is None:
                    effects += self.fetches.begin(fetch, now)
                    break
                effects += self._hand_on(fetch, None, flaw, now)
        return effects

    def _misfit(self, found: m.Payload) -> str | None:
        """Return why such an array can be nothing that peers of this run send, before room is made for it."""
        model, rules = self._model, self.inner.rules
        if model is None:
            return "no layout is settled yet"
        if found.layout != model.layout:
            return f"layout must be {model.layout}, found {found.layout[:100]}"
        numbers = len(rules.needs.parts) * model.length
        most = MOST_ENCODED * numbers + HEADER_BYTES if found.encoding else numbers
        if found.encoding and found.encoding != rules.encoding:
            return f"encoding must be {rules.encoding or 'none'}, found {found.encoding}"
        wanted = "uint8" if found.encoding else model.dtype
        if found.dtype != wanted:
            return f"dtype must be {wanted}, found {found.dtype}"
        if not 1 <= found.length <= most:
            return f"length must be 1 to {most}, found {found.length}"
        return None

    def _came(self, event: ev.Arrived, chunk: m.Chunk, now: float) -> list[e.Effect]:
        fetch = self.fetches.first(event.sender)
        if fetch is None or fetch.pull is None or chunk.generation != fetch.generation:
            return []
        pull = fetch.pull
        flaw = pull.take(event.sender, chunk, event.body, now) or event.flaw
        if flaw:
            return self._hand_on(fetch, None, flaw, now)
        return [
            e.KeepRange(pull.number, start, body, fetch.payload)
            for start, bodies in pull.complete()
            for body in bodies.values()
        ]

    def _kept(self, event: ev.RangeKept, now: float) -> list[e.Effect]:
        fetch = self.fetches.numbered(event.number)
        if fetch is None or fetch.pull is None:
            return []
        fetch.pull.used(event.start, now)
        if not fetch.pull.finished:
            return fetch.pull.request()
        record = e.Record(fetch.sender, fetch.message, event.body)
        return [record, *self._hand_on(fetch, event.body, None, now)]

    def _hand_on(self, fetch: Fetch, body: ev.Body, flaw: str | None, now: float) -> list[e.Effect]:
        """Give the machine a message with its array, or with what is wrong with that; or only the news of it, late."""
        effects = self.fetches.remove(fetch)
        if body is None:
            self._given_up(fetch)
        payload = fetch.message.payload
        nbytes = 0 if body is None else payload.length * ITEM_BYTES[payload.dtype]
        return effects + self._arrives(ev.Arrived(fetch.sender, fetch.message, body, flaw, nbytes), now)

    def _refused(self, sender: str, refused: m.Refused) -> list[e.Effect]:
        """Do without an array that is handed out no more; say so where it never would be, by other limits there."""
        fetch = self.fetches.first(sender)
        if fetch is None or fetch.generation != refused.round:
            return []
        self._given_up(fetch)
        effects = self.fetches.remove(fetch)
        if refused.code == "stale":
            return effects
        return [*effects, self._without(fetch, f"does not hand out its {fetch.what}: {refused.reason}")]

    @staticmethod
    def _without(fetch: Fetch, why: str) -> e.Effect:
        fields = {"subject": fetch.sender, "round": fetch.round, "reason": f"{fetch.sender} {why}"}
        return e.Publish("warning", fields)

    def _forgotten(self, peer: str) -> list[e.Effect]:
        for fetch in self.fetches.of(peer):
            self._given_up(fetch)
        return self.fetches.forget(peer)

    def _review(self, now: float) -> list[e.Effect]:
        """Ask again for what is overdue, and do without what does not move; forget those who have gone."""
        effects: list[e.Effect] = []
        for peer in {*self.offers.told(), *(fetch.sender for fetch in self.fetches)}:
            if self._gone(peer):
                self.offers.forget(peer)
                effects += self._forgotten(peer)
        patience_s = self.inner.rules.timing.deadline_s
        for fetch in self.fetches:
            if fetch.pull is None:
                continue
            idle_s = now - fetch.pull.progress_at
            if idle_s < patience_s:
                effects += self.fetches.overdue(fetch, now)
                continue
            self._given_up(fetch)
            effects += self.fetches.remove(fetch)
            why = f"has announced its {fetch.what}, and sent nothing of it for {idle_s:.0f} s: done without"
            effects.append(self._without(fetch, why))
        return effects

    def owed(self, now: float) -> set[str]:
        """Return who has been told of something, and has moved within the deadline: they may still fetch it."""
        there = self.offers.owed(now - self.inner.rules.timing.deadline_s)
        return {peer for peer in there if not self._gone(peer)}

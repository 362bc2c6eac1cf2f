"""Membership of a peer: ties failure detection, the partial view, the announced edges and graph repair together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from nervenet.broker import messages as m
from nervenet.broker.terms import differing
from nervenet.models.rng import generator

from ...runtime import effects as e
from ...runtime import events as ev
from ...runtime.payload_checks import brief
from ...topology import Schedule, TopologyError
from ..neighborhood import Neighborhood
from .edge_agreement import DynamicNeighborhood, EdgeAgreement
from .graph_repair import repair
from .links import Links
from .member_list import Change, MemberList
from .peer_sampling import SIZE, PartialView
from .swim import TIMER, Actions, SwimDetector, SwimRules

SHUFFLE: ev.Key = ("shuffle",)
SHUFFLE_S = 60.0  # each contact that is new costs two connections, and what is said to open them
_OF_THE_WORKER = (ev.Trained, ev.Mixed, ev.Parts, ev.Reduced, ev.Evaluated, ev.Saved)
FEW = 16  # others, up to which a peer keeps in touch with everybody

Layout: TypeAlias = Callable[[Sequence[str]], Schedule]
"""Builds the run's topology over members; raises `TopologyError` where it has no such graph."""


@dataclass(frozen=True)
class MembershipRules:
    """Who a peer is, with whom its run began, and whom it knows."""

    me: m.MemberState
    founders: tuple[str, ...]
    others: tuple[m.MemberState, ...]  # its own state among them is passed over
    layout: Layout
    relaid: bool = False  # the topology is built anew over whoever is here (a ring, a star), not repaired edge by edge
    mixing: str = "metropolis-hastings"
    doubly: bool = True
    shortcuts: tuple[str, ...] = ()  # linked for round 0 alone, though no edge leads there
    late: bool = False  # the run has begun without this peer
    shared_config: Mapping[str, Any] = field(default_factory=dict)
    events_in: str = ""
    swim: SwimRules = field(default_factory=SwimRules)
    view: int = SIZE


class MembershipService:
    """Keeps track of who is there (`members`) and of this peer's place among them (`neighborhood`).

    `late`: the run has begun without this peer. While `gathering` it has not begun, and nobody is probed: without all
    of them it does not begin, and many that meet at once are too busy to answer in time. `until` is the last round that
    this peer will do: who has done it, too, and leaves, leaves no gap.
    """

    def __init__(self, rules: MembershipRules) -> None:
        self.rules = rules
        self.name = rules.me.node
        self.members = MemberList(rules.me, rules.others)
        self.detector = SwimDetector(rules.swim, self.members)
        self.view = PartialView(self._contact(rules.me), rules.swim.seed, size=rules.view)
        self.until = 0
        self.late = rules.late
        self.gathering = not rules.late
        schedule = rules.layout(rules.founders)
        # An edge has two ends that can announce it only where graphs are undirected and stay the same.
        self.fixed = schedule.fixed
        self.announces = schedule.fixed and not schedule.directed and schedule.weights(1) is None
        self._founding = schedule.out(1)
        founding_edges = self._founding[self.name] if self.announces and not rules.late else ()
        self.edges = EdgeAgreement.agreed(founding_edges)
        self.neighborhood: Neighborhood | DynamicNeighborhood
        self.neighborhood = DynamicNeighborhood(self.name, self.edges, doubly=rules.doubly)
        self._active = not rules.late
        # Who is late has no place in the graph until it begins, and may never have had one.
        self._laid_over: tuple[str, ...] = () if rules.late else tuple(sorted(rules.founders))
        self._following: Neighborhood | None = None  # from the next round on
        if not (self.announces or rules.late):
            self.neighborhood = self._place_in(schedule)
        self._links = Links(self.members)
        self._shuffles = 0
        self.view.fill(self._contact(self.members.known[name]) for name in self.members.in_state("alive", "suspect"))
        self._choose_contacts()

    # ---------------------------------------------------------------------------------------------------- events in

    def only_heard(self, event: ev.Event, now: float) -> bool:
        """Return whether an event is one of the many that only tell that a peer is there, and take note of that; or not
        even that, but what the worker has done. What `handle` would make of it is nothing, at far more cost.
        """
        if self.gathering or self._links.dirty:
            return False
        if not isinstance(event, ev.Arrived):
            return isinstance(event, _OF_THE_WORKER)
        return isinstance(event.message, m.Exchange | m.Heartbeat) and self.detector.only_heard(event.sender, now)

    def handle(self, event: ev.Event, now: float) -> Actions:
        """Take an event; return effects to perform and changes to act on. Those of no concern give nothing."""
        actions: Actions = []
        match event:
            case ev.Started():
                actions += self._start(now)
            case ev.Arrived(sender, m.Edge() as edge) if self.announces:
                answer = self.edges.heard(sender, edge)
                actions += [e.Send((sender,), answer)] if answer is not None else []
            case ev.Arrived(sender, m.GetPeers(shared_config)):
                return self._introduce(sender, shared_config)
            case ev.Arrived(sender, m.Shuffle(contacts, answer)):
                actions += self._shuffled(sender, contacts, answer, now)
            case ev.TimerFired(key) if key == SHUFFLE:
                actions += self._shuffle(now)
            case ev.TimerFired(key) if key == TIMER and self.gathering:
                return [e.SetTimer(TIMER, now + self.rules.swim.period_s)]
            case ev.TimerFired(key) if key != TIMER:
                return []
            case ev.Arrived(sender, m.Goodbye(round=last, reason=reason)):
                actions += self.detector.left(sender, last, reason, now, spread=last < self.until)
        actions += self.detector.handle(event, now)
        changes = [each for each in actions if isinstance(each, Change)]
        for change in changes:
            actions += self._changed(change)
        if changes and all(self._leaves_no_gap(change) for change in changes):
            self._choose_contacts()
        elif changes:
            actions += self.rewire()
        return self._over_links(actions)

    @property
    def linked(self) -> list[str]:
        return [peer for peer in self.members.in_state("alive", "suspect") if peer in self._links]

    def expects(self, peer: str, number: int, *, later: bool) -> bool:
        """Whether a peer is to send this one a model in a round, the open one or a `later` one, for all that is known.

        A graph that is laid anew holds from the next round on, and its models may come before that.
        """
        neighborhood = self.neighborhood if self._following is None or not later else self._following
        return peer in neighborhood.sources(number)

    def in_touch(self, peer: str) -> bool:
        """Whether a connection with a member is worth its keep."""
        return self.detector.is_contact(peer)

    def gathered(self) -> None:
        """Take note that the run has begun: the links of round 0 alone are needed no more, and others are probed."""
        self.gathering, self._links.dirty = False, True

    def open(self, number: int) -> list[e.Effect]:
        if self._following is not None:
            self.neighborhood, self._following = self._following, None
        effects = self._announce(self.edges.open(number)) if self.announces else []
        self._links.stand(self._standing)
        return effects

    @property
    def missing(self) -> tuple[str, ...]:
        """Founders that are not here."""
        here = self.members.present()
        return tuple(name for name in sorted(self.rules.founders) if name not in here and name != self.name)

    @property
    def count(self) -> int:
        """How many are there and not suspected, this peer and those that have done their rounds included."""
        return len(self._counted())

    @property
    def absent(self) -> tuple[str, ...]:
        """Who is not counted there: founders that are not here, and those that are suspected."""
        expected = {*self.rules.founders, *self.members.in_state("suspect")}
        return tuple(sorted(expected - self._counted() - {self.name}))

    def _counted(self) -> set[str]:
        return set(self._here()).difference(self.members.in_state("suspect"))

    def cut_off(self, number: int) -> bool:
        """Whether a round has no neighbor since nobody is here; a graph that changes may have none in a round."""
        return self.announces and not self.neighborhood.sources(number) and bool(self.missing)

    def refused_by(self, peer: str) -> bool:
        """Take note that another refuses this peer as older than one of its name; return whether most do."""
        return self.detector.statements.twin.refused_by(peer)

    def missed(self, peer: str) -> list[e.Effect]:
        return self._announce(self.edges.missed(peer)) if self.announces else []

    def outdated(self, peer: str, number: int) -> list[e.Effect]:
        return self._announce(self.edges.outdated(peer, number)) if self.announces else []

    def begin(self, number: int) -> list[e.Effect]:
        self._active = True
        self.edges.round = number
        return [each for each in self._over_links(self.rewire()) if not isinstance(each, Change)]

    def go_back(self, number: int) -> list[e.Effect]:
        """Take up this peer's edges after an earlier round than the open one, as all who hold them are in that."""
        return self._announce(self.edges.go_back(number)) if self.announces else []

    def rewire(self) -> Actions:
        """Repair the graph for who is here now, and say whose edges change."""
        here = self._here()
        if not self._active or self.name not in here:
            return []
        if not self.announces:
            self._relay_graph(here)
            return []
        left = self.members.in_state("left")
        wanted = [peer for peer in self._graph(here).get(self.name, ()) if peer not in left]
        effects: Actions = [*self._announce(self.edges.want(wanted))]
        self._choose_contacts()
        return effects

    # ------------------------------------------------------------------------------------------------------- what for

    def _start(self, now: float) -> Actions:
        links: Actions = [link for peer in self._kept if (link := self._links.dial(peer))]
        if self.rules.late:
            # To make itself known to all, and to have a peer to ask for the model.
            for peer in sorted(self.detector.contacts or self.members.present())[: self.rules.view]:
                if peer != self.name:
                    links += [link] if (link := self._links.dial(peer)) else []
                    links.append(e.Send((peer,), m.Gossip((self.members.me,), "ask")))
        return [*links, e.SetTimer(SHUFFLE, now + self._pause())]

    def _leaves_no_gap(self, change: Change) -> bool:
        """Whether the graph is the same here: hundreds leave when they are done, few of them neighbors."""
        done = change.state == "left" and change.last >= self.until
        return done and change.peer not in self.neighborhood.ever

    def _changed(self, change: Change) -> list[e.Effect]:
        peer = change.peer
        match change.state:
            case "readmitted" if self._active:
                # The others have dropped its edges; it has not.
                return self._announce({p: edge for p in self.edges.wanted if (edge := self.edges.again(p)) is not None})
            case "dead" | "left":
                if change.state == "left":
                    self.edges.left(peer, change.last)
                else:
                    self.edges.forget(peer)
                # The link is kept: whoever was only stopped would find all its connections ended when it wakes.
                self.view.drop(peer)
            case "restarted":
                self.edges.forget(peer)
                self._links.drop(peer)
        if change.state in ("alive", "restarted"):
            self.view.fill([self._contact(self.members.known[peer])])
        return []

    def _introduce(self, stranger: str, shared_config: Mapping[str, Any]) -> Actions:
        others = differing(self.rules.shared_config, shared_config)
        if others:
            reason = brief(f"this run was opened with other terms: {others}; who opened it has the experiment")
            return [e.Send((stranger,), m.Refused("get_peers", 0, "config", reason))]
        here = self._here()
        some = [self.members.me, *(state for state in self.members.known.values() if state.node in here)]
        return [e.Send((stranger,), m.Peers(tuple(some[:FEW]), self.rules.founders, self.rules.events_in))]

    def _shuffle(self, now: float) -> Actions:
        actions: Actions = [e.SetTimer(SHUFFLE, now + self._pause())]
        if self.detector.contacts is None:
            return actions
        # Links that no contact needs any more; an answer to the trade before may have come over one.
        actions += self._links.hang_up(self._needed)
        offer = self.view.trade()
        if offer is not None:
            partner, contacts = offer
            actions.append(e.Send((partner,), m.Shuffle(contacts)))
        return actions

    def _shuffled(self, sender: str, contacts: tuple[m.Contact, ...], answer: bool, now: float) -> Actions:
        known = [self._contact(state) for c in contacts if (state := self._worth(c)) is not None]
        # Who is told of here and no member is asked, as where it is told of elsewhere.
        news = [m.MemberState(c.node, c.incarnation, "alive", addresses=c.addresses) for c in contacts]
        back: Actions = [*self.detector.statements.take(news, sender, now)]
        if answer:
            self.view.answered(sender, known)
        else:
            back.append(e.Send((sender,), m.Shuffle(self.view.take(sender, known), answer=True)))
        self._choose_contacts()
        return back

    # -------------------------------------------------------------------------------------------------------- helpers

    def _here(self) -> list[str]:
        done = [s.node for s in self.members.known.values() if s.state == "left" and s.last >= self.until]
        return sorted({*self.members.present(), *done})

    def _graph(self, here: list[str]) -> Mapping[str, Sequence[str]]:
        if here == sorted(self.rules.founders):
            return self._founding
        if self.rules.relaid:
            try:
                return self.rules.layout(here).out(1)
            except TopologyError:
                pass
        return repair(self._founding, here, seed=self.rules.swim.seed)

    def _relay_graph(self, here: list[str]) -> None:
        if tuple(here) == self._laid_over:
            return
        try:
            self._following = self._place_in(self.rules.layout(here))
            self._laid_over = tuple(here)
        except TopologyError:
            pass  # there is none over so many: the old one serves, with gaps

    def _place_in(self, schedule: Schedule) -> Neighborhood:
        return Neighborhood(self.name, schedule, self.rules.mixing, doubly=self.rules.doubly)

    def _announce(self, said: Mapping[str, m.Edge]) -> list[e.Effect]:
        self._links.dirty |= bool(said)
        return [e.Send((peer,), edge) for peer, edge in said.items()]

    def _choose_contacts(self) -> None:
        """Probe everybody where they are few; else one's neighbors and the partial view."""
        few = len(self.members.present()) - 1 <= FEW
        self.detector.contacts = None if few else frozenset({*self.neighborhood.ever, *self.view.contacts})

    def _needed(self, peer: str) -> bool:
        contacts = self.detector.contacts
        return contacts is None or peer in contacts or peer in self._kept

    def _over_links(self, actions: Actions) -> Actions:
        return self._links.before(actions, self._needed, self._standing)

    @property
    def _standing(self) -> tuple[str, ...]:
        return self._kept if self._active else ()

    @property
    def _kept(self) -> tuple[str, ...]:
        """With whom there is to be a link whether or not something is sent."""
        return (*self.neighborhood.ever, *(self.rules.shortcuts if self.gathering else ()))

    def _worth(self, contact: m.Contact) -> m.MemberState | None:
        """Return the member that a contact is, as it is known here; None if it is none, or not there."""
        known = self.members.known.get(contact.node)
        return known if known is not None and known.state in ("alive", "suspect") else None

    def _pause(self) -> float:
        self._shuffles += 1
        draw = generator(self.rules.swim.seed, self.name, "shuffle", self._shuffles).random()
        return SHUFFLE_S * (0.75 + 0.5 * float(draw))  # in step with nobody: who trades last in a cycle is held longer

    @staticmethod
    def _contact(state: m.MemberState) -> m.Contact:
        return m.Contact(state.node, state.incarnation, state.addresses, 0)

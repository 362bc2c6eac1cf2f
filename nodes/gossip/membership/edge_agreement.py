"""Which edges count in a round, when members come and go: those that both ends have announced before it.

Each end says to the other, while it is in round r - 1 at the latest, "from round r on I hold an edge to you, one of my
d". What counts in a round is settled when the round is opened; nothing is added in it. A peer sends its model over the
edges that count for it, says its degree again with it, and mixes a model in only if the edge counts for it too. So
whatever two peers know of each other, either both mix the other in, with the same Metropolis-Hastings weight of the
two degrees that they announced, or neither does: the matrix over all who take part in a round is symmetric and doubly
stochastic, and the mean is preserved while members join and leave. (A connection that breaks within a round may still
deliver one way only, as it may without any change of members.)

An edge that one end withdraws and takes up again is another edge. Each end counts how often it has withdrawn it; with
whatever it says of the edge it says that, and how often the other has, for all that it knows. What was said by an end
that did not know of the last withdrawal is not of the edge that there is now: it may have counted the old one in a
round that both name, and been told within the round that it must not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from nervenet.broker.messages import Edge

EVER = 2**62
LAG = 5  # rounds by which one may be behind a new neighbor and catch up by itself


@dataclass(frozen=True, slots=True)
class Span:
    """The rounds in which one end holds an edge: from `since` on, and before `until`.

    Of the other end's withdrawals it had `heard` so many.
    """

    since: int
    until: int = EVER
    heard: int = 0

    def in_round(self, number: int) -> bool:
        return self.since <= number < self.until


class EdgeAgreement:
    """One peer's edges: what it holds, what the others say that they hold, and what counts in the open `round`.

    `neighbors` are those whose edge counts in it; by `degree`, at least as many, this peer weighs them.
    """

    def __init__(self) -> None:
        self.round = 0
        self.degree = 0
        self.neighbors: set[str] = set()
        self._mine: dict[str, Span] = {}
        self._theirs: dict[str, Span] = {}
        self._again: set[str] = set()  # dropped and taken up in one round
        self._declined: set[str] = set()  # said last that they hold none
        self._ending: set[str] = set()  # neighbors that hold the edge until a later round than the open one
        self._counted_in: dict[str, int] = {}  # the last round before the open one in which the edge to them counted
        self._withdrawn: dict[str, int] = {}  # how often this peer has withdrawn its edge to them
        self._heard: dict[str, int] = {}  # how often they say that they have theirs

    @classmethod
    def agreed(cls, peers: Collection[str]) -> EdgeAgreement:
        """Begin with edges of which both ends know without a word: those of the roster's graph, from round 1 on."""
        edges = cls()
        for peer in peers:
            edges._mine[peer] = edges._theirs[peer] = Span(1)
        return edges

    @property
    def wanted(self) -> list[str]:
        """Those to whom this peer holds an edge from the next round on, announced back or not, in name order."""
        return sorted({peer for peer, mine in self._mine.items() if mine.until == EVER} | self._again)

    def open(self, number: int) -> dict[str, Edge]:
        """Settle what counts in round `number`, later than any opened before; return what is to be said to whom."""
        self._counted_in |= dict.fromkeys(self.neighbors, self.round)
        self.round = number
        self._mine = {peer: mine for peer, mine in self._mine.items() if mine.until > number}
        self._theirs = {peer: theirs for peer, theirs in self._theirs.items() if theirs.until > number}
        self.degree = len(self._mine)
        self.neighbors = {
            peer
            for peer, mine in self._mine.items()
            if peer in self._theirs and mine.in_round(number) and self._theirs[peer].in_round(number)
        }
        self._ending = {peer for peer in self.neighbors if self._theirs[peer].until != EVER}
        again, self._again = self._again, set()
        said = self.want({*self.wanted, *again}) if again else {}
        # What was said may have been lost, or what was said in return. Who has declined may not have come to this round
        # yet, and would take what is said anew for the end of an edge that counts for both where it is.
        for peer in self.wanted:
            if self._mine[peer].since < number and peer not in self._theirs and peer not in self._declined:
                said |= self._anew(peer)
        return said

    def missed(self, peer: str) -> dict[str, Edge]:
        """Announce anew an edge of whose other end nothing is known, to one that has sent a model over it."""
        return self._anew(peer) if peer not in self._theirs else {}

    def outdated(self, peer: str, number: int) -> dict[str, Edge]:
        """Announce anew an edge to one that has sent a model of round `number` over it, though it had said that it
        holds the edge from a later round on: it has gone back since, and what it said of that is lost.

        Else its end would wait for this one, round after round, until they are where it was.
        """
        theirs = self._theirs.get(peer)
        return self._anew(peer) if theirs is not None and theirs.since > max(number, self.round) else {}

    def _anew(self, peer: str) -> dict[str, Edge]:
        edge = self.again(peer)
        return {} if edge is None else {peer: edge}

    def want(self, peers: Collection[str]) -> dict[str, Edge]:
        """Hold edges to exactly these from the next round on; return what is to be said, to the dropped too."""
        following = self.round + 1
        said: dict[str, Edge] = {}
        held = {peer for peer, mine in self._mine.items() if mine.until == EVER}
        for peer in sorted(held - set(peers)):
            # One that was to begin with the next round is kept as empty: taken up anew within this one, it would be
            # announced for the very round in which the other end may already act on its end.
            since = min(self._mine[peer].since, following)
            self._mine[peer] = Span(since, following)
            self._withdrawn[peer] = self._withdrawn.get(peer, 0) + 1
            said[peer] = self._edge(peer, self._uncounted(peer, since), 0)
        self._again.clear()
        for peer in sorted(set(peers) - held):
            if peer in self._mine:
                # Dropped in this very round: the other end may act on that within the next one already.
                self._again.add(peer)
            else:
                self._drop_outdated(peer)
                self._mine[peer] = Span(following)
                said[peer] = self._edge(peer, following, len(peers))
        return said

    def again(self, peer: str) -> Edge | None:
        """Announce the edge anew to one that knows nothing of it, or from which nothing was heard for long."""
        if not self._holds(peer):
            return None
        self._theirs.pop(peer, None)
        self.neighbors.discard(peer)
        self._mine[peer] = Span(self.round + 1)
        return self._edge(peer, self.round + 1, len(self.wanted))

    def go_back(self, number: int) -> dict[str, Edge]:
        """Begin again after a round that is earlier than the open one; return what is to be said to whom."""
        wanted = self.wanted
        self.round, self.degree, self.neighbors = number, 0, set()
        self._again.clear()
        self._ending.clear()
        for peer in wanted:
            self._drop_outdated(peer)
        self._mine = {peer: Span(number + 1) for peer in wanted}
        return {peer: self._edge(peer, number + 1, len(wanted)) for peer in wanted}

    def heard(self, peer: str, edge: Edge) -> Edge | None:
        """Take what a peer announces; return what is to be said to it.

        That is an answer where it came too late for the round it names, or is of an edge that had been withdrawn.
        """
        before = self._theirs.get(peer)
        known = self._heard.get(peer, 0)
        self._heard[peer] = max(known, edge.withdrawn)
        if not edge.degree:
            self._declined.add(peer)
            if before is not None:
                self._theirs[peer] = replace(before, until=edge.round)
            if edge.round <= self.round:
                self.neighbors.discard(peer)
            elif peer in self.neighbors:
                self._ending.add(peer)
            return None
        self._declined.discard(peer)
        if self._holds(peer) and edge.heard < self._withdrawn.get(peer, 0):
            # This end's word of the edge that there is now is on its way, and is answered. Unless that is forgotten, or
            # will be taken for the word of one that does not know of the last withdrawal: then it is said anew.
            lost = before is not None or edge.withdrawn > known
            return self.again(peer) if lost and not edge.answer else None
        self._theirs[peer] = Span(edge.round, heard=edge.heard)
        ended = before is None or before.until != EVER
        # What this end has said of an edge that its other end has withdrawn since does not count for the next one.
        another = ended and edge.withdrawn > 0 and not edge.answer and self._holds(peer)
        if edge.round > self.round:
            if ended:
                return self._edge(peer, edge.round, len(self.wanted), answer=True) if another else None
            if peer not in self._ending:  # else the edge that counts in this round is another one
                self.neighbors.discard(peer)  # for its sender the edge does not count yet
            # Whoever announces anew what stands may have forgotten what was announced to it.
            return None if edge.answer else self._answer(peer)
        if peer in self.neighbors:
            # One that announces anew what counts here already, and for the first time in this round, may not know that
            # it does: this end's word was lost, and the other would announce it anew in each round, and never count it.
            anew = not edge.answer and before is not None and before.since < edge.round
            if not (anew or another) or not self._holds(peer):
                return None
            # Not before this end holds it: the other would wait for models that were mixed without it.
            since = max(edge.round, self._mine[peer].since)
            return self._edge(peer, since, len(self.wanted), answer=True)
        if not self._holds(peer):
            return self._edge(peer, self._uncounted(peer, edge.round), 0, answer=True)  # whatever it had said before
        # This round was opened without the edge, and for the sender it may count already: not before the next one.
        return self._answer(peer)

    def _answer(self, peer: str) -> Edge | None:
        if not self._holds(peer):
            return None
        self._mine[peer] = Span(self.round + 1)
        return self._edge(peer, self.round + 1, len(self.wanted), answer=True)

    def _edge(self, peer: str, since: int, degree: int, *, answer: bool = False) -> Edge:
        return Edge(since, degree, answer, self._withdrawn.get(peer, 0), self._heard.get(peer, 0))

    def _uncounted(self, peer: str, since: int) -> int:
        """Return the round, `since` this one or later, from which on an edge that is not held does not count here.

        The other end may be behind. In a round that has counted here it still counts for that; in one that has not,
        though this end held the edge, it would wait there for a model.
        """
        counted_in = self.round if peer in self.neighbors else self._counted_in.get(peer, 0)
        return min(max(since, counted_in + 1), self.round + 1)

    def _drop_outdated(self, peer: str) -> None:
        """Drop what the other end said before it knew of this end's last withdrawal: the edge is taken up anew."""
        theirs = self._theirs.get(peer)
        if theirs is not None and theirs.heard < self._withdrawn.get(peer, 0):
            del self._theirs[peer]

    def _holds(self, peer: str) -> bool:
        return peer in self._mine and self._mine[peer].until == EVER

    def left(self, peer: str, last: int) -> None:
        """Hold no edge to one that left after round `last`: until then it counts."""
        counts = last >= self.round and peer in self.neighbors
        self.forget(peer)
        if counts:
            self.neighbors.add(peer)

    def counted(self, peer: str, number: int) -> bool:
        ends = (self._mine.get(peer), self._theirs.get(peer))
        return all(end is not None and end.in_round(number) for end in ends)

    def forget(self, peer: str) -> None:
        """Drop the edge to one that has gone; if it comes back, both ends announce it anew."""
        self._mine.pop(peer, None)
        self._theirs.pop(peer, None)
        self._again.discard(peer)
        self._declined.discard(peer)
        self._heard.pop(peer, None)
        self._ending.discard(peer)
        self.neighbors.discard(peer)


def row(me: str, degree: int, degrees: Mapping[str, int]) -> dict[str, float]:
    """Return this peer's Metropolis-Hastings weights: ``1 / (1 + max(d_i, d_j))`` an edge, the rest to itself.

    The degrees are those that this peer and each neighbor that is mixed in say with their models of the round.
    """
    weights = {peer: 1.0 / (1 + max(degree, other)) for peer, other in degrees.items()}
    weights[me] = 1.0 - sum(weights[peer] for peer in sorted(weights))
    return dict(sorted(weights.items()))


class DynamicNeighborhood:
    """A peer's place in a graph whose members come and go: the edges that both ends have announced.

    What `Neighborhood` is where the graph is known from the start. Unless the algorithm needs a `doubly` stochastic
    matrix, all that is there counts alike.
    """

    def __init__(self, me: str, edges: EdgeAgreement, *, doubly: bool) -> None:
        self.me = me
        self.edges = edges
        self.doubly = doubly

    @property
    def ever(self) -> tuple[str, ...]:
        return tuple(sorted({*self.edges.wanted, *self.edges.neighbors}))

    @property
    def degree(self) -> int:
        """With how many edges this peer weighs its neighbors; it goes with the model."""
        return self.edges.degree

    def to(self, number: int) -> tuple[str, ...]:
        """Whom this peer sends to in a round: exactly in the open one, as far as can be known in a later one."""
        return tuple(sorted(self.edges.neighbors)) if number == self.edges.round else tuple(self.edges.wanted)

    def sources(self, number: int) -> tuple[str, ...]:
        return self.to(number)

    def weights(self, number: int, degrees: Mapping[str, int]) -> dict[str, float]:  # noqa: ARG002
        """Return the weights of those who have sent, with the degrees that they say they have, and of this peer."""
        if self.doubly:
            return row(self.me, self.degree, degrees)
        names = sorted({*degrees, self.me})
        return dict.fromkeys(names, 1.0 / len(names))

    def overtaken(self, peer: str, by: int, first: int) -> bool:
        """Whether `peer` is in round `by` without this one, which has sent nothing of round `first` yet.

        Where the edge counts in round `first` already, it has not waited. Where it counts later only, it waits there
        for this one: worth while for a few rounds, but not for all that a run has done while it was cut in two. Where
        it counts at no end in round `by`, the round that is named says nothing.
        """
        return by > first and self.edges.counted(peer, first if by <= first + LAG else by)

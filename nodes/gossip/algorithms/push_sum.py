"""Stochastic gradient push: averaging on directed graphs, by a mass that travels with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from nervenet.models.aggregate import combine

from .base import Algorithm, Incoming, Needs, Outgoing, OutgoingVector, Progress, State, Stepped, Vector, number

SENT, SENT_MASS = "sent/", "sent-mass/"
RECEIVED, RECEIVED_MASS = "received/", "received-mass/"
GONE_MASS = "gone-mass/"


@dataclass(frozen=True)
class SGP(Algorithm):
    """Push shares of the model and of a mass along the edges; the model is their ratio (Assran et al. 2019).

    arXiv 1811.10792, Algorithm 1: with x the model times the mass w, train from ``z = x / w`` and move x by what
    training moved z; then keep the share ``1 / (1 + d)`` of x and of w, and send one to each of the d out-neighbors.
    The sums of x and w over all peers stay what they are on any graph, directed and varying, and z tends to the mean
    wherever everybody can reach everybody.

    Over a network that loses messages the shares travel as running sums for each edge (Hadjicostis, Vaidya &
    Domínguez-García 2016, "Robust distributed average consensus via exchange of running sums"): a receiver takes in
    what the sum has grown by since it last heard. So a message that is lost, late, doubled or overtaken costs nothing
    permanently: the next one brings what it held. That needs neither acknowledgments nor an agreement on what arrived,
    which a network cannot give; the price is a model's memory for each edge whose sum differs, and a precision that
    falls as the sums grow (float32: about 1e-7 of a model for each round since the start; rounding does not add up).
    The mass that a peer has when it is gone, and what is on its way to it, is gone with it: what each peer gave it
    and had of it is in the neighbors' ``mass_out``.
    """

    needs: ClassVar[Needs] = Needs(mass=True, directed=True, doubly=False)

    def init(self, weights: Vector, common: Vector) -> State:  # noqa: ARG002
        return {"numerator": weights, "mass": number(1.0)}

    def forget(self, state: State, peer: str) -> State:
        """Begin new sums; what the previous incarnation had of this peer, and it of that, is kept on record."""
        record = number(balance(state).get(peer, 0.0))
        mine = [kind + peer for kind in (SENT, SENT_MASS, RECEIVED, RECEIVED_MASS)]
        return {**{name: array for name, array in state.items() if name not in mine}, GONE_MASS + peer: record}

    def outgoing(self, state: State, progress: Progress) -> tuple[State, Outgoing]:
        """Split over those to whom this round sends; to anybody else the sum stays as it was."""
        x = state["numerator"] + (progress.after - progress.before)
        share = 1.0 / (1 + len(progress.to))
        part, part_mass = x * x.dtype.type(share), float(state["mass"]) * share
        after: dict[str, Vector] = dict(state)
        # Peers that were always sent alike have one sum between them, in memory, too.
        grown: dict[int, tuple[Vector, Vector]] = {}
        for peer in progress.to:
            sent = state.get(SENT + peer)
            if id(sent) not in grown:
                total = part if sent is None else sent + part
                grown[id(sent)] = total, (total if sent is None else total - sent)
            total, given = grown[id(sent)]
            # What the receiver will find, to the bit, is what goes from here: rounding neither makes nor loses any.
            x = x - given
            after[SENT + peer] = total
            mass = float(state.get(SENT_MASS + peer, 0.0))
            after[SENT_MASS + peer] = number(mass + part_mass)
            after["mass"] = number(float(after["mass"]) - (float(after[SENT_MASS + peer]) - mass))
        after["numerator"] = x
        peers = sorted(key.removeprefix(SENT) for key in after if key.startswith(SENT))
        shares = {peer: OutgoingVector(after[SENT + peer], float(after[SENT_MASS + peer])) for peer in peers}
        return after, Outgoing(OutgoingVector(progress.after), shares)

    def step(self, state: State, mine: Vector, inbox: Mapping[str, Incoming], row: Mapping[str, float]) -> Stepped:  # noqa: ARG002
        after: dict[str, Vector] = dict(state)
        vectors, mass = [state["numerator"]], float(state["mass"])
        signs = [1.0]
        for peer, message in inbox.items():
            known = state.get(RECEIVED + peer)
            vectors.append(message.vector if known is None else message.vector - known)
            signs.append(1.0)
            mass += message.mass - float(state.get(RECEIVED_MASS + peer, 0.0))
            after[RECEIVED + peer], after[RECEIVED_MASS + peer] = message.vector, number(message.mass)
        x = combine(vectors, signs)
        after["numerator"], after["mass"] = x, number(mass)
        given = {peer: round(net, 9) for peer, net in balance(after).items()}
        return Stepped(after, x / x.dtype.type(mass), metrics={"mass": mass, "mass_out": given})


def balance(state: State) -> dict[str, float]:
    """Return how much more mass this peer has given to each other than it has had of it.

    Summed over the living, that is what the mass of a dead peer had grown by, and what is on its way between two that
    live.
    """
    net: dict[str, float] = {}
    for kind, sign in ((SENT_MASS, 1.0), (RECEIVED_MASS, -1.0), (GONE_MASS, 1.0)):
        for key in state:
            if key.startswith(kind):
                peer = key.removeprefix(kind)
                net[peer] = net.get(peer, 0.0) + sign * float(state[key])
    return dict(sorted(net.items()))

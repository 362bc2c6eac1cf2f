"""Messages between peers that learn: surveys, exchanges, pairwise averages, random walks, models for latecomers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from .base import Base, Count, Lane, Mass, Name, Payload

__all__ = [
    "Accept",
    "Decision",
    "Exchange",
    "GetModel",
    "Model",
    "PeerSurvey",
    "Propose",
    "QueryDecision",
    "Walk",
]


class PeerSurvey(Base, frozen=True):
    """The survey of one site, flooded until every peer holds it; ``origin`` is the peer it describes."""

    lane: ClassVar[Lane] = Lane.BULK
    origin: Name
    fields: dict[str, Any]
    payload: Payload


class Exchange(Base, frozen=True, omit_defaults=True):
    """A peer's weights after its training of ``round``.

    ``mass`` is their push-sum weight; ``base`` counts the moves of the sender's copy to which an encoding is relative.
    """

    lane: ClassVar[Lane] = Lane.BULK
    round: Count
    payload: Payload
    mass: Mass = 1.0
    base: Count | None = None
    degree: Count = 0


class Propose(Base, frozen=True):
    """A peer's weights, and the proposal that both take the mean; ``number`` grows with each of the sender's."""

    lane: ClassVar[Lane] = Lane.BULK
    number: Count
    payload: Payload


class Accept(Base, frozen=True):
    """The answer to a ``Propose``: the other's weights. It takes the mean if and when the proposer has decided so."""

    lane: ClassVar[Lane] = Lane.BULK
    number: Count
    payload: Payload


class Decision(Base, frozen=True):
    """What the proposer has decided: both take the mean, or neither does."""

    number: Count
    outcome: Literal["taken", "dropped", "unknown"]


class QueryDecision(Base, frozen=True):
    """Asks the proposer what it has decided."""

    number: Count


class Walk(Base, frozen=True):
    """A model on a random walk, or a part of one, with its age in updates.

    ``part`` counts the parts of a model; ``draw`` is the seed by which its elements were sampled, 0 if they were not.
    """

    lane: ClassVar[Lane] = Lane.BULK
    age: Count
    part: Count
    draw: Count
    payload: Payload


class GetModel(Base, frozen=True):
    """A peer that has joined late asks a neighbor for its model."""


class Model(Base, frozen=True):
    """The sender's model after ``round``, and the agreement of round 0, to start from."""

    lane: ClassVar[Lane] = Lane.BULK
    round: Count
    agreement: dict[str, Any]
    payload: Payload

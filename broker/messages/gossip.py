"""Messages between peers that learn: surveys, exchanges, pairwise averages, random walks, models for latecomers."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .base import Base, Bulk, Clock, Count, Mass, Name, Payload

__all__ = [
    "Accept",
    "Call",
    "CatchUp",
    "Decision",
    "Exchange",
    "GetModel",
    "Model",
    "PeerSurvey",
    "PeerSurveys",
    "Propose",
    "QueryDecision",
    "ReduceCall",
    "ReducePart",
    "ReduceReady",
    "ReducedPart",
    "SiteFields",
    "Walk",
]


class PeerSurvey(Bulk, frozen=True, omit_defaults=True):
    """One site's answer to question ``step`` of round 0, flooded until every peer holds it; ``origin`` gave it."""

    origin: Name
    fields: dict[str, Any]
    payload: Payload
    step: Count = 0


class SiteFields(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose answer is next in the array of `PeerSurveys`, of how many numbers, and what it alone says."""

    origin: Name
    length: Count
    fields: dict[str, Any]


class PeerSurveys(Bulk, frozen=True, omit_defaults=True):
    """Answers of several sites to question ``step`` of round 0, one after the other in the array.

    The ``common`` fields are those that all of them have alike.
    """

    answers: tuple[SiteFields, ...]
    common: dict[str, Any]
    payload: Payload
    step: Count = 0


class CatchUp(Bulk, frozen=True, omit_defaults=True):
    """Where round 0 is, to a peer that was started again since it began: the open question, or the agreement."""

    step: Count
    question: dict[str, Any] | None = None
    agreement: dict[str, Any] | None = None


class Exchange(Bulk, frozen=True, omit_defaults=True):
    """A peer's weights after its training of ``round``.

    ``mass`` is their push-sum weight; ``base`` counts the moves of the sender's copy to which an encoding is relative;
    ``clock`` is how far the learning-rate schedule of the model has come.
    """

    round: Count
    payload: Payload
    mass: Mass = 1.0
    base: Count | None = None
    degree: Count = 0
    clock: Clock = 0.0


class Propose(Bulk, frozen=True):
    """A peer's weights, and the proposal that both take the mean; ``number`` grows with each of the sender's."""

    number: Count
    payload: Payload
    clock: Clock = 0.0


class Accept(Bulk, frozen=True):
    """The answer to a ``Propose``: the other's weights. It takes the mean if and when the proposer has decided so."""

    number: Count
    payload: Payload
    clock: Clock = 0.0


class Decision(Base, frozen=True):
    """What the proposer has decided: both take the mean, or neither does."""

    number: Count
    outcome: Literal["taken", "dropped", "unknown"]


class QueryDecision(Base, frozen=True):
    """Asks the proposer what it has decided."""

    number: Count


class Walk(Bulk, frozen=True):
    """A model on a random walk, or a part of one, with its age in updates.

    ``part`` counts the parts of a model; ``draw`` is the seed by which its elements were sampled, 0 if they were not.
    """

    age: Count
    part: Count
    draw: Count
    payload: Payload


class Call(Struct, frozen=True, forbid_unknown_fields=True):
    """Names one all-reduce: that which an incarnation of its ``leader`` has called as its ``number``-th."""

    leader: Name
    incarnation: Count
    number: Count


class ReduceReady(Base, frozen=True):
    """A peer has trained in ``round``, and waits to be called to the all-reduce of that round or of a later one."""

    round: Count


class ReduceCall(Base, frozen=True):
    """Calls a ``group``, in name order, to the all-reduce of ``round``: each owns the part of its place in it."""

    round: Count
    call: Call
    group: tuple[Name, ...]


class ReducePart(Bulk, frozen=True, omit_defaults=True):
    """The sender's weights in the part that the receiver owns; they weigh as many ``examples``."""

    round: Count
    call: Call
    payload: Payload
    examples: Count
    clock: Clock = 0.0


class ReducedPart(Bulk, frozen=True, omit_defaults=True):
    """The mean in the part that the sender owns, over all of the group but those ``missing``."""

    round: Count
    call: Call
    payload: Payload
    clock: Clock = 0.0
    missing: tuple[Name, ...] = ()


class GetModel(Base, frozen=True):
    """A peer that has joined late asks a neighbor for its model."""


class Model(Bulk, frozen=True):
    """The sender's model after ``round``, and the agreement of round 0, to start from."""

    round: Count
    agreement: dict[str, Any]
    payload: Payload
    clock: Clock = 0.0

"""Messages between a coordinator and its clients."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from .base import Base, Bulk, Clock, Count, Payload, Seconds
from .ranges import Manifest

__all__ = ["Declined", "Ready", "Task", "TaskKind", "Update"]

TaskKind = Literal["survey", "train", "evaluate", "alone", "judge", "finish"]
"""What a task may ask for; ``alone``: a model of this site's rows only; ``judge``: the figures of such a model."""


class Ready(Base, frozen=True):
    """A client is ready; it holds ``examples`` rows and can encode its updates by any of these ``codecs``."""

    examples: Count
    pid: Count
    codecs: tuple[str, ...] = ()


class Task(Bulk, frozen=True):
    """One piece of work for a client, with training settings; ``deadline_s`` counts from its arrival.

    Rounds up to ``durable`` are on the coordinator's disk and are never asked for again. ``counted`` is the last round
    whose update of this client is in the model, where that matters to the state it keeps from round to round. ``clock``
    is how far the learning-rate schedule of the model has come. ``rounds`` is how many the run has; where
    ``work`` is finish or alone, how many were completed. ``question`` is what a survey asks; without one, for the
    statistics of the site. ``strategy`` is what becomes of the answers, ``clients`` how many are asked together: a site
    may decline by them. ``manifest`` stands in place of a payload that is too large for a message. ``origin`` is said
    by an aggregator: the incarnation of the coordinator whose rounds these are; with another one they count anew.
    ``needed`` is said to an aggregator alone: without each of those that are asked the attempt fails.
    """

    round: Count
    attempt: Count
    work: TaskKind
    deadline_s: Seconds
    evaluate: bool
    settings: dict[str, Any]
    agreement: dict[str, Any] | None = None
    payload: Payload | None = None
    durable: Count = 0
    counted: Count | None = None
    clock: Clock = 0.0
    rounds: Count = 0
    question: dict[str, Any] | UnsetType = UNSET
    strategy: str | UnsetType = UNSET
    clients: Count | UnsetType = UNSET
    manifest: Manifest | UnsetType = UNSET
    origin: Count | UnsetType = UNSET
    needed: bool | UnsetType = UNSET


class Update(Bulk, frozen=True):
    """A client's answer to the task of (round, attempt); ``clock`` is that of the model after its training.

    ``manifest`` stands in place of a payload that is too large for a message.
    """

    round: Count
    attempt: Count
    examples: Count
    metrics: dict[str, float]
    fields: dict[str, Any] | None = None
    payload: Payload | None = None
    clock: Clock = 0.0
    manifest: Manifest | UnsetType = UNSET


class Declined(Base, frozen=True):
    """A client will not answer the task of (round, attempt), and why; ``key`` is that of its policy which says so."""

    round: Count
    attempt: Count
    reason: str
    key: str | UnsetType = UNSET

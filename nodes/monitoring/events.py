"""Events as typed values: a frozen class for each type of docs/events.md, which has meaning and unit of every field.

>>> match parse_event(event):
...     case RoundCompleted(node=node, round=number):
...         print(node, number)
...     case NodeLost(subject=name, reason=reason):
...         print(name, reason)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event has. It can also be read as the map it came as: ``event["type"]``, ``event.get("round")``.

    Attributes
    ----------
    run, node, role
        The run (empty: of no run), the publisher, and its role.
    incarnation
        New and larger at each start of the publisher.
    seq
        Counts the publisher's events of this type, from 1.
    time
        Seconds since 1970, by the publisher's clock.
    raw
        The event as it was received, with fields that this version does not know.
    """

    run: str
    node: str
    role: str
    incarnation: int
    seq: int
    time: float
    raw: dict[str, Any]

    @property
    def type(self) -> str:
        """The event's type, as in docs/events.md."""
        return str(self.raw["type"])

    def __getitem__(self, key: str) -> Any:
        return self.raw[key]

    def __contains__(self, key: object) -> bool:
        return key in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def get(self, key: str, default: Any = None) -> Any:
        return self.raw.get(key, default)


class RunStarted(Event, frozen=True, tag="run.started"):
    mode: str
    nodes: int
    rounds: int
    data: str
    model: str
    rows: int | None = None
    resumed_after: int | None = None


class RunCompleted(Event, frozen=True, tag="run.completed"):
    status: str
    completed_rounds: int
    wall_s: float
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    stopped_by: str | None = None
    reason: str | None = None


class RunStopping(Event, frozen=True, tag="run.stopping"):
    round: int
    stopped_by: str
    reason: str


class BaselineProgress(Event, frozen=True, tag="baseline.progress"):
    done: int
    models: int
    rounds: int


class RunFailed(Event, frozen=True, tag="run.failed"):
    """A run, or one node's part in it, has no result."""

    reason: str


class NodeJoined(Event, frozen=True, tag="node.joined"):
    pid: int
    address: str


class NodeReady(Event, frozen=True, tag="node.ready"):
    """A node is prepared for the first round, or heard again."""

    pid: int | None = None
    examples: int | None = None
    held_out: dict[str, int] = {}
    subject: str | None = None
    reason: str | None = None


class NodeSuspect(Event, frozen=True, tag="node.suspect"):
    subject: str
    reason: str


class NodeLost(Event, frozen=True, tag="node.lost"):
    subject: str
    reason: str


class NodeLeft(Event, frozen=True, tag="node.left"):
    """A node closes, or a neighbor has said goodbye."""

    reason: str | None = None
    subject: str | None = None


class NodeFinished(Event, frozen=True, tag="node.finished"):
    """A client holds the final model."""

    round: int


class NodeResult(Event, frozen=True, tag="node.result"):
    """What a node has reported at the end of the run."""

    subject: str
    state: str
    completed_rounds: int | None = None
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    evaluated_on: str | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None


class RoundStarted(Event, frozen=True, tag="round.started"):
    round: int
    attempt: int | None = None
    asked: tuple[str, ...] = ()


class RoundCompleted(Event, frozen=True, tag="round.completed"):
    """A round is complete: the run's, of a coordinator; its own, of a peer."""

    round: int
    closed_by: str
    participants: tuple[str, ...] = ()
    duration_s: float | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    bytes_sent_total: int | None = None
    bytes_received_total: int | None = None
    elapsed_s: float | None = None
    rounds_per_s: float | None = None
    loss: float | None = None
    missing: dict[str, str] = {}
    partial: tuple[str, ...] = ()
    # Of round 0.
    task: str | None = None
    classes: int | None = None
    # Without rounds.
    staleness: tuple[int, ...] = ()
    staleness_mean: float | None = None
    staleness_max: int | None = None
    # Of a peer.
    waiting_s: float | None = None
    age: int | None = None
    mass: float | None = None
    mass_out: dict[str, float] = {}
    radius: float | None = None
    # Of a coordinator, by strategy and compression.
    bytes_raw: int | None = None
    bytes_encoded: int | None = None
    codec_error: float | None = None
    selected: tuple[str, ...] = ()
    effective_steps: float | None = None
    probe_loss_mean: float | None = None
    probe_loss_worst: float | None = None
    norms: dict[str, float] = {}
    cosines: dict[str, float] = {}
    outliers: dict[str, str] = {}


class RoundFailed(Event, frozen=True, tag="round.failed"):
    round: int
    attempt: int
    reason: str


class _Metric(Event, frozen=True):
    round: int
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    examples: int | None = None


class _Evaluation(_Metric, frozen=True):
    source: str | None = None
    sites: int | None = None
    spread: dict[str, dict[str, float | None]] = {}
    worst: dict[str, Any] = {}


class MetricSites(_Evaluation, frozen=True, tag="metric.sites"):
    """The mean over the sites' hold-outs, where there is a common test set too. Further scorers are in `raw`."""


class MetricTest(_Evaluation, frozen=True, tag="metric.test"):
    """A model measured on the test set, or on the sites' hold-outs if there is none."""

    sketch: tuple[float, ...] = ()


class MetricLocal(_Metric, frozen=True, tag="metric.local"):
    """A client's training, or a peer's model on its own hold-out."""

    sketch: tuple[float, ...] = ()
    # Of a client.
    duration_s: float | None = None
    rounds: int | None = None
    bytes_sent: int = 0
    bytes_received: int = 0
    bytes_sent_total: int | None = None
    bytes_received_total: int | None = None
    steps: float | None = None
    fednova_normalizer: float | None = None
    partial: float | None = None
    probe_loss: float | None = None
    personal_loss: float | None = None
    raw_bytes: float | None = None
    sent_bytes: float | None = None
    codec_error: float | None = None
    holdout_accuracy: float | None = None
    holdout_r2: float | None = None
    holdout_loss: float | None = None
    holdout_examples: float | None = None


class MetricPersonal(_Metric, frozen=True, tag="metric.personal"):
    """A client's own model and the final one of all, on the client's hold-out."""

    global_accuracy: float | None = None
    global_r2: float | None = None
    global_loss: float | None = None


class ExchangeSent(Event, frozen=True, tag="exchange.sent"):
    subject: str
    round: int
    count: int
    dropped: int = 0


class ExchangeReceived(Event, frozen=True, tag="exchange.received"):
    subject: str
    round: int
    count: int
    bytes: int
    stale: int = 0
    dropped: int = 0


class UpdateRejected(Event, frozen=True, tag="update.rejected"):
    subject: str
    reason: str
    round: int | None = None


class WarningEvent(Event, frozen=True, tag="warning"):
    reason: str
    subject: str | None = None
    round: int | None = None


class Gap(Event, frozen=True, tag="gap"):
    subject: str
    about: str
    missed: int


class UnknownEvent(Event, frozen=True, tag="unknown"):
    """An event of a type that this version does not know, or without the fields of its type."""


AnyEvent = (
    RunStarted
    | RunCompleted
    | RunStopping
    | BaselineProgress
    | RunFailed
    | NodeJoined
    | NodeReady
    | NodeSuspect
    | NodeLost
    | NodeLeft
    | NodeFinished
    | NodeResult
    | RoundStarted
    | RoundCompleted
    | RoundFailed
    | MetricTest
    | MetricSites
    | MetricLocal
    | MetricPersonal
    | ExchangeSent
    | ExchangeReceived
    | UpdateRejected
    | WarningEvent
    | Gap
    | UnknownEvent
)


def parse_event(raw: Mapping[str, Any]) -> AnyEvent:
    """Return the typed event of a map, `UnknownEvent` where its type or its fields are not known."""
    fields = {**raw, "raw": dict(raw)}
    try:
        # Not strict: counts may be floats without a fraction.
        event: AnyEvent = msgspec.convert(fields, AnyEvent, strict=False)
    except msgspec.ValidationError:
        event = msgspec.convert({**fields, "type": "unknown"}, UnknownEvent)
    return event

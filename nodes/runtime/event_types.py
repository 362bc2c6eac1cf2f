"""Events as typed values: a frozen class for each type of docs/events.md, which has meaning and unit of every field.

What comes from elsewhere may say anything: `event_fitting.fit` keeps of it what is of its type.

>>> match parse_event(event):
...     case RoundCompleted(node=node, round=number):
...         print(node, number)
...     case NodeLost(subject=name, reason=reason):
...         print(name, reason)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, get_args

import msgspec
from msgspec import Meta

INTERRUPTED = "interrupted"  # why a run, or a node, ends that its owner or a signal has stopped
HOLDOUT = "holdout_"  # before figures of the weights that a client was sent, on its own rows that are kept apart
Count = Annotated[int, Meta(ge=0, le=2**53)]
Time = Annotated[float, Meta(ge=0, le=2**53)]
Coordinate = Annotated[float, Meta(ge=-1e100, le=1e100)]  # its square is finite, too


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
    insecure
        The publisher leaves its machine without keys (``--insecure``): anybody may have forged this.
    raw
        The event as a map: known fields as their types, those that this version does not know as they were received.
    """

    run: str
    node: str
    role: str
    incarnation: Count
    seq: Count
    time: Time
    insecure: bool = False
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
    nodes: Count
    rounds: Count
    data: str
    model: str
    rows: Count | None = None
    resumed_after: Count | None = None
    upstream: str | None = None


class RunCompleted(Event, frozen=True, tag="run.completed"):
    status: str
    completed_rounds: Count
    wall_s: float
    bytes_sent: int | None = None
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    stopped_by: str | None = None
    reason: str | None = None


class RunStopping(Event, frozen=True, tag="run.stopping"):
    round: Count
    stopped_by: str
    reason: str


class BaselineProgress(Event, frozen=True, tag="baseline.progress"):
    done: Count
    models: Count
    rounds: Count


class RunFailed(Event, frozen=True, tag="run.failed"):
    """A run, or one node's part in it, has no result."""

    reason: str
    status: str | None = None
    completed_rounds: Count | None = None
    wall_s: float | None = None
    bytes_sent: int | None = None


class NodeJoined(Event, frozen=True, tag="node.joined"):
    pid: Count
    address: str


class NodeWaiting(Event, frozen=True, tag="node.waiting"):
    """A node without a launcher, or a coordinator that resumes a run, waits before the next round can begin."""

    reason: str


class NodeReady(Event, frozen=True, tag="node.ready"):
    """A node is prepared for the first round, or heard again."""

    pid: Count | None = None
    examples: Count | None = None
    held_out: Count | None = None
    held_out_by_class: dict[str, Count] = {}
    region: str | None = None
    clients: Count | None = None
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

    round: Count


class NodeResult(Event, frozen=True, tag="node.result"):
    """What a node has reported at the end of the run."""

    subject: str
    state: str
    completed_rounds: Count | None = None
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    evaluated_on: str | None = None
    bytes_sent: Count | None = None
    bytes_received: Count | None = None


class RoundStarted(Event, frozen=True, tag="round.started"):
    round: Count
    attempt: Count | None = None
    asked: tuple[str, ...] = ()


class RoundProgress(Event, frozen=True, tag="round.progress"):
    """Which question of round 0 is open, and who has not answered it."""

    round: Count
    question: Count
    unanswered: Count
    waiting: tuple[str, ...] = ()
    ask: str | None = None


class RoundCompleted(Event, frozen=True, tag="round.completed"):
    """A round is complete: the run's, of a coordinator; its own, of a peer."""

    round: Count
    closed_by: str
    participants: tuple[str, ...] = ()
    duration_s: float | None = None
    bytes_sent: Count = 0
    bytes_received: Count = 0
    bytes_sent_total: Count | None = None
    bytes_received_total: Count | None = None
    elapsed_s: float | None = None
    rounds_per_s: float | None = None
    loss: float | None = None
    missing: dict[str, str] = {}
    partial: tuple[str, ...] = ()
    task: str | None = None  # of round 0, as the next
    classes: Count | None = None
    staleness: tuple[Count, ...] = ()  # without rounds, as the next two
    staleness_mean: float | None = None
    staleness_max: Count | None = None
    waiting_s: float | None = None
    # Of a peer.
    mixing_s: float | None = None
    age: Count | None = None
    mass: float | None = None
    mass_out: dict[str, float] = {}
    radius: float | None = None
    kept: tuple[str, ...] = ()
    left_out: dict[str, tuple[str, ...]] = {}
    # Of a coordinator, also by strategy and compression.
    folding_s: float | None = None
    bytes_raw: Count | None = None
    bytes_encoded: Count | None = None
    codec_error: float | None = None
    selected: tuple[str, ...] = ()
    effective_steps: float | None = None
    probe_loss_mean: float | None = None
    probe_loss_worst: float | None = None
    norms: dict[str, float] = {}
    cosines: dict[str, float] = {}
    outliers: dict[str, str] = {}


class RoundFailed(Event, frozen=True, tag="round.failed"):
    round: Count
    attempt: Count
    reason: str


class _Metric(Event, frozen=True):
    round: Count
    accuracy: float | None = None
    r2: float | None = None
    loss: float | None = None
    examples: Count | None = None
    weight: float | None = None


class _Evaluation(_Metric, frozen=True):
    source: str | None = None
    sites: Count | None = None
    spread: dict[str, dict[str, float | None]] = {}
    worst: dict[str, Any] = {}


class MetricSites(_Evaluation, frozen=True, tag="metric.sites"):
    """The mean over the sites' hold-outs, where there is a common test set too. Further scorers are in `raw`."""


class MetricTest(_Evaluation, frozen=True, tag="metric.test"):
    """A model measured on the test set, or on the sites' hold-outs if there is none."""

    sketch: tuple[Coordinate, ...] = ()


class MetricLocal(_Metric, frozen=True, tag="metric.local"):
    """A client's training, or a peer's model on its own hold-out."""

    sketch: tuple[Coordinate, ...] = ()
    # Of a client.
    duration_s: float | None = None
    rounds: Count | None = None
    bytes_sent: Count = 0
    bytes_received: Count = 0
    bytes_sent_total: Count | None = None
    bytes_received_total: Count | None = None
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
    holdout_weight: float | None = None


class MetricPersonal(_Metric, frozen=True, tag="metric.personal"):
    """A client's own model and the final one of all, on the client's hold-out."""

    global_accuracy: float | None = None
    global_r2: float | None = None
    global_loss: float | None = None


class ExchangeSent(Event, frozen=True, tag="exchange.sent"):
    subject: str
    round: Count
    count: Count
    dropped: Count = 0


class ExchangeReceived(Event, frozen=True, tag="exchange.received"):
    subject: str
    round: Count
    count: Count
    bytes: Count
    stale: Count = 0
    dropped: Count = 0


class UpdateRejected(Event, frozen=True, tag="update.rejected"):
    subject: str
    reason: str
    round: Count | None = None


class SiteDeclined(Event, frozen=True, tag="site.declined"):
    """A site does not take part in what it is asked for: of the site, who asked; of those who asked, which site."""

    subject: str
    round: Count
    key: str
    reason: str
    work: str | None = None


class WarningEvent(Event, frozen=True, tag="warning"):
    reason: str
    subject: str | None = None
    round: Count | None = None


class ConnectionRefused(Event, frozen=True, tag="connection.refused"):
    """With keys: a connection was refused, or a message that the owner of its key has no business to send."""

    subject: str
    service: str
    address: str
    key: str
    reason: str
    count: Count


class Gap(Event, frozen=True, tag="gap"):
    subject: str
    about: str
    missed: Count


class Malformed(Event, frozen=True, tag="malformed"):
    """Events of a type came whose fields do not fit it; what fits of them is passed on."""

    subject: str
    about: str
    count: Count
    reason: str


class UnknownEvent(Event, frozen=True, tag="unknown"):
    """An event of a type that this version does not know, or without the fields of its type."""


AnyEvent = (
    RunStarted
    | RunCompleted
    | RunStopping
    | BaselineProgress
    | RunFailed
    | NodeJoined
    | NodeWaiting
    | NodeReady
    | NodeSuspect
    | NodeLost
    | NodeLeft
    | NodeFinished
    | NodeResult
    | RoundStarted
    | RoundCompleted
    | RoundProgress
    | RoundFailed
    | MetricTest
    | MetricSites
    | MetricLocal
    | MetricPersonal
    | ExchangeSent
    | ExchangeReceived
    | UpdateRejected
    | SiteDeclined
    | WarningEvent
    | ConnectionRefused
    | Gap
    | Malformed
    | UnknownEvent
)


CLASSES: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in get_args(AnyEvent)}
TYPES = frozenset(CLASSES)

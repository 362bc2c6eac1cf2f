"""The deployed machines on virtual time, each with its own worker, over a virtual network.

What a node does around its machine in a process of its own (`runtime.node`, `runtime.session`, `roles`) is done here:
arrays are looked at as they arrive, bytes are counted as the codec makes them, connections open and close, and who has
done its rounds says goodbye.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

import msgspec
from nervenet.broker import messages as m
from nervenet.broker.codec import plain
from nervenet.broker.messages import Message, tag_of
from nervenet.broker.transport_events import Counters

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.node_stats import NodeStats
from ..runtime.simulator import Simulated, SimulatedWorker, Simulation
from ..runtime.worker import RoleWorker
from .network import VirtualNetwork

RETRY_S = 1.0  # between two attempts to connect with a node that cannot be reached
LINGER_S = 2.0  # how long a node that has said goodbye keeps its connections
LOOK_EVERY = 512  # events between two looks at whether the run is to stop

_ENCODER = msgspec.msgpack.Encoder(enc_hook=plain)


class Listener(Protocol):
    """Who is told of what happens to the nodes."""

    def published(self, node: VirtualNode, kind: str, fields: Mapping[str, Any]) -> None: ...

    def ended(self, node: VirtualNode, reason: str) -> None: ...


def _to_nobody(_: ev.Event) -> None:
    return None


def _nothing() -> None:
    return None


@dataclass(kw_only=True)
class VirtualNode(Simulated):
    role: str
    site: RoleWorker
    until: int | None = None  # a peer leaves after this round; None: when its machine finishes
    region: str = ""  # that it is in: the name of the aggregator, of which it is the lower half if that is its own
    pass_on: Callable[[ev.Event], None] = field(default=_to_nobody)  # of an aggregator: to its other half
    on_failed: Callable[[], None] = field(default=_nothing)
    stats: NodeStats = field(init=False)
    counters: Counters = field(default_factory=Counters)
    dialed: set[str] = field(default_factory=set)
    connected: set[str] = field(default_factory=set)
    training_began: float = 0.0
    messages: int = 0
    accounted: tuple[int, int] = (0, 0)
    began: tuple[float, int] | None = None  # when the first round started, by the real clock, and the round before it

    def __post_init__(self) -> None:
        self.stats = NodeStats(self.role)

    @property
    def lower(self) -> bool:
        """Whether it is the half of an aggregator that is the coordinator of its region."""
        return bool(self.region) and self.region == self.name

    @property
    def key(self) -> str:
        """What it is called here, where an aggregator has two machines: in its own run and in that of its region."""
        return _below(self.name) if self.lower else self.name


class VirtualNodes(Simulation):
    """All nodes of a run; `run_to_end` runs them.

    `patience_s` is how long, in virtual seconds, nothing at all may be completed.
    """

    def __init__(self, network: VirtualNetwork, listener: Listener, patience_s: float) -> None:
        super().__init__()
        self.network = network
        self.running = 0
        self._listener = listener
        self._patience_s = patience_s
        self._progress_at = 0.0

    def enter(
        self,
        name: str,
        role: str,
        machine: e.Machine,
        site: RoleWorker,
        worker: SimulatedWorker,
        *,
        until: int | None = None,
        region: str = "",
    ) -> VirtualNode:
        node = VirtualNode(name, machine, worker, role=role, site=site, until=until, region=region)
        self.nodes[node.key] = node
        self.running += 1
        self.at(self.now, lambda: self._post(node, ev.Started()))
        return node

    def node(self, name: str) -> VirtualNode | None:
        found = self.nodes.get(name)
        return found if isinstance(found, VirtualNode) else None

    def run_to_end(self, stopped: Callable[[], bool]) -> str:
        """Run until all nodes are done, or `stopped`; return why there is no end to be expected, empty where there was.

        A coordinator that has finished is waited for by nobody: its clients have what it has sent them.
        """
        count = 0
        while self._heap and self.running:
            when, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            action()
            count += 1
            if count % LOOK_EVERY == 0:
                if stopped():
                    return ""
                if self.now > self._progress_at + self._patience_s:
                    return f"nothing was completed for {self._patience_s:g} virtual seconds"
        return "" if not self.running else "no node has anything more to do, and not all have finished"

    def dial(self, name: str, peer: str) -> None:
        """Connect two nodes, the first of which dials the second, as soon as both can be reached."""
        node = self.node(name)
        if node is not None:
            self._dial(node, peer)

    def end(self, name: str, reason: str) -> None:
        """End a node as if its process were killed."""
        node = self.node(name)
        if node is None or not node.alive or node.finished:
            return
        node.alive = False
        self.running -= 1
        self._listener.ended(node, reason)
        self._hang_up(node, self.network.latency_s)

    # ----------------------------------------------------------------------------------------------------- effects out

    def _perform(self, node: Simulated, effect: e.Effect) -> None:
        assert isinstance(node, VirtualNode)  # noqa: S101 - `enter` makes no others
        match effect:
            case e.Send(to, message, body):
                self._send(node, to, message, body)
            case e.SendHeartbeat(to, number, state):
                self._send_heartbeat(node, to, number, state)
            case e.Publish(kind, fields):
                self.publish(node, kind, fields)
            case e.Link(peer):
                self._dial(node, peer)
            case e.Pass(event):
                node.pass_on(event)
            case e.Unlink(peer):
                self._unlink(node, peer)
            case e.CancelTraining(keep):
                self._cut(node, keep=keep)
            case e.Completed():
                self._progress_at = self.now
                if node.until is not None and effect.round >= node.until:
                    self.at(self.now, lambda: self.leave(node, e.Finish("completed")))
            case e.Finish():
                self._progress_at = self.now
                self._finish(node, effect)
            case e.Train():
                node.training_began = max(self.now, node.free_at)
                super()._perform(node, effect)
            case _:
                super()._perform(node, effect)

    def _cut(self, node: VirtualNode, *, keep: bool) -> None:
        """End the training that runs; `keep`: with what is done of it by now."""
        cancel = getattr(node.worker, "cancel", None)
        if node.training is None or cancel is None:
            return
        if not keep:
            cancel()
            self._cancel(node)
            return
        elapsed_s = max(0.0, self.now - node.training_began)
        node.training, node.free_at = None, self.now
        answer = cancel(elapsed_s)
        if answer is not None:
            self.at(self.now, lambda: self._post(node, answer))

    def publish(self, node: VirtualNode, kind: str, fields: Mapping[str, Any]) -> None:
        """Publish an event of a node, with what the node itself adds to it."""
        if kind == "round.completed" or (kind == "metric.local" and "duration_s" in fields):  # a client's own round
            self._progress_at = self.now
            counters, (sent, received) = node.counters, node.accounted
            node.accounted = (counters.bytes_sent, counters.bytes_received)
            fields = {
                **fields,
                "bytes_sent": counters.bytes_sent - sent,
                "bytes_received": counters.bytes_received - received,
                "bytes_sent_total": counters.bytes_sent,
                "bytes_received_total": counters.bytes_received,
                **_pace(node, kind, int(fields["round"])),
            }
        elif kind == "round.started" and fields["round"] and node.began is None:
            node.began = (monotonic(), int(fields["round"]) - 1)
        node.stats.event(kind, fields)
        self._listener.published(node, kind, fields)

    def _finish(self, node: VirtualNode, effect: e.Finish) -> None:
        node.finished = effect
        self.running -= 1
        failed = effect.status == "failed"
        self.publish(node, "node.left", {"reason": effect.reason if failed else "done"})
        if failed:
            self._listener.ended(node, effect.reason)
            node.on_failed()
        self._hang_up(node, LINGER_S)

    def leave(self, node: VirtualNode, finish: e.Finish) -> None:
        """Leave as a node does whose owner has had all its rounds, or will have no more of them."""
        if node.finished or not node.alive:
            return
        goodbye = m.Goodbye(round=node.stats.completed, reason=finish.reason or "done")
        self._send(node, sorted(node.connected), goodbye, None)
        self._finish(node, finish)

    # -------------------------------------------------------------------------------------------------------- messages

    def _send(self, node: VirtualNode, to: Iterable[str], message: Message, body: ev.Body) -> None:
        header = _header_bytes(message, node)
        nbytes = header + (0 if body is None else body.nbytes)
        number = int(getattr(message, "round", 0))
        kinds, array = node.counters.sent_by_kind, _read_only(body)
        for peer in to:
            other = self._known(node, peer)
            if other is None or not (peer in node.dialed or node.name in other.dialed):
                self._unsent(node, peer, message, number)
                continue
            node.counters.bytes_sent += nbytes
            node.counters.messages_sent += 1
            kinds["control"] += header
            kinds["weights"] += nbytes - header
            arrives = self.network.arrival(node.name, peer, message.lane, nbytes, number, self.now)
            if arrives is not None:
                self._bring(arrives, node.name, other, message, array, nbytes)

    def _bring(
        self, at: float, sender: str, target: VirtualNode, message: Message, array: ev.Body, nbytes: int
    ) -> None:
        def arrive() -> None:
            if not target.alive or target.finished or target.name in self.network.away:
                return
            target.counters.bytes_received += nbytes
            target.counters.messages_received += 1
            body, flaw = array, None
            if array is not None:
                body, flaw = target.site.unpack(array, getattr(message, "payload", None))
            self._post(target, ev.Arrived(sender, message, body, flaw, nbytes))

        self.at(at, arrive)

    def _unsent(self, node: VirtualNode, peer: str, message: Message, number: int) -> None:
        failed = ev.SendFailed(peer, tag_of(message), number, "there is no connection with it", "unreachable")
        self.at(self.now, lambda: self._post(node, failed))

    def _send_heartbeat(self, node: VirtualNode, to: Iterable[str], number: int, state: str) -> None:
        for peer in to:
            leaving = self.network.sending(node.name, peer, self.now)
            self._send(node, (peer,), m.Heartbeat(round=number, state=state, sending=leaving), None)
            if leaving:
                still = ev.StillSending(peer, leaving)
                self.at(self.now, lambda still=still: self._post(node, still))  # type: ignore[misc]

    # ----------------------------------------------------------------------------------------------------- connections

    def _known(self, node: VirtualNode, peer: str) -> VirtualNode | None:
        """Return whom a node knows by this name: in a region its aggregator is the lower half of that."""
        return self.node(_below(peer) if peer == node.region else peer)

    def _dial(self, node: VirtualNode, peer: str) -> None:
        if peer not in node.dialed:
            node.dialed.add(peer)
            self._connect(node, peer)

    def _connect(self, node: VirtualNode, peer: str) -> None:
        other = self._known(node, peer)
        if other is None or peer not in node.dialed or peer in node.connected:
            return
        if not (node.alive and other.alive) or node.finished or other.finished:
            return
        if {node.name, peer} & self.network.away:
            self.at(self.now + RETRY_S, lambda: self._connect(node, peer))
            return
        node.connected.add(peer)
        other.connected.add(node.name)
        self.at(self.now, lambda: self._post(node, ev.LinkUp(peer, other.role, 1)))
        self.at(self.now, lambda: self._post(other, ev.LinkUp(node.name, node.role, 1)))

    def _unlink(self, node: VirtualNode, peer: str) -> None:
        other = self._known(node, peer)
        node.dialed.discard(peer)
        if other is None or node.name in other.dialed or peer not in node.connected:
            return
        node.connected.discard(peer)
        other.connected.discard(node.name)
        self._post_later(other, ev.LinkLost(node.name, "it has closed the connection"), self.network.latency_s)

    def _hang_up(self, node: VirtualNode, after_s: float) -> None:
        """Close all connections of a node that has gone."""
        for peer in sorted(node.connected):
            other = self._known(node, peer)
            if other is not None:
                other.connected.discard(node.name)
                self._post_later(other, ev.LinkLost(node.name, "the connection has ended"), after_s)
        node.connected.clear()

    def _post_later(self, node: VirtualNode, event: ev.Event, after_s: float) -> None:
        self.at(self.now + after_s, lambda: self._post(node, event))


def _below(aggregator: str) -> str:
    return f"{aggregator} below"


def _header_bytes(message: Message, node: VirtualNode) -> int:
    """Return how long a message's header is, its number among the node's own included."""
    node.messages += 1
    number = node.messages
    counted = 1 if number < 128 else 2 if number < 256 else 3 if number < 65536 else 5
    return 3 + len(_ENCODER.encode(message)) + 2 + counted


def _read_only(body: ev.Body) -> ev.Body:
    """Return what arrives: nobody writes into what others have, too."""
    if body is None:
        return None
    view = body.view()
    view.flags.writeable = False
    return view


def _pace(node: VirtualNode, kind: str, number: int) -> dict[str, float]:
    """Return how many rounds a second a node has completed, by the real clock: it is for who waits for the result."""
    if kind != "round.completed" or node.began is None or number <= node.began[1]:
        return {}
    elapsed = monotonic() - node.began[0]
    return {"elapsed_s": elapsed, "rounds_per_s": (number - node.began[1]) / elapsed} if elapsed > 0 else {}

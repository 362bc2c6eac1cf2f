"""The node: runs any machine over a transport and a worker. The one place where effects are performed.

    socket -> transport -> receive -> machine.handle -> effects -> _perform -> transport / worker / timers / events

Everything here happens on one event loop; the worker's answers come back through `call_soon_threadsafe`. Nothing here
decides anything about learning, and nothing waits: a message is handled in the very call that took it off its socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from nervenet.broker import transport as t
from nervenet.broker.errors import BadAddress
from nervenet.broker.messages import Heartbeat

from . import effects as e
from . import events as ev
from .auditing import Auditor
from .timers import Timers
from .worker import Worker

Publish: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Publishes an event of a type, with its fields."""


class Node:
    """One machine at work.

    An `auditor` records what comes and goes.

    `on_completed` is called with each `Completed` and with the `Finish`; `finished` is done with the latter, or with
    the exception that ended the node.
    """

    def __init__(
        self,
        machine: e.Machine,
        transport: t.Transport,
        worker: Worker,
        publish: Publish,
        on_completed: Callable[[e.Completed | e.Finish], None],
        auditor: Auditor | None = None,
    ) -> None:
        self.machine = machine
        self.transport = transport
        self.worker = worker
        self._publish_event = publish
        self.loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[e.Finish] = self.loop.create_future()
        self._on_completed = on_completed
        self._timers = Timers(self.loop, self._fire)
        self._events: deque[ev.Event] = deque()
        self._handling = False
        self._closed = False
        self._accounted = (0, 0)
        self._began: tuple[float, int] | None = None  # the time of the first round's start, and the round before it
        self.pass_on: Callable[[ev.Event], None] = _alone
        self._auditor = auditor
        if auditor is not None:
            auditor.attach(self.later, transport.send, self._publish, self.fail)
        worker.share, worker.lend = transport.share, transport.lend
        worker.start(lambda event: self.later(self.post, event))

    # -------------------------------------------------------------------------------------------------------- events in

    def post(self, event: ev.Event) -> None:
        """Hand an event to the machine, now; what it asks for is done before this returns."""
        self._events.append(event)
        if self._handling or self._closed:
            return
        self._handling = True
        try:
            while self._events and not self._closed:
                self._perform_all(self.machine.handle(self._events.popleft(), self.loop.time()))
        except Exception as error:  # noqa: BLE001  (the owner of the node gets it, whatever it is)
            self.fail(error)
        finally:
            self._handling = False

    def receive(self, item: t.Arrival | t.TransportEvent) -> None:
        if self._closed:
            return
        if type(item) is t.Arrival:  # a pattern of four fields would take longer than all that is done here
            array = item.array
            if self._auditor is not None:
                self._auditor.received(item.sender, item.message, array)
            came = ev.Arrived(item.sender, item.message, array, None, item.nbytes)
            event = came if array is None else self.worker.unpack(came)
            if event is not None:
                self.post(event)
            return
        match item:
            case t.LinkUp(peer, role, incarnation, _):
                self.post(ev.LinkUp(peer, role, incarnation))
            case t.LinkLost(peer, _, reason):
                self.post(ev.LinkLost(peer, reason))
            case t.MalformedMessage(sender, code, reason):
                self.post(ev.MalformedMessage(sender, f"{code}: {reason}"))
            case t.SendFailed(peer, tag, number, cause, reason):
                self.post(ev.SendFailed(peer, tag, number, reason, cause))
            case t.ConnectionClosed(reason):
                self._publish("warning", {"reason": reason})

    def fail(self, error: BaseException) -> None:
        if not self.finished.done():
            self.finished.set_exception(error)
            self._on_completed(e.Finish("failed", str(error)))

    def later(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call from another thread, on the loop, and before whatever that thread posts next."""
        with suppress(RuntimeError):  # the owner's loop is gone, and nobody is left to hear an answer
            self.loop.call_soon_threadsafe(call, *arguments)

    def _fire(self, key: ev.Key, due: float) -> None:
        self.post(ev.TimerFired(key, due))

    # ------------------------------------------------------------------------------------------------------ effects out

    def _perform_all(self, effects: Sequence[e.Effect]) -> None:
        """Perform effects in their order; but a message to others overtakes what is only said of the run.

        Others work on what they were sent while this node encodes its events. All else waits for what was to be said
        before it: a checkpoint has what the events before it were counted to.
        """
        said: list[Callable[[], None]] = []
        try:
            for effect in effects:
                if isinstance(effect, e.Publish):
                    fields = self._counted(effect.type, effect.fields)
                    said.append(partial(self._publish_event, effect.type, fields))
                elif isinstance(effect, e.Completed):
                    said.append(partial(self._on_completed, effect))
                elif isinstance(effect, e.Send):
                    (self._auditor or self.transport).send(effect.to, effect.message, effect.body)
                elif isinstance(effect, e.SetTimer):
                    self._timers.set(effect.key, effect.at)
                elif isinstance(effect, e.CancelTimer):
                    self._timers.cancel(effect.key)
                else:
                    if said:
                        _say(said)
                    self._perform(effect)
        finally:
            if said:
                _say(said)

    def _perform(self, effect: e.Effect) -> None:
        match effect:
            case e.Train() | e.Fold() | e.Mix():  # as in every round, and so before what is seldom asked for
                self._submit(effect)
            case e.SendHeartbeat(to, number, state):
                self._send_heartbeat(to, number, state)
            case e.CancelTraining(keep):
                self.worker.cancellation.request(keep=keep)
            case e.Pass(event):
                self.pass_on(event)
            case e.Link(peer, addresses):
                self._link(peer, addresses)
            case e.Unlink(peer):
                self.transport.unlink(peer)
            case e.SendRange() | e.Announce() | e.Record():
                self._of_large_model(effect)
            case e.Finish("completed"):
                # The worker may not have taken over the final model yet, and that is what the owner will look at.
                self.worker.when_done(lambda: self.later(self._finish, effect))
            case e.Finish():
                self._finish(effect)
            case _:
                self._submit(effect)

    def _submit(self, effect: e.Effect) -> None:
        answer = self.worker.submit(effect)
        if answer is not None:
            self._events.append(answer)

    def _of_large_model(self, effect: e.SendRange | e.Announce | e.Record) -> None:
        match effect:
            case e.SendRange(to, message, body):
                self.transport.send(to, message, body[message.start : message.start + message.payload.length])
            case e.Announce(to, message, body) if self._auditor is not None:
                self._auditor.send(to, message, body)
            case e.Announce(to, message):
                self.transport.send(to, message)
            case e.Record(sender, message, body) if self._auditor is not None:
                self._auditor.received(sender, message, body)

    def _link(self, peer: str, addresses: Mapping[str, str]) -> None:
        try:
            self.transport.link(peer, addresses)
        except BadAddress as error:  # which others reported: theirs to answer for
            self._publish("warning", {"subject": peer, "reason": str(error)})

    def _finish(self, finish: e.Finish) -> None:
        if not self.finished.done():
            self.finished.set_result(finish)
        self._on_completed(finish)

    def _send_heartbeat(self, to: Sequence[str], number: int, state: str) -> None:
        idle = []
        for peer in to:
            leaving = self.transport.sending(peer)
            if leaving:
                self.transport.send(peer, Heartbeat(round=number, state=state, sending=leaving))
                self._events.append(ev.StillSending(peer, leaving))
            else:
                idle.append(peer)
        if idle:
            self.transport.send(idle, Heartbeat(round=number, state=state, sending=()))

    def _publish(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._publish_event(kind, self._counted(kind, fields))

    def _counted(self, kind: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the fields of an event with what this node counts; of a round that is complete, up to now."""
        if kind == "round.completed" or (kind == "metric.local" and "duration_s" in fields):  # a client's own round
            counters = self.transport.counters
            sent, received = self._accounted
            self._accounted = (counters.bytes_sent, counters.bytes_received)
            fields = {
                **fields,
                "bytes_sent": counters.bytes_sent - sent,
                "bytes_received": counters.bytes_received - received,
                # For those who have not heard it all: the totals and the pace of this incarnation.
                "bytes_sent_total": counters.bytes_sent,
                "bytes_received_total": counters.bytes_received,
                **self._pace(kind, int(fields["round"])),
            }
        elif kind == "round.started" and fields["round"] and self._began is None:
            self._began = (self.loop.time(), int(fields["round"]) - 1)
        return fields

    def _pace(self, kind: str, number: int) -> dict[str, float]:
        """Return how many rounds a second this node has completed since its first one began."""
        if kind != "round.completed" or self._began is None or number <= self._began[1]:
            return {}
        elapsed = self.loop.time() - self._began[0]
        return {"elapsed_s": elapsed, "rounds_per_s": (number - self._began[1]) / elapsed} if elapsed > 0 else {}

    def mute(self) -> None:
        """Handle no more events; `close` is still to come."""
        self._closed = True

    def close(self) -> None:
        """Stop handling events; timers and worker end. Idempotent."""
        self._closed = True
        self._timers.close()
        self.worker.close()
        if self.finished.done() and not self.finished.cancelled():
            self.finished.exception()  # seen: a node that nobody waits for must not complain at exit


def _alone(_event: ev.Event) -> None:
    raise RuntimeError("this node has no other half")


def _say(said: list[Callable[[], None]]) -> None:
    waiting, said[:] = said[:], []
    for each in waiting:
        each()

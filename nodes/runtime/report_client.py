"""Reports to the launcher that must arrive: each is sent again until it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, NoReturn

import zmq
from nervenet.broker import transport as t
from nervenet.broker.messages import Failed, Message, Payload, Refused, Report
from nervenet.broker.request_client import RequestClient
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.sockets import Security

from .identity import NodeFailed

REPORT_SERVER = "launcher"  # the name under which a launcher takes reports
DRAIN_S = 2.0  # seconds in which what is queued may leave a transport that is closed
REPEAT_S = 5.0  # after which a report that has left this process, and was not acknowledged, is sent again
WARN_S = 60.0  # how often it is said that a report waits
SILENT_S = 3600.0  # after which a launcher that takes no byte and answers nothing is given up


class ReportFailed(NodeFailed):
    """The launcher does not take a report, or has given no sign of life for too long: another one would fail, too."""


class ReportClient:
    """Sends reports over a node's transport, which hands it what comes of the report server.

    A launcher may be stopped for long, as by a closed lid, and the connection be cut meanwhile: a report is sent again
    when there is a link once more, and every few seconds. Without a deadline it waits until `SILENT_S` seconds have
    passed in which none of its bytes moved; this node's own sleep does not count, and its process ends with the
    launcher's. A refusal is final.
    """

    def __init__(
        self,
        transport: t.Transport,
        server: Mapping[str, str] | None,
        deadline_s: float | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._transport = transport
        self._server = server
        self._deadline_s = deadline_s
        self._warn = warn
        self._up = False
        self._answered = asyncio.Event()  # HELLO: there is a link, or a refusal
        self._refusal: Failed | None = None  # of this node's HELLO
        self._relinked = asyncio.Event()
        self._requests = RequestClient(lambda message, array: transport.send(REPORT_SERVER, message, array))

    def link(self) -> None:
        if self._server:
            self._transport.link(REPORT_SERVER, self._server, watched=True)

    def receive(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.LinkUp():
                self._up = True
                self._answered.set()
                self._relinked.set()
            case t.LinkLost():
                self._up = False
                if self._refusal is None:
                    self._answered.clear()
            case t.Arrival(_, Refused(about, _, code, reason)) if code != "stranger":  # to whom HELLO is said again
                refusal = Failed(0, code, reason)  # of every report that is open
                if about == "hello":
                    self._refusal = refusal
                    self._answered.set()
                self._requests.deliver(refusal)
            case t.Arrival(_, message):
                self._requests.deliver(message)

    async def report(
        self,
        kind: Literal["ready", "best", "rounds", "counts", "result"],
        fields: Mapping[str, Any],
        array: Any = None,
        payload: Payload | None = None,
    ) -> None:
        """Send a report, and wait until it is acknowledged; nothing where there is no launcher.

        Raises
        ------
        ReportFailed
            The launcher refuses it, or has been silent for `SILENT_S` seconds.
        NodeFailed
            It is not acknowledged within the deadline, if there is one.
        """
        if not self._server:
            return
        asking = asyncio.ensure_future(self._ask(lambda id_: Report(kind, id_, dict(fields), payload), array))
        watching = asyncio.ensure_future(self._watch(kind))
        try:
            async with asyncio.timeout(self._deadline_s):
                await asyncio.wait({asking, watching}, return_when=asyncio.FIRST_COMPLETED)
            answer = (asking if asking.done() else watching).result()
        except TimeoutError:
            name, within = self._transport.node, f"within {self._deadline_s:g} s"
            raise NodeFailed(f"the launcher did not acknowledge the {kind} of {name} {within}") from None
        finally:
            asking.cancel()
            watching.cancel()
        if isinstance(answer, Failed):
            raise ReportFailed(f"the launcher refuses the {kind} of {self._transport.node}: {answer.reason}")

    async def _ask(self, request: Callable[[int], Report], array: Any) -> Message:
        """Return the receipt of a report, or that it, or this node, is refused."""
        # The report travels on one lane and its receipt on the other: both must stand before it is made.
        await self._answered.wait()
        if self._refusal is not None:
            return self._refusal
        return await self._requests.ask_repeatedly(request, self._lost_or_late, array)

    async def _lost_or_late(self) -> None:
        """Return when a report should be sent again: there is a new link, or nothing has come of it for a while.

        Not while a copy is still leaving: a large one would only delay itself.
        """
        self._relinked.clear()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_S):
                    await self._relinked.wait()
                    return
            if self._up and not self._transport.sending(REPORT_SERVER):
                return

    async def _watch(self, kind: str) -> NoReturn:
        """Say now and then that a report waits; raises ReportFailed when that has been in vain for too long."""
        waited_s, moved_at_s, moved = 0.0, 0.0, 0
        while True:
            await asyncio.sleep(WARN_S)
            waited_s += WARN_S
            if (now := self._transport.moved(REPORT_SERVER)) != moved:
                moved, moved_at_s = now, waited_s
            late = f"the launcher has not acknowledged the {kind} of {self._transport.node} for"
            if waited_s - moved_at_s >= SILENT_S:
                raise ReportFailed(f"{late} {waited_s:g} s, and nothing has reached it for {SILENT_S:g} s: given up")
            self._warn(f"{late} {waited_s:g} s")


async def report_once(
    server: Mapping[str, str],
    run: str,
    node: str,
    role: str,
    kind: Literal["ready", "result"],
    fields: Mapping[str, Any],
    *,
    within_s: float | None = None,
    context: zmq.Context[zmq.Socket[bytes]] | None = None,
    security: Security = LOCAL,
) -> None:
    """Report once to a launcher, from a process that has no open node.

    Raises
    ------
    NodeFailed
        It is not acknowledged within `within_s` seconds, if that is given; `ReportFailed`: it never will be.
    BaseException
        What ended the transport, as soon as it does.
    """
    transport = t.ZmqTransport(node, role, run, bind=None, context=context, security=security)
    client = ReportClient(transport, server, within_s)
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: BaseException) -> None:
        if not failure.done():
            failure.set_exception(error)

    await transport.open(client.receive, fail)
    reporting = asyncio.create_task(client.report(kind, fields))
    try:
        client.link()
        await asyncio.wait({reporting, failure}, return_when=asyncio.FIRST_COMPLETED)
        await (failure if failure.done() else reporting)
    finally:
        reporting.cancel()
        failure.cancel()
        await transport.close(DRAIN_S)

"""Reports to the launcher that must arrive: each is acknowledged within a deadline, or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from nervenet.broker import transport as t
from nervenet.broker.messages import Payload, Report
from nervenet.broker.request_client import RequestClient

from .identity import NodeFailed

REPORT_SERVER = "launcher"  # the name under which a launcher takes reports
DRAIN_S = 2.0  # seconds in which what is queued may leave a transport that is closed


class ReportClient:
    """Sends reports over a node's transport, which hands it what comes of the report server."""

    def __init__(self, transport: t.Transport, server: Mapping[str, str] | None, deadline_s: float) -> None:
        self._transport = transport
        self._server = server
        self._deadline_s = deadline_s
        self._linked = asyncio.Event()
        self._requests = RequestClient(lambda message, array: transport.send(REPORT_SERVER, message, array))

    def link(self) -> None:
        if self._server:
            self._transport.link(REPORT_SERVER, self._server)

    def receive(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.LinkUp():
                self._linked.set()
            case t.Arrival(_, message):
                self._requests.deliver(message)

    async def report(
        self,
        kind: Literal["ready", "best", "rounds", "result"],
        fields: Mapping[str, Any],
        array: Any = None,
        payload: Payload | None = None,
    ) -> None:
        """Send a report, and wait until it is acknowledged; nothing where there is no launcher.

        Raises
        ------
        NodeFailed
            It is not, within the deadline.
        """
        if not self._server:
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                # The report travels on one lane and its receipt on the other: both must stand before it is made.
                await self._linked.wait()
                await self._requests.ask(lambda id_: Report(kind, id_, dict(fields), payload), self._deadline_s, array)
        except TimeoutError:
            name, within = self._transport.node, f"within {self._deadline_s:g} s"
            raise NodeFailed(f"the launcher did not acknowledge the {kind} of {name} {within}") from None


async def report_once(
    server: Mapping[str, str],
    run: str,
    node: str,
    role: str,
    kind: Literal["ready", "result"],
    fields: Mapping[str, Any],
    *,
    within_s: float,
) -> None:
    """Report once to a launcher, from a process that has no open node.

    Raises
    ------
    NodeFailed
        It is not acknowledged within `within_s` seconds.
    BaseException
        What ended the transport, as soon as it does.
    """
    transport = t.ZmqTransport(node, role, run, bind=None)
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

"""The launcher's end of reports: what must arrive is sent over the same lanes as everything else, and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from nervenet.broker import transport as t
from nervenet.broker.codec import Limits
from nervenet.broker.hosting import Host
from nervenet.broker.hosting.transport import hosted_addresses
from nervenet.broker.messages import Receipt, Refused, Report
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.sockets import Security
from nervenet.broker.transport_protocol import new_incarnation

from ..config.schema import NetworkConfig
from ..runtime.identity import inbox_address
from ..runtime.report_client import REPORT_SERVER
from .report_rules import ReportRules


def report_address(network: NetworkConfig) -> str:
    """Return the address pattern on which a report server is bound, another one for each: processes are to reach it."""
    return inbox_address(network) if network.transport != "inproc" else "tcp://127.0.0.1:*"


class ReportServer:
    """Receives the reports of a run's processes at the address pattern `bind`. An async context manager.

    `advertise` is the host by which they reach it, needed with a wildcard.

    `on_report` is called with (node, kind, fields, array or None), once a report; `on_refused` with who was not let in,
    or has reported what it has no business to; `failed` fails where the transport does. `roles` are those of who may
    report; `host`: through it reports come, too.
    """

    def __init__(
        self,
        run: str,
        bind: str,
        on_report: Callable[[str, str, Mapping[str, Any], Any], None],
        *,
        max_message_bytes: int,
        advertise: str | None = None,
        security: Security = LOCAL,
        on_refused: Callable[[t.ConnectionRefused], None] = lambda _: None,
        roles: Mapping[str, str],
        host: Host | None = None,
    ) -> None:
        limits = Limits(message_bytes=max_message_bytes)
        where: dict[str, Any] = {"bind": bind, "advertise": advertise, "limits": limits, "security": security}
        self.transport = t.ZmqTransport(REPORT_SERVER, "launcher", run, **where)
        self._host = host
        self._hosted = None if host is None else host.transport(REPORT_SERVER, "launcher", new_incarnation())
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_report = on_report
        self._on_refused = on_refused
        self._rules = ReportRules(roles)
        self._seen: dict[str, tuple[int, set[int]]] = {}  # by process: its incarnation, and the ids of its reports

    async def __aenter__(self) -> ReportServer:
        await self.transport.open(partial(self._receive, self.transport), self._fail)
        if self._host is not None and self._hosted is not None:
            await self._host.__aenter__()
            await self._hosted.open(partial(self._receive, self._hosted), self._fail)
        return self

    @property
    def addresses(self) -> dict[str, str]:
        """Where processes reach it; those that host several nodes by way of this one's host."""
        hosted = {} if self._hosted is None else hosted_addresses(self._hosted.addresses)
        return {**self.transport.addresses, **hosted}

    async def close(self) -> None:
        """Close all connections; nothing more is received. Idempotent."""
        if self._host is not None and self._hosted is not None:
            await self._hosted.close(0.5)
            await self._host.__aexit__()
        await self.transport.close(0.5)

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        if self.failed.done():
            self.failed.exception()

    def _receive(self, transport: t.Transport, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.Arrival(sender, Report(kind=kind, id=number, fields=fields), array):
                _, seen = self._seen.setdefault(sender, (0, set()))
                if number not in seen:
                    refusal = self._rules.refusal(sender, kind, fields)
                    if refusal is not None:
                        self._on_refused(t.ConnectionRefused("inbox.launcher", "", "", sender, refusal))
                        transport.send(sender, Refused("report", 0, "identity", refusal))
                        return
                    seen.add(number)
                    self._on_report(sender, kind, fields, array)
                transport.send(sender, Receipt(id=number))
            case t.LinkUp(peer, _, incarnation) if self._seen.get(peer, (0,))[0] != incarnation:
                # A process of that name has started, perhaps again, and counts its reports from one. One that has only
                # connected again repeats what was not acknowledged.
                self._seen[peer] = (incarnation, set())
                self._rules.started(peer)
            case t.ConnectionRefused():
                self._on_refused(item)

    def _fail(self, error: BaseException) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)

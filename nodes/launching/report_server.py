"""The launcher's end of reports: what must arrive is sent over the same lanes as everything else, and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from nervenet.broker import transport as t
from nervenet.broker.codec import Limits
from nervenet.broker.messages import Receipt, Refused, Report
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.sockets import Security

from ..runtime.report_client import REPORT_SERVER
from .report_rules import ReportRules


class ReportServer:
    """Receives the reports of a run's processes at the address pattern `bind`. An async context manager.

    `advertise` is the host by which they reach it, needed with a wildcard.

    `on_report` is called with (node, kind, fields, array or None), once a report; `on_refused` with who was not let in,
    or has reported what it has no business to; `failed` fails where the transport does. `roles` are those of who may
    report.
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
    ) -> None:
        limits = Limits(message_bytes=max_message_bytes)
        where: dict[str, Any] = {"bind": bind, "advertise": advertise, "limits": limits, "security": security}
        self.transport = t.ZmqTransport(REPORT_SERVER, "launcher", run, **where)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_report = on_report
        self._on_refused = on_refused
        self._rules = ReportRules(roles)
        self._seen: dict[str, tuple[int, set[int]]] = {}  # by process: its incarnation, and the ids of its reports

    async def __aenter__(self) -> ReportServer:
        await self.transport.open(self._receive, self._fail)
        return self

    async def close(self) -> None:
        """Close all connections; nothing more is received. Idempotent."""
        await self.transport.close(0.5)

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        if self.failed.done():
            self.failed.exception()

    def _receive(self, item: t.Arrival | t.TransportEvent) -> None:
        match item:
            case t.Arrival(sender, Report(kind=kind, id=number, fields=fields), array):
                _, seen = self._seen.setdefault(sender, (0, set()))
                if number not in seen:
                    refusal = self._rules.refusal(sender, kind, fields)
                    if refusal is not None:
                        self._on_refused(t.ConnectionRefused("inbox.launcher", "", "", sender, refusal))
                        self.transport.send(sender, Refused("report", 0, "identity", refusal))
                        return
                    seen.add(number)
                    self._on_report(sender, kind, fields, array)
                self.transport.send(sender, Receipt(id=number))
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

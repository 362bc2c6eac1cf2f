"""Reports to the launcher: acknowledged, or an error within the deadline."""

from __future__ import annotations

import asyncio

import pytest
from nervenet.broker import transport as t
from nervenet.nodes.runtime import report_client
from nervenet.nodes.runtime.identity import NodeFailed

NOWHERE = {"control": "tcp://127.0.0.1:1", "bulk": "tcp://127.0.0.1:1"}


async def test_a_report_that_nobody_acknowledges_fails_by_its_deadline() -> None:
    with pytest.raises(NodeFailed, match=r"did not acknowledge the ready of a within 0\.1 s"):
        await report_client.report_once(NOWHERE, "run", "a", "broker", "ready", {}, within_s=0.1)


async def test_a_transport_that_breaks_ends_the_wait_for_its_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(t.ZmqTransport):
        async def open(self, receiver: t.Receiver, on_error: t.OnError) -> None:
            await super().open(receiver, on_error)
            asyncio.get_running_loop().call_soon(on_error, OSError("no descriptors"))

    monkeypatch.setattr(report_client.t, "ZmqTransport", Broken)
    async with asyncio.timeout(20):
        with pytest.raises(OSError, match="no descriptors"):
            await report_client.report_once(NOWHERE, "run", "a", "broker", "ready", {}, within_s=60)

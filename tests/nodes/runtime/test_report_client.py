"""Reports to the launcher: repeated until they are acknowledged, and counted once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nervenet.broker import transport as t
from nervenet.broker.messages import Receipt, Refused, Report
from nervenet.broker.request_client import RequestClient
from nervenet.nodes.launching.report_server import ReportServer
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
    async with asyncio.timeout(60):
        with pytest.raises(OSError, match="no descriptors"):
            await report_client.report_once(NOWHERE, "run", "a", "broker", "ready", {}, within_s=60)


class Line:
    """A transport to a launcher that may sleep: keeps what is sent, and says what a test tells it to."""

    node = "a"

    def __init__(self) -> None:
        self.sent: list[tuple[Any, Any]] = []
        self.leaving: tuple[int, ...] = ()
        self.read = 0  # bytes that the launcher has taken

    def link(self, *_: Any, watched: bool) -> None:
        assert watched, "or nobody would notice that the launcher's connection has ended"

    def send(self, _to: str, message: Any, array: Any = None) -> None:
        self.sent.append((message, array))

    def sending(self, _to: str) -> tuple[int, ...]:
        return self.leaving

    def moved(self, _to: str) -> int:
        return self.read


LAUNCHER_UP = t.LinkUp("launcher", "launcher", 1, True)
LAUNCHER_LOST = t.LinkLost("launcher", 1, "closed")


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def reported_to_a_sleeping_launcher() -> bool:
    """Whether a report whose receipt was lost with its connection is made again over the next one."""
    line = Line()
    client = report_client.ReportClient(line, NOWHERE)  # type: ignore[arg-type]
    client.link()
    reporting = asyncio.create_task(client.report("result", {"x": 1}, [1.0]))
    await turns()
    assert line.sent == []  # there is no link yet
    client.receive(LAUNCHER_UP)
    await turns()
    (first,) = line.sent
    client.receive(LAUNCHER_LOST)
    await turns()
    client.receive(LAUNCHER_UP)
    await turns()
    if line.sent != [first, first]:
        reporting.cancel()
        return False
    client.receive(t.Arrival("launcher", Receipt(first[0].id), None, 9))
    await reporting
    return True


async def test_a_report_is_made_again_when_there_is_a_link_once_more() -> None:
    assert await reported_to_a_sleeping_launcher()


async def test_asked_once_it_would_be_lost_with_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def once(client: RequestClient, request: Any, _again: Any, array: Any = None) -> Any:
        return await client.ask(request, 60.0, array)

    monkeypatch.setattr(RequestClient, "ask_repeatedly", once)
    assert not await reported_to_a_sleeping_launcher()


async def test_a_report_is_repeated_after_a_while_but_not_while_a_copy_is_leaving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_client, "REPEAT_S", 0.001)
    monkeypatch.setattr(report_client, "WARN_S", 0.01)
    line, warnings = Line(), []
    client = report_client.ReportClient(line, NOWHERE, warn=warnings.append)  # type: ignore[arg-type]
    client.receive(LAUNCHER_UP)
    line.leaving = (0,)
    reporting = asyncio.create_task(client.report("result", {}))
    async with asyncio.timeout(60):
        while not warnings:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert len(line.sent) == 1
        line.leaving = ()
        while len(line.sent) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert warnings[0] == "the launcher has not acknowledged the result of a for 0.01 s"
    client.receive(t.Arrival("launcher", Receipt(1), None, 9))
    await reporting


async def what_came_of_a_refused_report(refusal: Refused, *, linked: bool) -> tuple[str, int]:
    """How a report to a launcher that refuses it ends, and how often it was made."""
    line = Line()
    client = report_client.ReportClient(line, NOWHERE)  # type: ignore[arg-type]
    if linked:
        client.receive(LAUNCHER_UP)
    reporting = asyncio.create_task(client.report("result", {}))
    await turns()
    client.receive(t.Arrival("launcher", refusal, None, 9))
    await turns(50)
    if not reporting.done():
        reporting.cancel()
        return "waits", len(line.sent)
    error = reporting.exception()
    assert isinstance(error, report_client.ReportFailed)
    return str(error), len(line.sent)


NOT_OF_IT = Refused("report", 0, "identity", "a reports its result, and is not of this run")
ANOTHER = Refused("hello", 0, "stale", "a has been started again since (incarnation 9)")
STRANGER = Refused("hello", 0, "stranger", "launcher has not received your HELLO on control")


async def test_a_refusal_of_a_report_is_final_and_says_why() -> None:
    said, made = await what_came_of_a_refused_report(NOT_OF_IT, linked=True)
    assert (said, made) == (f"the launcher refuses the result of a: {NOT_OF_IT.reason}", 1)


async def test_so_is_a_refusal_of_the_hello_before_it() -> None:
    said, made = await what_came_of_a_refused_report(ANOTHER, linked=False)
    assert (said, made) == (f"the launcher refuses the result of a: {ANOTHER.reason}", 0)


async def test_a_launcher_that_has_no_hello_yet_refuses_nothing() -> None:
    assert await what_came_of_a_refused_report(STRANGER, linked=True) == ("waits", 1)


async def test_unheard_a_refusal_would_leave_the_report_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = report_client.ReportClient.receive

    def deaf(client: report_client.ReportClient, item: t.Arrival | t.TransportEvent) -> None:
        if not (isinstance(item, t.Arrival) and isinstance(item.message, Refused)):
            receive(client, item)

    monkeypatch.setattr(report_client.ReportClient, "receive", deaf)
    assert await what_came_of_a_refused_report(NOT_OF_IT, linked=True) == ("waits", 1)
    assert await what_came_of_a_refused_report(ANOTHER, linked=False) == ("waits", 0)


async def warned_until_given_up(monkeypatch: pytest.MonkeyPatch, *, looks: int) -> tuple[int, str]:
    """How often a report to a launcher that answers nothing warns, and how it ends; it takes bytes for some `looks`."""
    monkeypatch.setattr(report_client, "WARN_S", 0.001)
    monkeypatch.setattr(report_client, "SILENT_S", 0.003)
    line, warnings = Line(), []

    def warn(reason: str) -> None:
        warnings.append(reason)
        line.read += 9 if len(warnings) <= looks else 0

    client = report_client.ReportClient(line, NOWHERE, warn=warn)  # type: ignore[arg-type]
    client.receive(LAUNCHER_UP)
    async with asyncio.timeout(60):
        with pytest.raises(report_client.ReportFailed) as failed:
            await client.report("result", {})
    return len(warnings), str(failed.value)


async def test_a_silent_launcher_is_given_up_once_no_byte_has_moved_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    count, said = await warned_until_given_up(monkeypatch, looks=0)
    assert count == 2
    assert "has not acknowledged the result of a for 0.003 s" in said
    assert "nothing has reached it for 0.003 s: given up" in said


async def test_while_bytes_move_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    count, _ = await warned_until_given_up(monkeypatch, looks=5)
    assert count == 2 + 5 + 1


async def test_without_the_limit_it_would_be_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_client, "WARN_S", 0.0)
    line, warnings = Line(), []
    client = report_client.ReportClient(line, NOWHERE, warn=warnings.append)  # type: ignore[arg-type]
    client.receive(LAUNCHER_UP)
    reporting = asyncio.create_task(client.report("result", {}))
    await turns(100)
    assert len(warnings) > 50
    assert not reporting.done()
    reporting.cancel()


async def reports_taken(*, once: bool) -> list[str]:
    """What a launcher takes of one report that is made twice, with a new connection in between."""
    taken: list[str] = []
    server = ReportServer(
        "r",
        "tcp://127.0.0.1:*",
        lambda _node, kind, *_: taken.append(kind),
        max_message_bytes=10**6,
        roles={"a": "client"},
    )
    server.transport.send = lambda *_: None  # type: ignore[method-assign, assignment]
    report = t.Arrival("a", Report("result", 1, {}), None, 9)
    server._receive(server.transport, t.LinkUp("a", "client", 5, False))
    server._receive(server.transport, report)
    server._receive(server.transport, t.LinkUp("a", "client", 5 if once else 6, False))
    server._receive(server.transport, report)
    return taken


async def test_a_report_that_is_repeated_counts_once_and_that_of_the_next_process_again() -> None:
    assert await reports_taken(once=True) == ["result"]
    assert await reports_taken(once=False) == ["result", "result"]


async def test_a_new_connection_alone_would_make_it_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = ReportServer._receive

    def forgetful(server: ReportServer, transport: Any, item: Any) -> None:
        if isinstance(item, t.LinkUp):
            server._seen.pop(item.peer, None)
        receive(server, transport, item)

    monkeypatch.setattr(ReportServer, "_receive", forgetful)
    assert await reports_taken(once=True) == ["result", "result"]

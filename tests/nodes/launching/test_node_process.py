"""What a node's process reports at the end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.broker.codec import Limits, check_size, encode
from nervenet.broker.errors import MessageTooLarge
from nervenet.broker.messages import Report
from nervenet.broker.transport_events import Counters
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import node_process, process_logs
from nervenet.nodes.runtime.identity import NodeFailed
from nervenet.nodes.runtime.node_stats import NodeStats
from nervenet.nodes.runtime.report_client import ReportFailed
from nervenet.nodes.runtime.round_history import RoundHistory

LIMIT = 65_536


class Reports:
    """Takes what fits a message."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []

    async def report(self, kind: Any, fields: dict[str, Any], array: Any = None, payload: Any = None) -> None:
        message = Report(kind, 1, fields, payload)
        check_size(message, encode(message, array), Limits(message_bytes=LIMIT))
        self.taken.append((kind, fields))


async def reported_of_many_rounds() -> list[tuple[str, dict[str, Any]]]:
    """Return what a launcher hears of 9,000 rounds, each of which was disturbed."""
    stats, reports = NodeStats("coordinator"), Reports()
    for number in range(1, 9_001):
        missing = {f"client-{number}": "x" * 1_000}
        fields = {"round": number, "duration_s": 0.1, "closed_by": "deadline", "missing": missing}
        stats.event("round.completed", fields)
    session = SimpleNamespace(stats=stats, reports=reports, transport=SimpleNamespace(counters=Counters()))
    node: Any = SimpleNamespace(session=session, model=SimpleNamespace(built=False, scheduled=False), weights=None)
    experiment = Experiment.from_dict({"network": {"max_message_bytes": LIMIT}})
    await node_process._report(node, "", "", experiment)
    return reports.taken


async def test_a_result_is_reported_whatever_its_lists_take() -> None:
    *rounds, (kind, result) = await reported_of_many_rounds()
    assert {kind for kind, _ in rounds} == {"rounds"}
    assert (kind, result["completed_rounds"]) == ("result", 9_000)
    assert result["disturbed"], "that it was is known"
    assert "65,536" in result["warnings"][-1]


@pytest.mark.parametrize("whole", ["rounds", "result"])
async def test_with_all_of_them_it_would_be_refused(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    if whole == "rounds":
        monkeypatch.setattr(RoundHistory, "to_reports", lambda history, _: [history.to_report()])
    else:
        monkeypatch.setattr(node_process, "_report_result", lambda reports, fields: reports.report("result", fields))
    with pytest.raises(MessageTooLarge):
        await reported_of_many_rounds()


async def muted_while_busy() -> tuple[bool, int]:
    """Terminate this process while its loop is busy: whether its nodes are muted at once, and the exit code."""
    muted: list[int] = []
    at_once: list[bool] = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR2)
        for _ in range(10_000):  # bytecodes, between which Python handles the signal; the loop has no turn
            pass
        at_once.append(bool(muted))
        await asyncio.Event().wait()

    async with asyncio.timeout(60):
        code = await node_process._until_terminated(work(), signal.SIGUSR2, on_stop=lambda: muted.append(1))
    return at_once == [True], code


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
async def test_nodes_are_muted_before_the_loop_has_worked_off_what_came() -> None:
    assert await muted_while_busy() == (True, 0)


@pytest.mark.usefixtures("handlers")
async def test_by_the_loop_alone_they_would_be_later(monkeypatch: pytest.MonkeyPatch) -> None:
    install = signal.signal

    def by_the_loop(number: int, handler: Any) -> Any:
        return None if getattr(handler, "__module__", "") == node_process.__name__ else install(number, handler)

    monkeypatch.setattr(signal, "signal", by_the_loop)
    assert await muted_while_busy() == (False, 0)


class FullDisk:
    """Standard error in a file that cannot grow."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def flush(self) -> None:
        self.write("")

    def isatty(self) -> bool:
        return False


async def saved_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a coordinator that can neither save its models nor say so goes on to report its result."""

    def save(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node_process, "result_of", lambda *_: None)
    monkeypatch.setattr(node_process, "save_models", save)
    node: Any = SimpleNamespace(identity=SimpleNamespace(name="coordinator", run="r"))
    set_back = process_logs.configure(process_logs.QUIET, FullDisk())
    try:
        return await node_process._models_saved(Experiment(), "run", node, "")
    finally:
        set_back()


async def test_a_full_disk_costs_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await saved_on_a_full_disk(monkeypatch) is False


async def test_a_log_that_insists_on_its_lines_would_cost_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def insists(*_: object) -> None:
        raise  # noqa: PLE0704  what could not be written

    monkeypatch.setattr(process_logs._Lines, "handleError", insists)
    with pytest.raises(OSError, match="No space left"):
        await saved_on_a_full_disk(monkeypatch)


async def reported_again_after(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """The exit code of a node whose report fails, and how often it is reported that it has failed."""
    again: list[str] = []

    class Finished:
        session = SimpleNamespace(stop_deciding=lambda: None)

        async def __aenter__(self) -> "Finished":
            return self

        async def __aexit__(self, *_: object) -> None: ...

        async def rounds(self) -> AsyncIterator[None]:
            for _ in range(0):
                yield

    async def fails(*_: Any) -> None:
        raise failure

    async def report_once(*_: Any, **__: Any) -> None:
        again.append("result")

    monkeypatch.setattr(node_process, "_build", lambda *_: Finished())
    monkeypatch.setattr(node_process, "_report", fails)
    monkeypatch.setattr(node_process, "report_once", report_once)
    job = {"report_server": {}, "run": "r"}
    spec = {"name": "a", "role": "client", "run_dir": ""}
    rest: tuple[Any, ...] = (None, SimpleNamespace(context=None, secure=lambda _: None, hosted=[]))
    return await node_process._node(job, Experiment(), spec, *rest), len(again)


async def test_what_the_launcher_refuses_is_not_reported_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await reported_again_after(ReportFailed("the launcher refuses it"), monkeypatch) == (1, 0)


async def test_any_other_failure_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await reported_again_after(NodeFailed("the disk is full"), monkeypatch) == (1, 1)

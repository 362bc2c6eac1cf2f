"""What a node reports at its end, whatever its lists take and whether or not its models can be saved."""

from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.broker.codec import Limits, check_size, encode
from nervenet.broker.errors import MessageTooLarge
from nervenet.broker.messages import Report
from nervenet.broker.transport_events import Counters
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import final_report, process_logs
from nervenet.nodes.runtime.node_stats import NodeStats
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
    await final_report.report_end(node, "", "", experiment)
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
        monkeypatch.setattr(final_report, "_report_result", lambda reports, fields: reports.report("result", fields))
    with pytest.raises(MessageTooLarge):
        await reported_of_many_rounds()


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

    monkeypatch.setattr(final_report, "result_of", lambda *_: None)
    monkeypatch.setattr(final_report, "save_models", save)
    node: Any = SimpleNamespace(identity=SimpleNamespace(name="coordinator", run="r"))
    set_back = process_logs.configure(process_logs.QUIET, FullDisk())
    try:
        return await final_report._models_saved(Experiment(), "run", node, "")
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

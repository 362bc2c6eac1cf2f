"""Rounds as their owner iterates over them."""

import asyncio
from collections.abc import Callable

import pytest
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import round_reports
from nervenet.nodes.runtime.identity import NodeFailed
from nervenet.nodes.runtime.round_reports import RoundReport, RoundReports


def completed(number: int) -> e.Completed:
    fields = {"loss": 0.1, "closed_by": "all", "participants": ["a", "b"], "duration_s": 1.0}
    return e.Completed(number, fields, {"test": {"accuracy": 0.5}})


async def test_rounds_come_in_order_until_the_end() -> None:
    reports = RoundReports()
    for number in (1, 2):
        reports.put(completed(number))
    reports.put(e.Finish("completed"))
    found = [report async for report in reports.until(None)]
    assert [r.round for r in found] == [1, 2]
    assert (found[0].accuracy, found[0].r2, found[0].closed_by, found[0].participants) == (0.5, None, "all", ("a", "b"))
    assert found[0].fields["duration_s"] == 1.0
    assert [report async for report in reports.until(None)] == []  # the end stays the end


def test_a_training_loss_never_passes_for_the_loss_of_an_evaluation() -> None:
    judged = RoundReport.of(e.Completed(1, {"loss": 0.1}, {"test": {"loss": 0.4}, "holdout": {"loss": 0.5}}))
    assert (judged.loss, judged.train_loss, judged.evaluated_on) == (0.4, 0.1, "test")
    unjudged = RoundReport.of(e.Completed(2, {"loss": 0.1}))
    assert (unjudged.loss, unjudged.accuracy, unjudged.train_loss, unjudged.evaluated_on) == (None, None, 0.1, "")


async def test_it_stops_at_the_last_round_asked_for_and_goes_on_there() -> None:
    reports = RoundReports()
    for number in (1, 2, 3):
        reports.put(completed(number))
    assert [r.round async for r in reports.until(2)] == [1, 2]
    assert [r.round async for r in reports.until(3)] == [3]


@pytest.mark.parametrize("kept", [2, 10])
async def test_of_rounds_that_nobody_iterates_over_the_last_are_kept(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would take memory for as long as a run goes on."""
    monkeypatch.setattr(round_reports, "WAITING", kept)
    said: list[str] = []
    reports = RoundReports(warn=said.append)
    for number in range(1, 6):
        reports.put(completed(number))
    reports.put(e.Finish("completed"))
    found = [report.round async for report in reports.until(None)]
    assert found == ([4, 5] if kept == 2 else [1, 2, 3, 4, 5])
    assert len(said) == (kept == 2)


async def test_a_failure_is_raised_where_somebody_waits() -> None:
    reports = RoundReports()

    async def last() -> list[int]:
        return [r.round async for r in reports.until(None)]

    waiting = asyncio.create_task(last())
    await asyncio.sleep(0)
    reports.put(completed(1))
    reports.put(e.Finish("failed", "nobody was left"))
    with pytest.raises(NodeFailed, match="nobody was left"):
        await waiting


async def test_the_owner_of_one_that_goes_on_by_itself_gets_together_what_follows_closely(
    pass_time: Callable[[float], None],
) -> None:
    reports = RoundReports(together_s=3_600.0)
    found = reports.until(None)
    reports.put(completed(1))
    assert (await anext(found)).round == 1
    waiting = asyncio.ensure_future(anext(found))
    for number in (2, 3):
        await asyncio.sleep(0)
        reports.put(completed(number))
    await asyncio.sleep(0)
    assert not waiting.done(), "they wait for each other"
    pass_time(3_600.0)
    assert (await waiting).round == 2
    assert (await anext(found)).round == 3, "and come at one time"


async def test_an_owner_who_looks_late_gets_all_that_is_there() -> None:
    reports = RoundReports(together_s=3_600.0)
    found = reports.until(None)
    for number in (1, 2, 3):
        reports.put(completed(number))
    assert [(await anext(found)).round for _ in range(3)] == [1, 2, 3]
    reports.put(e.Finish("completed"))


async def test_an_owner_who_stops_waiting_misses_nothing() -> None:
    reports = RoundReports()
    waiting = asyncio.ensure_future(anext(reports.until(None)))
    await asyncio.sleep(0)
    waiting.cancel()
    reports.put(completed(1))
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await anext(reports.until(None))).round == 1


async def test_the_end_waits_for_nothing() -> None:
    reports = RoundReports(together_s=60.0)
    for number in (1, 2):
        reports.put(completed(number))
    reports.put(e.Finish("completed"))
    assert [report.round async for report in reports.until(None)] == [1, 2]

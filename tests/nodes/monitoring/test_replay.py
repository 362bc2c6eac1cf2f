"""The pace of a replay, on a clock that the test reads out."""

import math
from typing import Any

import pytest
from nervenet.nodes.monitoring.replay import AT_A_TIME, Replay


def event(at: float, number: int = 0) -> dict[str, Any]:
    return {"type": "round.completed", "node": "peer-0", "time": at, "round": number}


def of(*times: float, **options: Any) -> Replay:
    return Replay([event(at, i) for i, at in enumerate(times)], **options)


def due(replay: Replay, now: float) -> list[float]:
    return [event["time"] for event in replay.due(now)]


def test_events_come_as_far_apart_as_they_were() -> None:
    replay = of(100.0, 101.0, 103.0)
    assert due(replay, 7.0) == [100.0]
    assert replay.wait_s(7.25) == 0.75
    assert due(replay, 7.9) == []
    assert due(replay, 8.0) == [101.0]
    assert replay.unix_s(9.0) == 102.0
    assert due(replay, 50.0) == [103.0], "who looks late is told what was missed"
    assert replay.ended
    assert replay.wait_s(50.0) is None
    assert replay.unix_s(99.0) == 103.0


@pytest.mark.parametrize(("speed", "wait_s"), [(10.0, 0.1), (0.5, 2.0)])
def test_at_another_speed(speed: float, wait_s: float) -> None:
    replay = of(100.0, 101.0, speed=speed)
    due(replay, 0.0)
    assert replay.wait_s(0.0) == pytest.approx(wait_s)
    assert due(replay, wait_s + 1e-9) == [101.0]


def test_all_at_once_comes_in_portions() -> None:
    replay = Replay([event(float(i * 10)) for i in range(AT_A_TIME + 1)], speed=math.inf)
    assert len(replay.due(0.0)) == AT_A_TIME
    assert replay.wait_s(0.0) == 0.0
    assert len(replay.due(0.0)) == 1


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan])
def test_a_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="a number above 0"):
        of(1.0, speed=speed)


def test_a_pause_holds_the_place_and_the_clock() -> None:
    replay = of(100.0, 101.0)
    due(replay, 0.0)
    replay.pause(0.5)
    assert due(replay, 60.0) == []
    assert replay.wait_s(60.0) == math.inf
    assert replay.unix_s(60.0) == 100.5
    replay.resume(60.0)
    assert replay.wait_s(60.0) == 0.5
    assert due(replay, 60.5) == [101.0]


def test_a_change_of_speed_begins_where_it_is() -> None:
    replay = of(100.0, 110.0)
    due(replay, 0.0)
    replay.set_speed(4.0, 2.0)
    assert replay.wait_s(2.0) == 2.0
    replay.set_speed(math.inf, 2.0)
    assert due(replay, 2.0) == [110.0]


def test_from_a_round_on_and_on_to_another() -> None:
    replay = of(100.0, 110.0, 120.0, 130.0, 131.0, from_round=2)
    assert due(replay, 0.0) == [100.0, 110.0, 120.0]
    assert replay.round == 2
    assert replay.wait_s(0.0) == 10.0
    replay.skip_to_round(4)
    assert replay.wait_s(1.0) == 0.0
    assert due(replay, 1.0) == [130.0, 131.0]


def test_from_a_place_on() -> None:
    replay = of(100.0, 110.0, 120.0, from_s=15.0)
    assert due(replay, 0.0) == [100.0, 110.0]
    assert replay.place_s(0.0) == 15.0
    replay.skip_to(12.0)
    assert due(replay, 1.0) == [], "what has been played is not played again"
    assert replay.place_s(1.0) == 16.0
    replay.skip_to(20.0)
    assert due(replay, 1.0) == [120.0]


def test_a_round_that_never_comes_skips_to_the_end() -> None:
    replay = of(100.0, 110.0, from_round=10**30)
    assert due(replay, 0.0) == [100.0, 110.0]
    assert replay.ended


def test_nothing_is_no_recording_and_no_error() -> None:
    replay = Replay([])
    assert replay.ended
    assert replay.due(0.0) == []
    assert replay.place_s(0.0) == 0.0


def test_a_round_that_is_none_counts_as_none() -> None:
    replay = Replay([{"type": "x", "round": "7"}, {"type": "x", "round": None}, {"type": "x"}])
    assert len(replay.due(0.0)) == 3
    assert replay.round == 0

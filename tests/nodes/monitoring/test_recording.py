"""What a recording holds, and where on its line of time each event stands."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.monitoring import recording
from nervenet.nodes.monitoring.recording import IDLE_PLAYED_S, Recording, Timeline


def line(kind: str, at: Any, node: str = "peer-0", **more: Any) -> dict[str, Any]:
    return {"type": kind, "run": "r", "node": node, "role": "peer", "incarnation": 1, "seq": 1, "time": at, **more}


def written(path: Path, events: Sequence[object]) -> Path:
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return path


def places(*found: tuple[Any, str]) -> list[float]:
    timeline = Timeline()
    return [timeline.place(line("x", at, node)) for at, node in found]


def test_a_file_and_a_run_folder_are_read_from_the_beginning_each_time(tmp_path: Path) -> None:
    events = [line("run.started", 1.0), line("node.ready", 2.5)]
    file = written(tmp_path / "events.jsonl", events)
    for path in (file, tmp_path):
        of = Recording(path)
        assert list(of.events()) == list(of.events()) == events
        assert of.length_s() == 1.5


def test_older_parts_and_summaries_are_played_too(tmp_path: Path) -> None:
    written(tmp_path / "events.1.jsonl", [line("run.started", 1.0)])
    columns = {"loss": [0.5, 0.25], "duration_s": 1.0}
    summary = {"type": "round.summary", "run": "r", "node": "launcher", "role": "launcher", "time": 2.0, "round": 3}
    written(tmp_path / "events.jsonl", [{**summary, "peers": ["a", "b"], "round.completed": columns}])
    played = [(event["type"], event["node"]) for event in Recording(tmp_path).events()]
    assert played[0] == ("run.started", "peer-0")
    assert played[-2:] == [("round.completed", "a"), ("round.completed", "b")]


def test_what_is_no_event_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "recorded"
    file.write_bytes(b'[1]\n{"no": "type"}\n{"type": 7}\n\xff\xfe\n{"type": "gap", "time": "x"}\n{"type": "half')
    assert list(Recording(file).events()) == [{"type": "gap", "time": "x"}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.jsonl", None, "there is no such file or run folder"),
        ("empty.jsonl", b"", "holds no events"),
        ("table.csv", b"a,b\n1,2\n", "holds no events"),
        ("folder", ..., "is no run folder that can be replayed"),
    ],
)
def test_what_holds_no_events_is_refused_by_name(tmp_path: Path, name: str, content: Any, said: str) -> None:
    path = tmp_path / name
    if content is ...:
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ExperimentError, match=f"{name}: {said}"):
        Recording(path)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(recording, "read_parts", forbidden)
    with pytest.raises(ExperimentError, match=r"recorded: cannot be read: Permission denied"):
        Recording(tmp_path / "recorded")


def test_events_stand_where_their_times_are_and_never_go_back() -> None:
    assert places((100.0, "a"), (101.5, "b"), (101.0, "a"), (103.0, "a")) == [0.0, 1.5, 1.5, 3.0]


def test_of_a_long_silence_a_second_is_played_for_all() -> None:
    found = places((100.0, "a"), (101.0, "b"), (9000.0, "a"), (9001.0, "b"), (9002.0, "a"))
    assert found == [0.0, 1.0, 1.0 + IDLE_PLAYED_S, 2.0 + IDLE_PLAYED_S, 3.0 + IDLE_PLAYED_S]


def test_clocks_that_differ_cost_a_second_once_and_keep_their_pace() -> None:
    pairs = [pair for i in range(50) for pair in ((100.0 + i, "a"), (3700.5 + i, "b"))]
    found = places(*pairs)
    assert found[-1] == pytest.approx(50.0, abs=2 * IDLE_PLAYED_S)
    behind = places(*[pair for i in range(50) for pair in ((3700.0 + i, "a"), (100.5 + i, "b"))])
    assert behind[-1] == pytest.approx(49.0, abs=2 * IDLE_PLAYED_S)


@pytest.mark.parametrize("nonsense", [None, "now", -1.0, 1e308, 2**63, float("nan"), True, [1.0]])
def test_a_time_that_is_none_moves_nothing(nonsense: Any) -> None:
    assert places((100.0, "a"), (nonsense, "b"), (101.0, "a"))[1:] in ([0.0, 1.0], [0.0, 1.0 + IDLE_PLAYED_S])
    assert places((nonsense, "b"), (101.0, "a"))[1] <= IDLE_PLAYED_S


def test_the_time_of_a_place_is_by_the_recordings_clocks() -> None:
    timeline = Timeline()
    timeline.place(line("x", 100.0))
    assert timeline.unix_s(0.25) == 100.25
    timeline.place(line("x", 9000.0))
    assert timeline.unix_s(timeline.end_s) == 9000.0

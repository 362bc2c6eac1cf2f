"""``nervenet replay``, where its output is no terminal."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.monitoring.recording import Recording
from nervenet.nodes.monitoring.replayed import ReplayedEvents
from nervenet.scripts.following import Record, follow
from nervenet.scripts.live_view import LiveView
from nervenet.scripts.main import execute
from nervenet.scripts.view_choice import choose_view
from nervenet.scripts.views import View

FULL = Path("/dev/full")
HEAD = {"run": "r", "node": "launcher", "role": "launcher", "incarnation": 1, "seq": 1}
RUN: list[dict[str, Any]] = [
    {
        "type": "run.started",
        "mode": "federated",
        "data": "iris",
        "model": "mlp",
        "rounds": 2,
        "time": 100.0,
    },
    {"type": "node.ready", "node": "client-0", "role": "client", "time": 101.0},
    {"type": "round.completed", "node": "coordinator", "role": "coordinator", "round": 1, "time": 102.0},
    {"type": "node.lost", "subject": "client-0", "reason": "killed", "time": 103.0},
    {"type": "run.failed", "reason": "too few answers", "status": "failed", "time": 104.0},
]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    file = tmp_path / "recorded.jsonl"
    file.write_text("".join(f"{json.dumps({**HEAD, **event})}\n" for event in RUN))
    return file


def test_the_outcome_comes_last(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["replay", str(recorded), "--speed", "max"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "federated · iris · mlp  round 1/2  failed: too few answers" in lines[-4]
    assert lines[-3] == "failed after 1 of 2 rounds: too few answers"
    assert lines[-2] == "  lost      client-0: killed (docs/errors.md#node-lost)"
    assert lines[-1].startswith("  files     ")
    assert lines[-1].endswith("recorded.jsonl")


def test_a_run_folder_is_played_as_events(tmp_path: Path, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded.rename(tmp_path / "events.jsonl")
    assert execute(["replay", str(tmp_path), "--speed", "1000", "--json"]) == 0
    kinds = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
    assert [kind for kind in kinds if kind != "malformed"] == [event["type"] for event in RUN]


def test_a_round_that_there_is_not_is_said(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["replay", str(recorded), "--from", "7"]) == 0
    assert "there is no round 7; the last is 1" in capsys.readouterr().out


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_what_is_no_speed_is_refused(recorded: Path, speed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["replay", str(recorded), "--speed", speed]) == 2
    assert "is no speed; a number above 0 (1 is as it was), or max" in capsys.readouterr().err


def test_a_file_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["replay", str(tmp_path / "none.jsonl")]) == 2
    assert capsys.readouterr().err.endswith("none.jsonl: there is no such file or run folder\n")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
async def test_a_record_on_a_full_disk_is_a_warning(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    class Shown(View):
        def event(self, event: Any) -> None:
            seen.append(event["type"])

    async with asyncio.timeout(60), ReplayedEvents(Recording(recorded), speed=math.inf) as events:
        with Record(FULL) as record:
            await follow(Shown(), events, record, stay=True)
    assert seen[-1] == "run.failed", "what is watched goes on"
    said = "warning: /dev/full is not whole: No space left on device; nothing more is recorded\n"
    assert capsys.readouterr().err == said


def test_ages_are_of_the_recordings_time(recorded: Path) -> None:
    now = 0.0
    events = ReplayedEvents(Recording(recorded), clock=lambda: now)
    events.replay.due(now)
    view = choose_view(replay=events)
    now = 0.5
    assert view.now() == 100.5  # type: ignore[attr-defined]


async def test_keys_pause_what_is_live_and_steer_what_is_played(recorded: Path) -> None:
    live = LiveView()
    live.event({**HEAD, **RUN[0]})
    live._pressed("p")
    live.event({**HEAD, **RUN[1]})
    assert live._still is not None
    assert list(live._still.view.rows) == []
    assert list(live._shown().view.rows) == ["client-0"]
    live._pressed("p")
    assert live._still is None
    now = 0.0
    events = ReplayedEvents(Recording(recorded), clock=lambda: now)
    played = LiveView(watches=True, replay=events)
    for key, speed in (("+", 2.0), ("-", 1.0), ("-", 0.5)):
        played._pressed(key)
        assert events.replay.speed == speed
    played._pressed(" ")
    assert events.replay.paused
    assert played._playing() == "speed 0.5"
    played._pressed(".")
    assert [event["type"] for event in events.replay.due(now)][-1] == "round.completed"

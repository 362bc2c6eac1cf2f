"""A recording in place of a monitor."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any

from nervenet.nodes.monitoring.recording import Recording
from nervenet.nodes.monitoring.replayed import ReplayedEvents
from nervenet.nodes.runtime.event_types import Malformed, NodeReady

HEAD = {"run": "r", "node": "peer-0", "role": "peer", "incarnation": 1, "seq": 1}


def recorded(folder: Path, *events: dict[str, Any]) -> Recording:
    file = folder / "recorded.jsonl"
    file.write_text("".join(f"{json.dumps({**HEAD, **event})}\n" for event in events))
    return Recording(file)


async def test_events_are_of_their_types_and_the_end_ends_it(tmp_path: Path) -> None:
    ready, odd = {"type": "node.ready", "time": 1.0}, {"type": "node.lost", "time": 20.0}
    async with ReplayedEvents(recorded(tmp_path, ready, odd), speed=math.inf) as events:
        found = [event async for event in events]
    assert isinstance(found[0], NodeReady)
    assert isinstance(found[1], Malformed), "as when it is received"
    assert found[2].type == "node.lost"


async def test_it_waits_until_an_event_is_due_or_something_is_changed(tmp_path: Path) -> None:
    now = 0.0
    recording = recorded(tmp_path, {"type": "node.ready", "time": 1.0}, {"type": "node.left", "time": 1001.0})
    async with asyncio.timeout(60), ReplayedEvents(recording, clock=lambda: now) as events:
        assert (await anext(events)).type == "node.ready"
        events.replay.pause(now)
        second = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not second.done()
        events.replay.set_speed(math.inf, now)
        events.replay.resume(now)
        events.changed()
        assert (await second).type == "node.left"
        assert events.unix_s() == 1001.0


async def test_an_event_without_what_every_event_has_is_played_too(tmp_path: Path) -> None:
    file = tmp_path / "recorded.jsonl"
    summed_up = {"type": "round.completed", "run": "r", "node": "a", "role": "peer", "incarnation": None, "time": 1.0}
    hostile = {"type": "node.ready", "run": [], "node": {}, "role": 7, "incarnation": -1, "seq": "x", "time": 10**30}
    file.write_text("".join(f"{json.dumps(line)}\n" for line in (summed_up, {"type": "x"}, hostile)))
    async with ReplayedEvents(Recording(file), speed=math.inf) as events:
        found = [event async for event in events if event.type != "malformed"]
    assert [(event.type, event.incarnation) for event in found] == [("round.completed", 0), ("x", 0), ("node.ready", 0)]

"""A recording is played to each browser from where and as fast as it asks."""

import json
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.monitoring.recording import Recording
from nervenet.nodes.web import replays as module
from nervenet.nodes.web.replays import BadReplay, Replays

Events = list[dict[str, Any]]


class Clock:
    """A second passes each time that it is asked."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 0.1
        return self.now


@pytest.fixture
def replays(tmp_path: Path, federated: Events, monkeypatch: pytest.MonkeyPatch) -> Replays:
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    file = tmp_path / "recorded.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in federated))
    found = Replays(Recording(file), Clock())
    assert found.measure() == 4.1
    return found


async def played(replays: Replays, **asked: str) -> list[dict[str, Any]]:
    """Return the data of each message, up to the end of the recording."""
    found: list[dict[str, Any]] = []
    messages = replays.play(**asked)
    try:
        async for message in messages:
            if message.startswith(b"event"):
                found.append(json.loads(message.split(b"data: ")[1]))
            if found and found[-1].get("replay", {}).get("ended"):
                return found
    finally:
        await messages.aclose()
    raise AssertionError


async def test_it_is_played_from_the_beginning_to_the_end(replays: Replays) -> None:
    found = await played(replays, speed="1")
    assert found[0]["outcome"]["round"] == 0
    assert [state["v"] for state in found] == list(range(found[0]["v"], found[0]["v"] + len(found)))
    assert found[-1]["replay"] == {"length_s": 4.1, "speed": 1.0, "ended": True, "at_s": 4.1}
    rows = [state["rounds"]["metric"] for state in found if "rounds" in state]
    assert rows[-1] == [0.9]
    assert 100 <= found[0]["now"] < found[-1]["now"] <= 105  # by the recording's clocks


async def test_what_was_before_is_there_at_once_and_faster_takes_fewer_messages(replays: Replays) -> None:
    from_later = await played(replays, speed="1", at="3.5")
    assert from_later[0]["replay"]["at_s"] >= 3.5
    assert from_later[0]["nodes"]["client-0"]["round"] == 1
    assert len(await played(replays, speed="40")) < len(await played(replays, speed="1"))


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"speed": "0"}, "speed is 0; expected a number above 0, up to 10000"),
        ({"speed": "nan"}, "speed is 'nan'; expected a number of at least 0"),
        ({"speed": "fast" * 99}, "speed is 'fastfastfastfastfast'"),
        ({"at": "-1"}, "at is '-1'; expected a number of at least 0"),
        ({"at": "inf"}, "at is 'inf'"),
    ],
)
def test_what_cannot_be_played_is_refused(replays: Replays, asked: dict[str, str], reason: str) -> None:
    with pytest.raises(BadReplay) as refused:
        replays.play(**asked)
    assert str(refused.value).startswith(reason)
    assert refused.value.status == 400


async def test_what_else_is_asked_changes_nothing(replays: Replays) -> None:
    assert (await played(replays, speed="40", self="x", another="y"))[-1]["replay"]["ended"]


@pytest.fixture
def folded(tmp_path: Path, gossip: Events, summed_up: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Replays:
    """A replay of a run folder, of which a round is summed up and older events were dropped."""
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    lines = [*gossip, summed_up, {"type": "events.dropped", "node": "peer-0", "bytes_sent_total": 7}]
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return Replays(Recording(tmp_path), Clock())


async def test_what_a_folder_sums_up_is_played_without_complaints(folded: Replays) -> None:
    states = await played(folded, speed="100")
    assert [state["malformed"] for state in states if "malformed" in state] == [0]
    assert [state["outcome"]["round"] for state in states if "outcome" in state][-1] == 2


async def test_without_what_every_event_has_there_would_be_complaints(
    folded: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "with_head", dict)
    states = await played(folded, speed="100")
    assert [state["malformed"] for state in states if "malformed" in state][-1] > 0


async def test_only_so_many_are_played_at_once(replays: Replays) -> None:
    going = [replays.play() for _ in range(module.MOST)]
    try:
        for messages in going:
            await anext(messages)
        with pytest.raises(BadReplay, match="8 replays") as refused:
            replays.play()
        assert refused.value.status == 503
    finally:
        for messages in going:
            await messages.aclose()
    await played(replays)

"""What a broker keeps for subscribers still to come."""

from __future__ import annotations

import dataclasses

import pytest
from nervenet.broker.codec import decode
from nervenet.broker.events import decode_event, encode_event
from nervenet.broker.last_values import LastValues, snapshot_frame
from nervenet.broker.limits import LIMITS
from nervenet.broker.messages import Snapshot


def put(last: LastValues, node: str, *, size: int = 10, **fields) -> None:
    event = {"type": "warning", "run": "r", "node": node, "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
    event |= {"reason": "x" * size, **fields}
    last.put(event, encode_event(event)[1])


def nodes(last: LastValues, prefix: str = "") -> list[list[str]]:
    found = [decode([snapshot_frame(7, events, final)])[0] for events, final in last.parts(prefix)]
    assert all(isinstance(part, Snapshot) and part.id == 7 for part in found)
    assert [part.last for part in found] == [False] * (len(found) - 1) + [True]
    return [[event["node"] for event in part.events] for part in found]


def test_the_last_of_each_kind_is_kept_in_parts_that_fit_a_message():
    last = LastValues()
    for node in "abc":
        put(last, node, size=60_000)
    for number in range(4):
        put(last, "d", size=60_000, subject=str(number))
    put(last, "b", seq=2, size=60_000)
    assert nodes(last, "warn") == [["a", "c", "d", "d"], ["d", "d", "b"]]
    assert nodes(last, "metric") == [[]]


@pytest.mark.parametrize("share", [3_000, 1 << 40])
def test_one_who_publishes_much_displaces_itself_and_nobody_else(monkeypatch, share):
    monkeypatch.setitem(LIMITS, "last_values_bytes", dataclasses.replace(LIMITS["last_values_bytes"], value=20_000))
    monkeypatch.setitem(LIMITS, "last_values_of_one", dataclasses.replace(LIMITS["last_values_of_one"], value=share))
    last = LastValues()
    put(last, "quiet")
    for number in range(100):
        put(last, "loud", subject=str(number))
    assert last.nbytes <= 20_000
    assert ("quiet" in nodes(last)[0]) is (share == 3_000)  # without a share it is gone


def test_as_encoded_they_take_what_is_counted_whatever_they_hold():
    last = LastValues()
    for number in range(20):
        put(last, "n", subject=str(number), many=list(range(100)) * 100)
    held = sum(len(body) for _, _, body in last._events.values())
    assert held < last.nbytes < held + 20 * 1_000
    assert all(type(body) is bytes for _, _, body in last._events.values())


def test_a_snapshot_of_encoded_events_is_that_of_the_events():
    event = {"type": "warning", "run": "r", "node": "n", "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
    frames = encode_event(event)
    assert decode([snapshot_frame(3, [frames[1][3:]] * 2, True)])[0] == Snapshot(3, (decode_event(frames),) * 2)

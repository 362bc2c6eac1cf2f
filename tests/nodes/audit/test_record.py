"""What is recorded of a message: the same at both ends, and nothing that a row could be read from."""

import json

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.broker.codec import decode, encode
from nervenet.nodes.audit.record import is_recorded, recorded
from nervenet.nodes.audit.show import COLUMNS, row

VECTOR = np.arange(5, dtype=np.float32)
PAYLOAD = m.Payload("a1b2", "float32", 5)
UPDATE = m.Update(3, 0, 25, {"loss": np.float64(0.5), "holdout_accuracy": 0.25}, {"columns": ["ward"]}, PAYLOAD)
TASK = m.Task(0, 1, "survey", 9.0, False, {"epochs": 1}, question={"ask": "fit", "part": "order"}, strategy="fedavg")


@pytest.mark.parametrize(("message", "vector"), [(UPDATE, VECTOR), (TASK, None)])
def test_sender_and_receiver_record_the_same(message: m.Message, vector: np.ndarray | None) -> None:
    there = decode([bytes(frame) for frame in encode(message, vector)])
    assert recorded(*there) == recorded(message, vector)


def test_statistics_are_recorded_by_their_hashes() -> None:
    found = recorded(UPDATE, VECTOR)
    assert found["examples"] == 25
    assert found["metrics"] == ["holdout_accuracy", "loss"]
    assert len(found["metrics_sha256"]) == len(found["fields_sha256"]) == len(found["sha256"]) == 64
    assert found["bytes"] == 20
    assert "ward" not in json.dumps(found)
    assert "0.25" not in json.dumps(found)


def test_a_question_is_recorded_by_what_it_asks() -> None:
    assert recorded(TASK, None)["question"] == "fit order"
    assert row({"n": 2, "kind": "received", "from": ["coordinator"], **recorded(TASK, None)})[4] == (
        "task survey fit order fedavg"
    )


def test_signs_of_life_are_not_recorded() -> None:
    assert not is_recorded(m.Heartbeat(1, "idle", ()))
    assert not is_recorded(m.Report("result", 1, {}))
    for message in (TASK, UPDATE, m.Declined(1, 0, "no"), m.Exchange(1, PAYLOAD), m.PeerSurvey("a", {}, PAYLOAD)):
        assert is_recorded(message), message


def test_each_record_has_a_row() -> None:
    opened = {"n": 1, "time": "2026-01-02T03:04:05.000000Z", "kind": "opened", "role": "client", "node": "north"}
    assert row(opened)[:4] == ("1", "2026-01-02 03:04:05", "opened", "client north")
    declined = {"n": 2, "kind": "sent", "to": ["a", "b", "c", "d"], **recorded(m.Declined(1, 0, "no"), None)}
    assert row(declined)[3] == "a, b, c and 1 more"
    assert row(declined)[-1] == "declined: no"
    assert len(row(declined)) == len(COLUMNS)

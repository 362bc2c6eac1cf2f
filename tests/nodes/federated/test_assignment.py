"""A client's task: its deadlines, and whether it can be done."""

from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.federated.assignment import PARTIAL, Assignment, misfit
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
SETTLED = ev.ModelReady({}, MODEL, "w0")


def task(**fields: Any) -> m.Task:
    given = {"work": "train", "deadline_s": 10.0, "evaluate": False, "settings": {"partial": True}, "payload": MODEL}
    return m.Task(**({"round": 3, "attempt": 1} | given | fields))


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({}, {("task", 3, 1): 12.0, ("partial", 3, 1): 2.0 + PARTIAL * 10.0}),
        ({"settings": {}}, {("task", 3, 1): 12.0}),
        ({"work": "evaluate"}, {("task", 3, 1): 12.0}),
    ],
)
def test_all_timers_that_are_set_are_canceled(fields: dict[str, Any], due: dict[Any, float]) -> None:
    assignment = Assignment(task(**fields), "w2")
    assert assignment.set_timers(2.0) == [e.SetTimer(key, at) for key, at in due.items()]
    assert assignment.cancel_timers() == [e.CancelTimer(key) for key in due]


@pytest.mark.parametrize(
    ("fields", "model", "flaw"),
    [
        ({}, SETTLED, None),
        ({}, None, "no agreement has reached this client"),
        ({"payload": None}, SETTLED, "layout must be a1b2, found no payload"),
        ({"payload": m.Payload(layout="c3", dtype="float32", length=5)}, SETTLED, "layout must be a1b2, found c3"),
    ],
)
def test_weights_must_be_of_the_model_agreed_on(
    fields: dict[str, Any], model: ev.ModelReady | None, flaw: str | None
) -> None:
    assert misfit(task(**fields), model) == flaw

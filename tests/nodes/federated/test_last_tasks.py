"""Who gets the final model where connections are cut as the run ends."""

from typing import Any

import pytest
from coordinator_by_hand import only
from nervenet.broker import messages as m
from nervenet.nodes.federated.run_state import RunState
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

CUT = "client-1"


def handed(effects: list[e.Effect]) -> list[str]:
    """Return to whom the final model is sent."""
    last = [s for s in only(e.Send, effects) if isinstance(s.message, m.Task) and s.message.work == "finish"]
    return [name for send in last for name in send.to]


def ending(coordinator: Any, *cut: str, now: float = 0.0) -> Any:
    """Return a coordinator at the end of its run, whose connections to some clients have just been cut."""
    harness = coordinator(rounds=1, evaluate_test=False).settle()
    for name in harness.names:
        harness.answer(name)
    for name in cut:
        harness.tell(ev.LinkLost(name, "the connection has closed"), now)
    harness.tell(ev.Folded(1, 0, "w1"), now)
    return harness


def comes_back(coordinator: Any) -> Any:
    harness = ending(coordinator, CUT)
    assert handed(harness.effects) == ["client-0", "client-2"]
    assert handed(harness.tell(ev.LinkUp(CUT, "client", 1), 1.0)) == [CUT]
    return harness


def test_one_whose_connection_was_cut_gets_the_final_model_when_it_is_back(coordinator: Any) -> None:
    harness = comes_back(coordinator)
    assert only(e.Finish, harness.effects) == [e.Finish("completed")]


def test_it_would_wait_for_a_coordinator_that_has_gone(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunState, "returned", lambda *_: [])
    with pytest.raises(AssertionError, match=CUT):
        comes_back(coordinator)


def test_the_end_waits_for_it_no_longer_than_a_silence_is_borne(coordinator: Any) -> None:
    harness = ending(coordinator, CUT)
    assert harness.finished() is None
    timing = harness.state.run.config.timing
    harness.until(timing.suspect_after_s + timing.heartbeat_s)
    assert harness.finished() == e.Finish("completed")
    [warning] = [each for each in harness.published("warning") if each.get("subject") == CUT]
    assert "has not been sent the final model" in warning["reason"]


def test_one_that_says_goodbye_meanwhile_is_not_waited_for(coordinator: Any) -> None:
    harness = ending(coordinator, CUT)
    harness.say(CUT, m.Goodbye(round=1, reason="interrupted"))
    assert harness.finished() == e.Finish("completed")


def test_nobody_waits_for_one_that_was_cut_off_long_before(coordinator: Any) -> None:
    harness = coordinator(rounds=1, evaluate_test=False).settle()
    harness.tell(ev.LinkLost(CUT, "the connection has closed"), 0.0)
    for name in ("client-0", "client-2"):
        harness.answer(name)
    harness.until(3.0, beating=["client-0", "client-2"])
    harness.tell(ev.Folded(1, 0, "w1"))
    assert harness.finished() == e.Finish("completed")


def suspected(coordinator: Any) -> Any:
    """Return a coordinator whose run ends while a client whose connection is up has been silent for a while."""
    harness = coordinator(rounds=1, evaluate_test=False).settle()
    for name in harness.names:
        harness.answer(name)
    harness.until(3.0, beating=["client-0", "client-2"])
    assert CUT in harness.state.run.registry.liveness.suspects
    assert CUT in handed(harness.tell(ev.Folded(1, 0, "w1")))
    assert harness.finished() == e.Finish("completed")


def test_who_was_only_silent_is_sent_it_with_the_others(coordinator: Any) -> None:
    suspected(coordinator)


def test_who_was_only_silent_would_never_hear_of_the_end(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.client_registry.ClientRegistry.connected", lambda r: r.living())
    with pytest.raises(AssertionError, match=CUT):
        suspected(coordinator)

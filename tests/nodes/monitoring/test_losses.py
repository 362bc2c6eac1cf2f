"""A lost node is back by a sign of life that is newer than its loss, and by nothing that only comes late."""

import itertools
from typing import Any

import pytest
from nervenet.nodes.monitoring.losses import MOST, Loss, Losses
from nervenet.nodes.monitoring.run_view import RunView

JOINED = {"type": "node.joined", "run": "r", "node": "west", "role": "client", "incarnation": 5, "time": 1.0}
READY = JOINED | {"type": "node.ready"}
TRAINED = READY | {"type": "metric.local", "time": 3.0, "round": 1, "loss": 0.5}
BY_HUB = {"run": "r", "node": "hub", "role": "coordinator", "incarnation": 1, "subject": "west"}
LOST = BY_HUB | {"type": "node.lost", "time": 4.0, "reason": "silent"}
AGAIN = BY_HUB | {"type": "node.ready", "time": 6.0, "reason": "heard again"}


def state(*events: dict[str, Any]) -> str:
    view = RunView()
    for event in events:
        view.update(event)
    return view.rows["west"].state


def check_that_it_stays_lost() -> None:
    for late in (TRAINED, READY, JOINED, TRAINED | {"type": "round.started"}, READY | {"type": "node.left"}):
        assert state(READY, LOST, late) == "lost", late["type"]
    for order in itertools.permutations((JOINED, READY, TRAINED, LOST)):  # as who attaches late may be told
        assert state(*order) == "lost"


def test_what_comes_late_of_a_lost_node_does_not_bring_it_back() -> None:
    check_that_it_stays_lost()


def test_without_looking_at_when_it_was_lost_it_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Losses, "outlived", lambda *_: True)
    with pytest.raises(AssertionError):
        check_that_it_stays_lost()


def test_what_comes_late_still_counts_for_the_figures() -> None:
    view = RunView()
    for event in (READY, LOST, TRAINED):
        view.update(event)
    row = view.rows["west"]
    assert (row.loss, row.round, row.seen, view.lost) == (0.5, 1, 3.0, ["west"])


def test_a_newer_sign_of_life_brings_it_back() -> None:
    assert state(READY, TRAINED, LOST, TRAINED | {"time": 5.0}) == "sent"
    assert state(READY, LOST, JOINED | {"time": 5.0}) == "ready"
    assert state(LOST, TRAINED | {"time": 5.0}) == "sent"  # of which nothing was heard before


def test_a_node_that_was_started_again_is_back_whatever_its_clock_says() -> None:
    again = READY | {"incarnation": 6, "time": 2.0}
    assert state(READY, LOST, again) == "ready"
    assert state(READY, LOST, again, LOST, TRAINED | {"incarnation": 6}) == "sent"


def test_who_said_that_it_was_lost_says_by_the_same_clock_that_it_is_back() -> None:
    assert state(READY, LOST, AGAIN) == "ready"
    assert state(READY, LOST, AGAIN, TRAINED) == "sent"  # its own clock is behind
    assert state(READY, LOST, AGAIN | {"time": 3.5}) == "lost"
    assert state(READY, AGAIN, LOST | {"time": 7.0}) == "lost"


def test_an_old_loss_that_comes_late_is_none_of_a_node_that_is_lost_no_more() -> None:
    later = LOST | {"time": 6.0}
    assert state(READY, later, TRAINED | {"time": 7.0}, LOST) == "sent"
    assert state(READY, later, LOST) == "lost"
    by_another = LOST | {"node": "east", "role": "client"}  # whose clock is behind
    assert state(READY, later, TRAINED | {"time": 7.0}, by_another) == "lost"


def test_the_result_of_a_lost_node_stays() -> None:
    result = BY_HUB | {"type": "node.result", "time": 9.0, "state": "lost"}
    assert state(READY, result, TRAINED | {"time": 10.0}) == "lost"
    assert state(result, READY) == "lost"


def test_nodes_that_are_made_up_take_no_memory() -> None:
    losses = Losses()
    for number in range(2 * MOST):
        assert losses.add(f"node-{number}", Loss("hub", 1.0, None), back=False)
    assert len(losses.known) == MOST

"""Round 0 of several questions while nodes die and come back, on virtual time."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from gossip_run import MODEL, Run, ScriptedWorker
from nervenet.broker.testing.faults import Faults
from nervenet.nodes.gossip.catching_up import CatchingUp
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

QUESTIONS = 5
ANSWER_S = 1.0


class Asked(ScriptedWorker):
    """Takes a second for each answer; what all are asked next only a peer knows that was there from the start."""

    def __call__(self, job: e.Effect) -> tuple[float, ev.Event | None]:
        match job:
            case e.Survey(question, step):
                self.run.asked.append((self.name, step, dict(question)))  # type: ignore[attr-defined]
                return ANSWER_S, ev.Surveyed({"of": self.name, "step": step}, (float(step),), step)
            case e.ApplyAgreement(surveys=surveys, agreement=None, step=step):
                assert surveys == {n: ({"of": n, "step": step}, (float(step),)) for n in self.run.names}
                if step + 1 < QUESTIONS:
                    return 0.01, ev.NextQuestion(step + 1, {"ask": step + 1})
                return 0.01, ev.ModelReady({"columns": ["x"]}, MODEL, self.x)
        return super().__call__(job)


class Meeting(Run):
    """Peers that have five questions to answer before they train."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.asked: list[tuple[str, int, dict[str, Any]]] = []
        super().__init__(*args, **kwargs)

    def _add(self, name: str, incarnation: int, state: Any) -> None:
        self.sim.add(name, state, Asked(name, self))

    def again(self, name: str, at: float) -> None:
        """Start a peer again, under its name, as the launcher does."""
        others = [other for other in self.names if other != name]

        def come() -> None:
            self.enter(name, self.alive(others), incarnation=2, late=True)
            for other in others:
                self.sim.at(self.sim.now, partial(self._meet, name, other, 2))

        self.sim.at(at, come)


def test_each_peer_answers_each_question_once_and_all_agree() -> None:
    run = Meeting(4, rounds=5).run()
    assert sorted(run.asked) == [
        (name, step, {"ask": step} if step else {}) for name in run.names for step in range(QUESTIONS)
    ]
    assert all(state.completed == 5 for state in run.states.values())


@pytest.mark.parametrize("topology", ["ring", "line", "complete", "one-peer-exponential"])
@pytest.mark.parametrize("at", [0.5, 1.5, 3.5])
def test_a_peer_that_is_started_again_in_round_0_goes_on_with_the_open_question(topology: str, at: float) -> None:
    run = Meeting(4, topology, rounds=5)
    run.crash("peer-1", at)
    run.again("peer-1", at + 1.7)
    run.run(100.0)
    assert {name: state.completed for name, state in run.states.items()} == dict.fromkeys(run.names, 5)
    second = [step for name, step, _ in run.asked if name == "peer-1"][int(at) + 1 :]
    assert second == list(range(int(at), QUESTIONS)), "from the one on that was open when it died"
    assert not [p for _, p in run.published("peer-1", "round.completed") if p["round"] == 0], "the others agreed"


def test_without_being_told_it_would_be_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CatchingUp, "tell", lambda self, peer: [])
    run = Meeting(4, rounds=5, join_deadline_s=10.0)
    run.crash("peer-1", 2.5)
    run.again("peer-1", 3.5)
    run.run(60.0)
    reasons = [run.sim.nodes[name].finished.reason for name in ("peer-0", "peer-2")]  # type: ignore[union-attr]
    assert all("no answer to its question 2 was heard of peer-1 within 10 s" in reason for reason in reasons)


def test_two_neighbors_on_a_line_that_are_started_again_both_go_on() -> None:
    """The one at the end is told by the other, who has been told itself."""
    run = Meeting(4, "line", rounds=8)
    for name in ("peer-2", "peer-3"):
        run.crash(name, 2.5)
        run.again(name, 4.0)
    run.run(100.0)
    assert {name: state.completed for name, state in run.states.items()} == dict.fromkeys(run.names, 8)


def test_a_peer_that_does_not_come_back_ends_the_run_by_its_name() -> None:
    run = Meeting(4, rounds=5, join_deadline_s=10.0)
    run.crash("peer-1", 2.5)
    run.run(60.0)
    for name in ("peer-0", "peer-2", "peer-3"):
        finished = run.sim.nodes[name].finished
        assert finished is not None
        assert "peer-1" in finished.reason


def test_a_node_that_comes_late_in_round_0_waits_for_its_end() -> None:
    run = Meeting(4, rounds=30, join_deadline_s=4.0)
    run.late("zoe", "peer-1", at=1.2)
    run.run(100.0)
    assert run.states["zoe"].completed == 30
    assert not [name for name, _, _ in run.asked if name == "zoe"]


@pytest.mark.parametrize("seed", range(5))
def test_lost_repeated_and_reordered_messages_change_nothing(seed: int) -> None:
    faults = Faults(seed=seed, delay_s=(0.001, 0.4), drop=0.2, duplicate=0.2, ordered=False)
    run = Meeting(5, rounds=3, faults=faults, join_deadline_s=60.0)
    run.run(200.0)
    assert all(state.settled is not None for state in run.states.values())
    assert len(run.asked) == 5 * QUESTIONS


def test_lost_messages_do_not_keep_a_peer_that_was_started_again_out() -> None:
    faults = Faults(seed=3, delay_s=(0.001, 0.05), drop=0.2, ordered=True)
    run = Meeting(4, rounds=3, faults=faults, join_deadline_s=60.0)
    run.crash("peer-1", 2.5)
    run.again("peer-1", 3.5)
    run.run(200.0)
    assert all(state.settled is not None for state in run.states.values())


def test_one_that_was_started_again_is_given_the_model_of_the_first_round_as_soon_as_there_is_one() -> None:
    run = Meeting(4, "line", rounds=8)
    run.crash("peer-1", 3.5)
    run.again("peer-1", 4.5)
    run.run(100.0)
    joined = [p for _, p in run.published("peer-1", "warning") if "joined late" in p["reason"]]
    assert [p["round"] for p in joined] == [1]

"""Round 0 of many peers on virtual time: how many messages it takes, and that it ends whatever befalls the tree."""

from __future__ import annotations

from typing import Any

import pytest
from gossip_run import MODEL, Run, ScriptedWorker
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.broker.testing.faults import Faults
from nervenet.nodes.gossip.survey_flood import SurveyFlood
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

HOP_S = 0.004
QUESTIONS = 2


class Asked(ScriptedWorker):
    """Answers two questions, and looks whether all peers have the same answers of all."""

    def __call__(self, job: e.Effect) -> tuple[float, ev.Event | None]:
        match job:
            case e.Survey(_, step):
                body = (float(step), float(self.name[-1]))
                return 0.001, ev.Surveyed({"of": self.name, "columns": ["x"]}, body, step)
            case e.ApplyAgreement(surveys=surveys, agreement=None, step=step):
                told = {n: ({"of": n, "columns": ["x"]}, (float(step), float(n[-1]))) for n in self.run.names}
                assert surveys == told, "each answer as it was given"
                if step + 1 < QUESTIONS:
                    return 0.001, ev.NextQuestion(step + 1, {"ask": step + 1})
                return 0.001, ev.ModelReady({"columns": ["x"]}, MODEL, self.x)
        return super().__call__(job)


class Many(Run):
    """Peers that meet by a tree, and have one round to do."""

    by_tree = True

    def __init__(self, n: int = 20, topology: str = "random-regular", faults: Any = None, **rules: Any) -> None:
        self.surveys = 0
        super().__init__(n, topology, 1, faults or Faults(delay_s=(HOP_S / 2, HOP_S)), **rules)

    def _add(self, name: str, incarnation: int, state: Any) -> None:
        self.sim.add(name, Counting(state, self), Asked(name, self))

    def settled(self) -> set[str]:
        return {name for name, state in self.states.items() if state.settled is not None}


class Counting:
    def __init__(self, machine: Any, run: Many) -> None:
        self.machine = machine
        self.run = run

    def handle(self, event: ev.Event, now: float) -> list[e.Effect]:
        effects: list[e.Effect] = self.machine.handle(event, now)
        for effect in effects:
            if isinstance(effect, e.Send) and isinstance(effect.message, m.PeerSurvey | m.PeerSurveys):
                self.run.surveys += len(effect.to)
        return effects


@pytest.mark.parametrize("topology", ["ring", "random-regular", "star", "complete", "one-peer-exponential"])
def test_many_meet_in_two_messages_a_peer_and_question(topology: str) -> None:
    run = Many(24, topology)
    while len(run.settled()) < 24 and run.sim.now < 20.0:
        run.sim.run(run.sim.now + 0.01)
    assert len(run.settled()) == 24
    assert run.surveys == QUESTIONS * 2 * 23


def test_one_by_one_it_would_take_many_times_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Many, "by_tree", False)
    run = Many(24)
    run.run(60.0)
    assert run.surveys > 24 * 24 * QUESTIONS


def check_a_peer_that_dies_after_its_answer_is_no_loss(topology: str, *, noticed: bool) -> None:
    """It has been asked once: the second question, which nobody answers in its place, ends the run by its name."""
    run = Many(20, topology, join_deadline_s=20.0)
    victim = "peer-14"
    heard = [state.lifecycle.flood for name, state in run.states.items() if name != victim]
    while not any(victim in flood.position.held[0] for flood in heard) and run.sim.now < 10.0:
        run.sim.run(run.sim.now + 0.005)
    run.crash(victim, run.sim.now, noticed=noticed)
    run.sim.run(19.0)
    others = set(run.names) - {victim}
    steps = {run.states[name].lifecycle.flood.step for name in others}
    assert steps == {1}, "all of them have the answers to the first question"


@pytest.mark.parametrize("topology", ["ring", "random-regular"])
@pytest.mark.parametrize("noticed", [True, False])
def test_a_peer_that_dies_after_its_answer_is_no_loss(topology: str, noticed: bool) -> None:
    check_a_peer_that_dies_after_its_answer_is_no_loss(topology, noticed=noticed)


def test_it_would_be_if_the_tree_were_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SurveyFlood, "spread", lambda self: [])
    monkeypatch.setattr(SurveyFlood, "_again", lambda self, peer: {})
    with pytest.raises(AssertionError, match="all of them"):
        check_a_peer_that_dies_after_its_answer_is_no_loss("ring", noticed=True)


@given(
    seed=st.integers(0, 10**6),
    topology=st.sampled_from(["ring", "random-regular", "star", "static-exponential", "one-peer-exponential"]),
    loss=st.sampled_from([0.0, 0.05, 0.3]),
    twice=st.sampled_from([0.0, 0.2]),
    cut=st.none() | st.integers(1, 11),
)
@settings(max_examples=8, deadline=None)
def test_all_meet_whatever_is_lost_or_doubled_or_cut_off_for_a_while(
    seed: int, topology: str, loss: float, twice: float, cut: int | None
) -> None:
    faults = Faults(seed=seed, delay_s=(0.001, 0.1), drop=loss, duplicate=twice)
    run = Many(12, topology, faults, join_deadline_s=60.0)
    if cut is not None:
        run.sim.stall(f"peer-{cut}", 0.05, 4.0)
    while run.settled() != set(run.names) and run.sim.now < 60.0:
        run.sim.run(run.sim.now + 0.5)
    assert run.settled() == set(run.names)


def test_a_liar_is_named_and_what_it_has_spoiled_comes_another_way() -> None:
    """It hands on what is no number; the others hear those answers from their other neighbors, but not its own."""
    run = Many(20, join_deadline_s=15.0)
    liar = "peer-1"
    deliver = run.sim._deliver

    def spoil(sender: str, receiver: str, message: Any, body: Any) -> None:
        if sender == liar and isinstance(message, m.PeerSurvey | m.PeerSurveys):
            target = run.sim.nodes[receiver]
            event = ev.Arrived(sender, message, body, "values must be finite, found NaN or infinity")
            run.sim.at(run.sim.now + HOP_S, lambda: run.sim._post(target, event))
            return
        deliver(sender, receiver, message, body)

    run.sim._deliver = spoil  # type: ignore[method-assign]
    run.sim.run(40.0)
    reasons = {run.sim.nodes[name].finished.reason for name in run.names if name != liar}  # type: ignore[union-attr]
    assert all(f"nothing was heard of {liar}" in reason or liar in reason for reason in reasons), reasons
    rejected = [f for name in run.names for _, f in run.published(name, "update.rejected")]
    assert {f["subject"] for f in rejected} == {liar}

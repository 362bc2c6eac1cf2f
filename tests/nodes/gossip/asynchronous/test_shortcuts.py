"""Links of the tree by which many peers without rounds meet: dialed at the start, and ended when nobody needs them."""

from __future__ import annotations

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.nodes.gossip.asynchronous.gossip_learning import GossipLearning, GossipLearningMachine
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.gossip.survey_flood import SurveyFlood
from nervenet.nodes.gossip.survey_tree import SpanningTree
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import every_neighbor, schedule

NAMES = tuple(f"p{i:02d}" for i in range(24))
NEAR = every_neighbor(schedule("ring", NAMES, seed=3))
TREE = SpanningTree.over(NEAR)
ABOVE = {"control": "tcp://127.0.0.1:7"}


def peer(name: str) -> GossipLearningMachine:
    assert TREE is not None
    shortcuts = dict.fromkeys(TREE.shortcuts(name, NEAR[name]), ABOVE)
    return GossipLearningMachine(
        PeerRules(name, NAMES, tree=TREE, neighbors=NEAR[name], shortcuts=shortcuts), GossipLearning()
    )


def met(machine: GossipLearningMachine) -> list[e.Effect]:
    """Begin, and let round 0 end."""
    effects = machine.handle(ev.Started(), 0.0)
    return effects + machine.handle(ev.ModelReady({"columns": ["x"]}, m.Payload("l", "float32", 1), np.zeros(1)), 1.0)


def test_who_is_below_another_dials_it_and_hangs_up_when_round_0_is_over_everywhere() -> None:
    machine = peer("p05")
    effects = met(machine)
    assert [each for each in effects if isinstance(each, e.Link)] == [e.Link("p03", ABOVE)]
    (due,) = [each for each in effects if isinstance(each, e.SetTimer) and each.key == ("hang up",)]
    assert due.at == 1.0 + machine.rules.timing.join_deadline_s
    assert machine.handle(ev.TimerFired(due.key, due.at), due.at) == [e.Unlink("p03")]
    assert not [each for each in met(peer("p04")) if isinstance(each, e.Link) or each == due]


def told(machine: GossipLearningMachine, effects: list[e.Effect]) -> set[str]:
    return {peer for each in effects if isinstance(each, e.Send) for peer in each.to}


def test_one_that_fails_in_round_0_tells_those_that_are_linked_by_the_tree() -> None:
    machine = peer("p06")
    machine.handle(ev.Started(), 0.0)
    for name in ("p05", "p07", "p08", "p00"):
        machine.handle(ev.LinkUp(name, "peer", 1), 0.1)
    assert told(machine, machine.lifecycle.fail("no rows")) == {"p05", "p07", "p08", "p00"}


def sent_again(machine: GossipLearningMachine) -> set[str]:
    """To whom an answer goes again that could not be sent, before the tree is taken for cut."""
    machine.handle(ev.Started(), 0.0)
    machine.handle(ev.LinkUp("p08", "peer", 1), 0.1)
    machine.handle(ev.Surveyed({}, (1.0,)), 0.2)
    machine.lifecycle.flood.add("p07", {}, (1.0,), "p07")
    machine.handle(ev.SendFailed("p08", "peer_surveys", 0, "no connection"), 0.3)
    return told(machine, machine.lifecycle.remind(()))


def test_what_could_not_be_sent_by_the_tree_is_sent_again() -> None:
    assert sent_again(peer("p06")) == {"p08"}


def test_else_it_would_wait_until_the_tree_is_taken_for_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SurveyFlood, "unsent", lambda *_: None)
    assert sent_again(peer("p06")) == set()

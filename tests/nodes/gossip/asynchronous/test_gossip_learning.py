"""Gossip learning's decisions: send once a period, make a model of what comes, latest wins."""

from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.experiment.loader import checked_experiment
from nervenet.nodes.gossip.algorithms.registry import build_algorithm
from nervenet.nodes.gossip.asynchronous.gossip_learning import GossipLearning, GossipLearningMachine
from nervenet.nodes.gossip.asynchronous.model_merge import WHOLE, Part
from nervenet.nodes.gossip.rules import PeerRules
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

T = TypeVar("T")
MODEL = m.Payload("a1b2", "float64", 6)


def only(kind: type[T], effects: Iterable[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


class Driver:
    """Peer b with neighbors a and c, settled, waiting for a model."""

    def __init__(self, until: int = 10, **walk: Any) -> None:
        self.peer = GossipLearningMachine(
            PeerRules("b", ("a", "b", "c"), neighbors=("a", "c"), settings={"epochs": 1}), GossipLearning(**walk)
        )
        self.now = 0.0
        self.tell(ev.Started())
        for name in ("a", "c"):
            self.tell(ev.LinkUp(name, "peer", 1))
        self.tell(ev.Proceed(until))
        self.begun = self.tell(ev.ModelReady({}, MODEL, "x0", None, (4, 2)))

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        return self.peer.handle(event, self.now)

    def walk(
        self, sender: str, age: int, body: str = "", part: int = 0, draw: int = 0, length: int = 6
    ) -> list[e.Effect]:
        payload = m.Payload("a1b2", "float64", length)
        return self.tell(ev.Arrived(sender, m.Walk(age, part, draw, payload), body or f"{sender}{age}", None, 48))

    def combined(self, effects: list[e.Effect], body: str = "merged") -> list[e.Effect]:
        (merge,) = only(e.Merge, effects)
        return self.tell(ev.Combined(merge.number, body))

    def trained(self, effects: list[e.Effect], body: str, steps: int = 1) -> list[e.Effect]:
        (train,) = only(e.Train, effects)
        return self.tell(ev.Trained(train.round, 0, body, 1, {"loss": 0.5, "steps": steps}))

    def period(self) -> list[e.Effect]:
        return self.tell(ev.TimerFired(("period",), self.now))


def test_nothing_is_trained_before_a_model_comes() -> None:
    driver = Driver()
    assert only(e.Train, driver.begun) == []
    (timer,) = [t for t in only(e.SetTimer, driver.begun) if t.key == ("period",)]
    assert 0 <= timer.at < 0.1


def test_a_model_that_comes_is_merged_by_age_and_then_updated_with_its_clock() -> None:
    driver = Driver()
    effects = driver.walk("a", 3)
    (merge,) = only(e.Merge, effects)
    assert (merge.mine, merge.theirs, merge.shares, merge.part) == ("x0", "a3", (0.0, 1.0), WHOLE)
    effects = driver.combined(effects)
    (train,) = only(e.Train, effects)
    assert (train.body, train.settings, train.clock) == ("merged", {"epochs": 1}, 3.0)
    effects = driver.trained(effects, "x1", steps=4)
    assert (driver.peer.model.body, driver.peer.model.ages, driver.peer.completed) == ("x1", (7,), 1)
    (told,) = [p.fields for p in only(e.Publish, effects) if p.type == "round.completed"]
    assert (told["participants"], told["loss"]) == (["a"], 0.5)
    (merge,) = only(e.Merge, driver.walk("c", 21))
    assert merge.shares == (0.25, 0.75)


def test_a_random_walk_is_updated_and_nothing_else() -> None:
    driver = Driver(variant="rw")
    effects = driver.walk("a", 3)
    assert only(e.Merge, effects) == []
    driver.trained(effects, "a4")
    assert (driver.peer.model.body, driver.peer.model.ages) == ("a4", (4,))


def test_update_merge_updates_both_and_merges_them() -> None:
    driver = Driver(variant="um", merge="mean", against="last")
    effects = driver.trained(driver.walk("a", 3), "a4")
    (train,) = only(e.Train, effects)
    assert (train.body, train.clock) == ("x0", 0.0)
    effects = driver.trained(effects, "x1")
    (merge,) = only(e.Merge, effects)
    assert (merge.mine, merge.theirs, merge.shares) == ("x1", "a4", (0.5, 0.5))
    driver.combined(effects, "both")
    assert (driver.peer.model.body, driver.peer.model.ages) == ("both", (4,))
    effects = driver.trained(driver.walk("c", 9), "c10")
    assert only(e.Train, effects)[0].body == "a3", "the model that came before, as it came"


def test_the_latest_of_each_neighbor_waits_for_the_training_and_the_rest_is_dropped() -> None:
    driver = Driver(variant="rw", queue=1)
    effects = driver.walk("a", 1)
    for age in (2, 3):
        assert only(e.Train, driver.walk("a", age)) == []
    assert driver.peer.stats.dropped == {"a": 1}
    driver.walk("c", 9)
    assert driver.peer.stats.dropped.total() == 2, "there is room for one only"
    (train,) = only(e.Train, driver.trained(effects, "a2"))
    assert train.body == "c9"


def test_once_a_period_the_model_is_sent_to_a_living_neighbor() -> None:
    driver = Driver()
    targets = set()
    for _ in range(20):
        (send,) = [s for s in only(e.Send, driver.period()) if isinstance(s.message, m.Walk)]
        assert (send.message, send.body) == (m.Walk(0, 0, 0, MODEL), "x0")
        targets |= set(send.to)
    assert targets == {"a", "c"}
    driver.tell(ev.LinkLost("a", "gone"))
    for _ in range(20):
        (send,) = only(e.Send, driver.period())
        assert send.to == ("c",)


def test_tokens_are_saved_and_spent_on_answers() -> None:
    driver = Driver(variant="rw", tokens="simple", capacity=2)
    assert [len(only(e.Send, driver.period())) for _ in range(3)] == [0, 0, 1]
    effects = driver.trained(driver.walk("a", 3), "a4")
    assert len(only(e.Send, effects)) == 1
    assert driver.peer.token_account.balance == 1


def test_a_part_is_copied_out_and_merged_into_its_place_with_its_own_age() -> None:
    driver = Driver(layers=True)
    effects = driver.walk("a", 5, part=1, length=2)
    (merge,) = only(e.Merge, effects)
    assert merge.part == Part(1, (4, 6, 1))
    driver.trained(driver.combined(effects), "x1")
    assert driver.peer.model.ages == (1, 6)
    (take,) = only(e.CopyPart, driver.period())
    (send,) = only(e.Send, driver.tell(ev.Combined(take.number, "copied")))
    assert send.body == "copied"
    part = take.part.number
    assert send.message == m.Walk((1, 6)[part], part, 0, m.Payload("a1b2", "float64", (4, 2)[part]))


def test_a_sample_travels_as_the_seed_of_its_elements() -> None:
    driver = Driver(share=0.5)
    (take,) = only(e.CopyPart, driver.period())
    (send,) = only(e.Send, driver.tell(ev.Combined(take.number, "copied")))
    assert send.message.payload.length == 3
    assert take.part.sample == (send.message.draw, 3, 6)
    (merge,) = only(e.Merge, driver.walk("a", 4, draw=77, length=3))
    assert merge.part.sample == (77, 3, 6)


@pytest.mark.parametrize(("part", "draw", "length"), [(2, 0, 2), (0, 5, 4), (1, 0, 3)])
def test_a_part_that_cannot_be_is_refused(part: int, draw: int, length: int) -> None:
    driver = Driver(layers=True)
    effects = driver.walk("a", 5, part=part, draw=draw, length=length)
    (send,) = only(e.Send, effects)
    assert (send.message.about, send.message.code) == ("walk", "length")
    assert only(e.Merge, effects) == []


def test_a_peer_to_which_nothing_comes_trains_by_itself() -> None:
    driver = Driver()
    effects = driver.tell(ev.TimerFired(("idle",), 30.0), 30.0)
    driver.trained(effects, "x1")
    assert driver.peer.completed == 1


def test_who_is_done_learns_no_more_and_still_feeds_the_others() -> None:
    driver = Driver(until=1, variant="rw")
    driver.trained(driver.walk("a", 3), "a4")
    assert driver.peer.status == "resting"
    assert only(e.Train, driver.walk("c", 5)) == []
    assert [s.body for s in only(e.Send, driver.period())] == ["a4"]


@pytest.mark.parametrize(
    ("gossip", "told"),
    [
        ({"algorithm": "gossip-learning", "variant": "mv"}, "gossip.variant = 'mv': expected one of rw, mu, um"),
        ({"algorithm": "gossip-learning", "parts": 0}, "gossip.parts = 0: expected a whole number >= 1"),
        ({"algorithm": "gossip-learning", "parts": 2, "layers": True}, "parts and layers: a message holds one kind"),
        (
            {"algorithm": "gossip-learning", "share": 0.5, "variant": "rw"},
            "share: a part of a model can only be merged",
        ),
        ({"algorithm": "gossip-learning", "capacity": 3}, "reactivity 10, capacity 3"),
        ({"algorithm": "ad-psgd", "max_staleness": 1.5}, "gossip.max_staleness = 1.5: expected a whole number"),
        ({"algorithm": "ad-psgd", "patience_s": 0}, "gossip.patience_s = 0: expected a number > 0"),
        ({"algorithm": "ad-psgd", "tokens": "simple"}, "gossip.tokens"),
    ],
)
def test_arguments_that_cannot_be_are_mistakes_of_the_experiment(gossip: dict[str, Any], told: str) -> None:
    if gossip.get("capacity"):
        gossip = {**gossip, "tokens": "generalized"}
    with pytest.raises(ExperimentError, match=told):
        checked_experiment({"mode": "gossip", "gossip": gossip})


def test_arguments_survive_the_experiment_file() -> None:
    wanted = {"mode": "gossip", "gossip": {"algorithm": "gossip-learning", "tokens": "randomized", "parts": 4}}
    experiment = checked_experiment(wanted)
    assert experiment.gossip.arguments == {"tokens": "randomized", "parts": 4}
    assert checked_experiment(experiment.to_dict()) == experiment
    with pytest.raises(ExperimentError, match=r"gossip.algorithm = 'walk': expected one of dpsgd, .*, gossip-learning"):
        build_algorithm("walk", {})
    with pytest.raises(ExperimentError, match=r"gossip.tokens: there is no such key; ad-psgd has max_staleness"):
        build_algorithm("ad-psgd", {"tokens": "simple"})

"""Of which rounds peers keep states, and after which of them they all go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.nodes.gossip.checkpointing import (
    MOST_HELD,
    CheckpointPolicy,
    NoCommonCheckpoint,
    common_round,
    pause_s,
    rounds_held,
)
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import schedule
from static_membership import static_peer

MODEL = m.Payload("a1b2", "float32", 5)
SURVEY = m.Payload("survey", "float64", 1)


def only(kind: type, effects: list[e.Effect]) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


# -------------------------------------------------------------------------------------------------------- which rounds


class Disk:
    """What one peer has written, on a disk that takes its time."""

    def __init__(self, write_s: Callable[[], float], fail: int | None = None) -> None:
        self.keeping = CheckpointPolicy(wanted=True)
        self.write_s = write_s
        self.fail = fail
        self.there: set[int] = set()
        self.due: list[tuple[float, e.SaveState]] = []
        self.now = 0.0

    def round(self, number: int, now: float) -> None:
        self.now = now = max(now, self.now)
        while self.due and self.due[0][0] <= now:
            at, keep = self.due.pop(0)
            if keep.round == self.fail:
                self.keeping.failed(keep.round, at, "disk full")
            else:
                self.there = self.there.difference(keep.forget) | {keep.round}
                self.keeping.saved(keep.round, at)
        for keep in only(e.SaveState, self.keeping.completed(number, now, {}, last=False)):
            began = max([now, *(at for at, _ in self.due)])
            self.due.append((began + self.write_s(), keep))
            assert len(self.due) <= 2
        assert sorted(self.there) == self.keeping.held
        assert len(self.there) <= 14, "a bounded number"


def after(rounds: int, pace_s: float, write_s: float, fail: int | None = None) -> CheckpointPolicy:
    """Do so many rounds of a length."""
    disk = Disk(lambda: write_s, fail)
    for number in range(1, rounds + 1):
        disk.round(number, number * pace_s)
    return disk.keeping


@settings(max_examples=25)
@given(
    pace_s=st.sampled_from([0.001, 0.004, 0.03, 0.3, 2.0]),
    write_s=st.lists(st.sampled_from([0.0005, 0.003, 0.01, 0.03]), min_size=4, max_size=4),
    seed=st.integers(0, 10_000),
)
def test_whenever_all_are_killed_there_is_a_recent_round_that_all_have(
    pace_s: float, write_s: list[float], seed: int
) -> None:
    draws = np.random.default_rng(seed)
    disks = [Disk(lambda usual=usual: usual * draws.choice([1, 1, 1, 2, 5])) for usual in write_s]
    now = 0.0
    for number in range(1, 800):
        now += pace_s * (0.5 + 0.5 * draws.exponential())
        for disk in disks:
            disk.round(number, now + 0.3 * pace_s * draws.random())
        if all(disk.there for disk in disks):
            common = common_round({str(place): disk.there for place, disk in enumerate(disks)})
            slowest = max(disk.keeping.stride for disk in disks)
            # The newest may still be written by one, or the one before have been left out by another.
            assert common >= number - max(8 * slowest, 8, 4.0 / pace_s)


def test_long_rounds_are_all_kept_and_short_ones_about_once_a_second() -> None:
    assert after(40, 5.0, 0.1).held[-3:] == [37, 38, 39]
    assert after(2000, 0.001, 0.01).stride == 512


def test_a_slow_disk_is_written_to_a_tenth_of_the_time() -> None:
    assert after(100, 1.0, 0.7).stride == 8


@pytest.mark.parametrize(("peers", "stride"), [(1, 1), (16, 1), (64, 4), (256, 16)])
def test_many_peers_of_one_process_write_as_much_less_often_each(peers: int, stride: int) -> None:
    keeping = CheckpointPolicy(wanted=True, every_s=pause_s(peers))
    for number in range(1, 200):
        for save in only(e.SaveState, keeping.completed(number, 0.5 * number, {}, last=False)):
            keeping.saved(save.round, 0.5 * number)
    assert keeping.stride == stride


def test_what_could_not_be_written_is_reported_once_and_the_older_stay() -> None:
    keeping = after(20, 5.0, 0.1, fail=19)
    assert keeping.held[-2:] == [17, 18]
    keeping = CheckpointPolicy(wanted=True)
    keeping.completed(1, 0.0, {}, last=False)
    assert "disk full; should all" in only(e.Publish, keeping.failed(1, 0.1, "disk full"))[0].fields["reason"]
    keeping.completed(2, 5.0, {}, last=False)
    assert keeping.failed(2, 5.1, "disk full") == []


def test_the_last_round_is_kept_whatever_the_pace_and_while_another_is_written() -> None:
    keeping = after(1001, 0.001, 0.01)
    keeping.completed(1024, 2.0, {}, last=False)
    (keep,) = only(e.SaveState, keeping.completed(1025, 2.0, {"a": 1}, last=True))
    assert (keep.round, keep.record, keep.last) == (1025, {"agreement": {"a": 1}}, True)
    keeping.saved(1024, 2.1)
    keeping.saved(1025, 2.1)
    assert keeping.held[-2:] == [1024, 1025]


def test_without_a_folder_nothing_is_asked_for() -> None:
    assert CheckpointPolicy(wanted=False).completed(1, 0.0, {}, last=True) == []


def test_one_that_goes_back_holds_nothing_of_what_it_did_alone() -> None:
    policy = CheckpointPolicy(wanted=True)
    for number in (1, 2, 4, 8):
        assert only(e.SaveState, policy.completed(number, float(number), {}, last=False))
        if number < 8:
            policy.saved(number, number + 0.1)
    policy.resumed(2)
    policy.saved(8, 8.1)  # what was being written then
    assert policy.held == [1, 2]
    (keep,) = only(e.SaveState, policy.completed(4, 9.0, {}, last=True))
    assert set(keep.forget) == {8}, "and this one is written over"
    policy.saved(4, 9.1)
    assert policy.held == [1, 2, 4]


def test_what_was_kept_of_a_future_that_is_run_anew_goes() -> None:
    keeping = CheckpointPolicy(wanted=True, held=(8, 6, 4))
    assert keeping.fields == {"rounds": [4, 6, 8]}
    keeping.resumed(4)
    (keep,) = only(e.SaveState, keeping.completed(5, 0.0, {}, last=False))
    assert set(keep.forget) == {6, 8}
    keeping.saved(5, 0.1)
    assert keeping.held == [4, 5]


# -------------------------------------------------------------------------------------------------------- which of them


@given(st.dictionaries(st.sampled_from("abcd"), st.frozensets(st.integers(1, 9), max_size=6), min_size=1))
def test_all_go_on_after_the_newest_round_that_all_hold(held: dict[str, frozenset[int]]) -> None:
    if any(held.values()) and not set.intersection(*map(set, held.values())):
        with pytest.raises(NoCommonCheckpoint):
            common_round(held)
        return
    found = common_round(held)
    if not found:
        assert not any(held.values())
        return
    assert all(found in rounds for rounds in held.values())
    assert not any(n > found and all(n in rounds for rounds in held.values()) for n in range(1, 10))


def test_where_there_is_none_the_error_says_what_each_has() -> None:
    with pytest.raises(
        NoCommonCheckpoint, match="no round that every peer could go on from: a has 4, 8; b has 6; c has none"
    ):
        common_round({"a": [8, 4], "b": [6], "c": []})


@pytest.mark.parametrize("rounds", [3, "12", [0], [1.5], [True], list(range(1, MOST_HELD + 2)), [[1]]])
def test_what_is_no_list_of_rounds_is_named(rounds: object) -> None:
    with pytest.raises(NoCommonCheckpoint, match="the rounds that x holds must be"):
        rounds_held("x", {"rounds": rounds})


# --------------------------------------------------------------------------------------------------------- the exchange


class Driver:
    """Peer b of a ring of three, with states of a previous incarnation."""

    def __init__(self, held: tuple[int, ...] = (), others: tuple[int, ...] | None = None, until: int = 20) -> None:
        self.state = static_peer("b", "abc", schedule("ring", "abc"), keeps=True, held=held)
        self.now = 0.0
        self.log: list[e.Effect] = []
        self.tell(ev.Started())
        if until:
            self.tell(ev.Proceed(until))
        for peer in "ac":
            self.tell(ev.LinkUp(peer, "peer", 1))
        self.tell(ev.Surveyed({"of": "b"}, ("b",)))
        for peer in "ac":
            theirs = held if others is None else others
            fields: dict[str, Any] = {"of": peer} | ({"rounds": list(theirs)} if theirs else {})
            self.tell(ev.Arrived(peer, m.PeerSurvey(peer, fields, SURVEY), (peer,)))

    def tell(self, event: ev.Event) -> list[e.Effect]:
        effects = self.state.handle(event, self.now)
        self.log += effects
        return effects

    def round(self) -> list[e.Effect]:
        number = self.state.round
        for peer in "ac":
            self.tell(ev.Arrived(peer, m.Exchange(number, MODEL), f"{peer}{number}", None, 100))
        self.tell(ev.Trained(number, 0, f"b{number}", 10, {}))
        return self.tell(ev.Mixed(number, f"m{number}"))

    def published(self, kind: str) -> list[Any]:
        return [
            effect.fields.get("round") for effect in self.log if isinstance(effect, e.Publish) and effect.type == kind
        ]


def test_the_rounds_held_go_with_the_survey_and_not_into_the_agreement() -> None:
    driver = Driver((6, 8), (4, 6))
    own = [
        s.message for s in only(e.Send, driver.log) if isinstance(s.message, m.PeerSurvey) and s.message.origin == "b"
    ]
    assert own[0].fields == {"of": "b", "rounds": [6, 8]}
    (settle,) = only(e.ApplyAgreement, driver.log)
    assert settle.round == 6
    assert settle.surveys == {name: ({"of": name}, (name,)) for name in "abc"}


def test_rounds_go_on_after_it_with_what_came_early() -> None:
    driver = Driver((6, 8), (4, 6))
    driver.tell(ev.Arrived("a", m.Exchange(7, MODEL), "a7", None, 100))
    (train,) = only(e.Train, driver.tell(ev.ModelReady({}, MODEL, "w6", round=6)))
    assert train.round == 7
    assert (driver.state.resumed, driver.state.completed, driver.state.weights) == (6, 6, "w6")
    driver.tell(ev.Arrived("c", m.Exchange(7, MODEL), "c7", None, 100))
    assert set(only(e.Mix, driver.tell(ev.Trained(7, 0, "b7", 10, {})))[0].bodies) == {"a7", "b7", "c7"}
    driver.tell(ev.Mixed(7, "m7"))
    assert driver.published("round.started") == [7, 8]
    assert driver.published("round.completed") == [7]


def test_a_new_run_begins_with_round_0_and_keeps_its_agreement() -> None:
    driver = Driver()
    assert only(e.ApplyAgreement, driver.log)[0].round == 0
    driver.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))
    (keep,) = only(e.SaveState, driver.round())
    assert keep == e.SaveState(1, {"agreement": {"columns": ["x"]}}, (), False)
    assert driver.published("round.completed") == [0, 1]
    assert driver.state.resumed is None


@pytest.mark.parametrize("others", [(), (3, 5)])
def test_peers_with_no_round_in_common_fail_by_name(others: tuple[int, ...]) -> None:
    driver = Driver((6, 8), others)
    (finish,) = only(e.Finish, driver.log)
    assert finish.status == "failed"
    assert "b has 6, 8; c has " in finish.reason
    assert only(e.ApplyAgreement, driver.log) == []


def test_a_run_that_was_all_but_over_is_evaluated_and_completed() -> None:
    for until in (8, 0):  # told before and after round 0 how many there are
        driver = Driver((8,), until=until)
        effects = driver.tell(ev.ModelReady({}, MODEL, "w8", round=8))
        if not until:
            assert only(e.Evaluate, effects) == []
            effects = driver.tell(ev.Proceed(8))
        assert only(e.Train, effects) == []
        assert only(e.Evaluate, effects) == [e.Evaluate(8, "test")]
        assert only(e.Completed, driver.tell(ev.Evaluated(8, "test", {"accuracy": 0.5}))) == [
            e.Completed(8, {}, {"test": {"accuracy": 0.5}})
        ]
        (train,) = only(e.Train, driver.tell(ev.Proceed(9)))
        assert train.round == 9


def test_a_disk_that_is_full_ends_no_run() -> None:
    driver = Driver()
    driver.tell(ev.ModelReady({}, MODEL, "w0"))
    driver.round()
    (warning,) = only(e.Publish, driver.tell(ev.WorkFailed("save state", 1, 0, "disk full")))
    assert warning.type == "warning"
    driver.now = 5.0
    assert only(e.SaveState, driver.round())[0].round == 2

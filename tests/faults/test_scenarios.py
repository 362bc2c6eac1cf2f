"""Single misfortunes, each with what it must lead to and within which time."""

from typing import Any

import pytest
from gossip_run import Run
from nervenet.broker.testing.faults import Faults, Partition
from nervenet.nodes.gossip.waiting import WaitPolicy
from nervenet.nodes.runtime import effects as e
from vocabulary import Kill, Stop

CRASH_S = 2.3  # in the middle of a training
WITHIN_S = 3.0


@pytest.mark.parametrize("noticed", [True, False])
def test_a_round_closes_with_the_others_within_three_seconds_of_a_crash(
    federation: Any, trouble: Any, noticed: bool
) -> None:
    run = federation(8, rounds=6, trouble=trouble(faults=[Kill("client-5", CRASH_S, noticed)])).run()
    (hit,) = [reported for reported in run.published("coordinator", "round.completed") if "missing" in reported]
    assert hit["missing"].keys() == {"client-5"}
    assert run.when("coordinator", "round.completed", round=hit["round"]) <= CRASH_S + WITHIN_S
    assert run.when("coordinator", "node.suspect", subject="client-5") <= CRASH_S + WITHIN_S
    assert run.state.run.completed == 6


@pytest.mark.parametrize("noticed", [True, False])
def test_neighbors_of_a_crashed_peer_go_on_within_three_seconds(gossip: Any, trouble: Any, noticed: bool) -> None:
    run = gossip(8, rounds=12, trouble=trouble(faults=[Kill("peer-3", CRASH_S, noticed)])).run()
    for name in ("peer-2", "peer-4"):
        hit = [reported for reported in run.published(name, "round.completed") if "missing" in reported]
        assert run.when(name, "round.completed", round=hit[0]["round"]) <= CRASH_S + WITHIN_S
        assert {peer for reported in hit for peer in reported["missing"]} == {"peer-3"}
    assert all("missing" not in reported for reported in run.published("peer-7", "round.completed"))


def test_a_hanging_training_is_ended_by_the_deadline_and_named(federation: Any, trouble: Any) -> None:
    run = federation(4, rounds=4, deadline_s=5.0, trouble=trouble(hangs=[("client-2", 2)])).run()
    reported = {reported["round"]: reported for reported in run.published("coordinator", "round.completed")}
    assert reported[2]["closed_by"] == "deadline"
    assert reported[2]["duration_s"] == pytest.approx(5.0, abs=0.05)
    assert reported[2]["missing"]["client-2"].startswith("no answer within 5 s (last heard: train for ")
    # It beats, so it goes on being asked, and says each time why it cannot: nobody waits for another deadline.
    assert reported[3]["missing"]["client-2"].startswith("declined: still busy with train of round 2")
    assert reported[3]["duration_s"] < 1.0
    assert run.sim.nodes["coordinator"].finished == e.Finish("completed")


def test_a_peer_whose_training_hangs_is_waited_for_once(gossip: Any, trouble: Any) -> None:
    run = gossip(4, rounds=6, deadline_s=10.0, suspect_after_s=1e6, trouble=trouble(hangs=[("peer-2", 2)])).run()
    closed = [reported["closed_by"] for reported in run.published("peer-1", "round.completed")]
    assert closed == ["all", "all", "deadline", *["suspected"] * 4]
    ended = run.sim.nodes["peer-2"].finished
    assert ended == e.Finish("failed", "the training of round 2 did not end within 100 s")


def test_all_hanging_ends_the_run_after_three_failures_with_every_name(federation: Any, trouble: Any) -> None:
    run = federation(3, deadline_s=5.0, trouble=trouble(hangs=[(f"client-{i}", 1) for i in range(3)])).run()
    ended = run.sim.nodes["coordinator"].finished
    assert ended.status == "failed"
    assert "failed 3 times in a row" in ended.reason
    assert all(f"client-{i}: " in ended.reason for i in range(3))
    for name in run.names:
        reported = run.sim.nodes[name].finished
        assert reported.status == "failed"
        assert ended.reason in reported.reason, "each client learns why"


def test_a_slow_client_disturbs_nobody_and_is_asked_again(federation: Any, trouble: Any) -> None:
    run = federation(4, rounds=5, quorum=0.75, trouble=trouble(train_s={"client-3": 0.9})).run()
    refused = run.published("coordinator", "update.rejected")
    assert not refused, "it abandons what is over instead of sending it"
    assert all("client-3" in asked for asked in run.asked.values())
    # As slow as that, and unable to stop: its answer comes when the round is over.
    late = federation(4, rounds=1, quorum=0.75, evaluate_test=True, trouble=trouble(train_s={"client-3": 0.505})).run()
    assert not late.published("coordinator", "update.rejected"), "the round has named it when it closed"
    assert not late.published("client-3", "warning")
    assert late.published("coordinator", "round.completed")[-1]["missing"] == {
        "client-3": "no answer when the round closed by quorum"
    }


def test_a_late_joiner_is_asked_from_the_next_round_on(federation: Any) -> None:
    run = federation(3, rounds=6, late={"zoe": 1.0}).run()
    joined = [number for (number, _), asked in run.asked.items() if "zoe" in asked]
    assert joined == [3, 4, 5, 6], "it came in round 2"
    assert run.sim.nodes["zoe"].finished == e.Finish("completed")


@pytest.mark.parametrize("noticed", [True, False])
def test_a_client_that_is_started_again_takes_part_again(federation: Any, trouble: Any, noticed: bool) -> None:
    run = federation(4, rounds=20, trouble=trouble(faults=[Kill("client-0", CRASH_S, noticed, 5.0 - CRASH_S)])).run()
    reported = run.published("coordinator", "round.completed")
    assert "client-0" in reported[-1]["participants"]
    assert 1 <= sum("client-0" not in one["participants"] for one in reported) <= 6
    assert run.sim.nodes["client-0"].finished == e.Finish("completed")


def test_a_peer_that_is_started_again_joins_the_round_of_the_others(gossip: Any, trouble: Any) -> None:
    run = gossip(4, rounds=20, trouble=trouble(faults=[Kill("peer-1", CRASH_S, True, 5.0 - CRASH_S)])).run()
    mixed = [mix.round for mix in run.mixes["peer-1"]]
    assert mixed[-1] == 20
    assert len(mixed) < 20, "it did not do all the rounds again"
    assert "peer-1" in run.published("peer-2", "round.completed")[-1]["participants"]


# ------------------------------------------------------------------------------------------------- the way back, twice


def check_a_stalled_peer_is_mixed_again(gossip: Any, trouble: Any) -> None:
    run = gossip(6, rounds=30, trouble=trouble(faults=[Stop("peer-1", CRASH_S, 4.0)])).run()
    back = CRASH_S + 4.0
    for name in ("peer-0", "peer-2"):
        without = [reported["round"] for reported in run.published(name, "round.completed") if "missing" in reported]
        assert without
        assert without == list(range(without[0], without[-1] + 1)), "away once"
        assert run.when(name, "round.completed", round=without[-1]) <= back + WITHIN_S
    assert run.published("peer-1", "round.completed")[-1]["participants"] == ["peer-0", "peer-2"]


def test_a_stalled_peer_is_mixed_again(gossip: Any, trouble: Any) -> None:
    check_a_stalled_peer_is_mixed_again(gossip, trouble)


def test_a_stalled_peer_would_stay_half_a_round_behind_forever(
    gossip: Any, trouble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WaitPolicy, "late", lambda self, sender, number: None)
    with pytest.raises(AssertionError):
        check_a_stalled_peer_is_mixed_again(gossip, trouble)


def test_a_peer_that_wakes_after_the_end_does_not_wait() -> None:
    run = Run(4, rounds=10)
    run.sim.stall("peer-1", CRASH_S, 40.0)
    run.run()
    assert run.published("peer-0", "round.completed")[-1][0] < 20.0
    assert run.published("peer-1", "round.completed")[-1][0] < CRASH_S + 40.0 + 10 * 0.6 + 1.0


def test_a_stalled_client_comes_back(federation: Any, trouble: Any) -> None:
    run = federation(4, rounds=20, trouble=trouble(faults=[Stop("client-1", CRASH_S, 4.0)])).run()
    reported = run.published("coordinator", "round.completed")
    without = [one["round"] for one in reported if "client-1" not in one["participants"]]
    assert without
    assert run.when("coordinator", "round.completed", round=without[-1]) <= CRASH_S + 4.0 + WITHIN_S
    assert "client-1" in reported[-1]["participants"]


def test_a_stalled_coordinator_suspects_nobody(federation: Any, trouble: Any) -> None:
    run = federation(4, rounds=8, trouble=trouble(faults=[Stop("coordinator", CRASH_S, 6.0)])).run()
    assert run.published("coordinator", "node.suspect") == []
    assert all("missing" not in reported for reported in run.published("coordinator", "round.completed"))
    assert all(run.published(name, "node.suspect") for name in run.names), "the clients did miss it"
    assert all(run.sim.nodes[name].finished == e.Finish("completed") for name in run.names)


def test_a_straggler_does_not_hold_the_others_up_and_ends_with_them(gossip: Any, trouble: Any) -> None:
    """It takes two deadlines for each training; the others wait for one deadline, once."""
    run = gossip(4, rounds=40, deadline_s=5.0, trouble=trouble(train_s={"peer-1": 10.0})).run()
    assert run.when("peer-0", "round.completed", round=40) < 40 * 0.6 + 2 * 5.0
    mixed = [mix.round for mix in run.mixes["peer-1"]]
    assert mixed[-1] == 40
    assert len(mixed) <= 8, "it joined the rounds of the others instead of doing them all"


def test_halves_that_were_parted_go_on_apart_and_find_together(gossip: Any) -> None:
    apart = Partition(frozenset({"peer-0", "peer-1", "peer-2"}), 3.0, 9.0)
    run = gossip(6, rounds=40, faults=Faults(partitions=[apart])).run()
    for name in run.names:
        rounds = {reported["round"]: reported for reported in run.published(name, "round.completed")}
        during = [
            reported
            for reported in rounds.values()
            if 6.0 < run.when(name, "round.completed", round=reported["round"]) < 9.0
        ]
        assert len(during) >= 3, "rounds go on"
        assert "missing" not in rounds[40]
    missing = {
        (name, peer)
        for name in run.names
        for reported in run.published(name, "round.completed")
        for peer in reported.get("missing", {})
    }
    assert missing == {("peer-2", "peer-3"), ("peer-3", "peer-2"), ("peer-0", "peer-5"), ("peer-5", "peer-0")}, (
        "each side missed the other, and nobody else"
    )


# -------------------------------------------------------------------------------------------- who takes part, and trust


def test_with_a_surplus_no_round_waits_for_the_slowest(federation: Any, trouble: Any) -> None:
    slow = {"client-3": 4.0, "client-7": 6.0}
    rules = {"rounds": 10, "participation": 0.6, "deadline_s": 30.0}
    held_up = federation(10, trouble=trouble(train_s=slow), **rules).run()
    spared = federation(10, trouble=trouble(train_s=slow), over_selection=1.4, **rules).run()
    done = [run.when("coordinator", "round.completed", round=10) for run in (held_up, spared)]
    assert done[1] < 10 * 0.7
    assert done[0] > 20.0
    assert spared.published("coordinator", "update.rejected") == []
    assert all(spared.published(name, "warning") == [] for name in spared.names)


def test_a_restart_that_nobody_noticed_costs_the_round_nothing(federation: Any, trouble: Any) -> None:
    """It is started again at once, within the silence that would have betrayed it."""
    run = federation(4, rounds=8, trouble=trouble(faults=[Kill("client-0", 2.3, False, 1.0)])).run()
    (hit,) = [reported for reported in run.published("coordinator", "round.completed") if "missing" in reported]
    assert hit["missing"] == {"client-0": "was started again"}
    assert hit["duration_s"] < 1.5, "when it is back, a second after its death"
    assert run.published("coordinator", "node.suspect") == []


def test_one_who_sends_nonsense_is_left_alone_for_a_while(federation: Any, trouble: Any) -> None:
    bad = [("client-2", number) for number in range(1, 30)]
    run = federation(4, rounds=12, trouble=trouble(bad=bad)).run()
    asked = [number for (number, _), names in run.asked.items() if number and "client-2" in names]
    assert asked == [1, 2, 3, 9, 10, 11]
    assert run.state.run.completed == 12


def test_a_federation_that_shrinks_below_its_minimum_waits_and_recovers(federation: Any, trouble: Any) -> None:
    crashes = [Kill("client-0", 2.3, down_s=13.7), Kill("client-1", 2.3)]
    run = federation(3, rounds=8, min_clients=2, wait_deadline_s=20.0, trouble=trouble(faults=crashes)).run()
    assert any("waits for clients" in reported["reason"] for reported in run.published("coordinator", "warning"))
    assert run.sim.nodes["coordinator"].finished == e.Finish("completed")
    assert {name for (number, _), names in run.asked.items() if number == 8 for name in names} == {
        "client-0",
        "client-2",
    }

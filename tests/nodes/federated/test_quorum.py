"""A federation of one: no round, survey, figure or step is that of a single client, unless a user wants it so."""

import math
from typing import Any

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.federated.async_tasks import UpdateBuffer
from nervenet.nodes.federated.client_registry import MOST_LOST, ClientRegistry
from nervenet.nodes.federated.coordinator_config import CoordinatorConfig
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.registry import build_strategy
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
SURVEY = m.Payload(layout="survey", dtype="float64", length=9)


def completed(harness: Any) -> list[list[str]]:
    """Return who took part in each completed round of training."""
    return [one["participants"] for one in harness.published("round.completed") if one["round"]]


def kill(harness: Any, *names: str) -> None:
    for name in names:
        harness.tell(ev.LinkLost(name, "killed"))


def go_on_alone(harness: Any, name: str, until: float) -> None:
    """Let one client answer whatever it is asked, while the others are silent."""
    while harness.now < until and harness.finished() is None:
        current = harness.state.run.round
        if current and not current.closing and name in current.awaited():
            if any(isinstance(effect, e.Fold) for effect in harness.answer(name, *current.key)):
                harness.tell(ev.Folded(*current.key, "one client's own"))
        else:
            harness.until(harness.now + 1.0, beating=[name])


def reinstate_the_floor_of_those_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def floor_of(config: CoordinatorConfig, registry: Any, **_: Any) -> int:
        asked = len(registry.living())
        return min(asked, config.federated.min_clients or max(2, math.ceil(asked / 2)))

    for module in ("sync_rounds", "coordinator_machine"):
        monkeypatch.setattr(f"nervenet.nodes.federated.{module}.least", lambda config, registry: 1)
    monkeypatch.setattr("nervenet.nodes.federated.sync_rounds.floor_of", floor_of)


# --------------------------------------------------------------------------------------------------------------- rounds


def check_no_round_is_completed_by_the_last_of_four(coordinator: Any) -> None:
    harness = coordinator(4, rounds=50, deadline_s=3.0, wait_deadline_s=8.0).settle()
    harness.train()
    kill(harness, "client-1", "client-2", "client-3")
    go_on_alone(harness, "client-0", 60.0)
    assert completed(harness) == [list(harness.names)]
    ended = harness.finished()
    assert ended is not None
    assert (ended.status, ended.reason) == (
        "failed",
        (
            "round 2 waited 8 s for clients: 1 of at least 2 are there; missing: client-1, client-2, client-3 "
            "(--min-clients goes on with fewer, federated.wait_deadline_s waits longer) (docs/errors.md#too-few-nodes)"
        ),
    )


def test_no_round_is_completed_by_the_last_of_four(coordinator: Any) -> None:
    check_no_round_is_completed_by_the_last_of_four(coordinator)


def test_the_last_of_four_would_go_on_by_the_floor_of_those_asked(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reinstate_the_floor_of_those_asked(monkeypatch)
    with pytest.raises(AssertionError, match="client-0"):
        check_no_round_is_completed_by_the_last_of_four(coordinator)


def test_half_of_all_who_have_enrolled_must_be_there_and_answer(coordinator: Any) -> None:
    harness = coordinator(8, quorum=0.1).settle()
    assert harness.state.run.round.floor == 4
    kill(harness, "client-5", "client-6", "client-7")
    harness.train()
    assert harness.state.run.round.floor == 4, "the dead have not lowered it"
    kill(harness, "client-3", "client-4")
    for name in harness.names[:3]:
        harness.answer(name, 2)
    harness.until(31.0, beating=harness.names[:3])
    assert (harness.state.run.status, harness.state.run.completed) == ("waiting", 1)


def test_late_joiners_raise_the_floor_and_those_who_leave_lower_it(coordinator: Any) -> None:
    harness = coordinator(4, rounds=9).settle()
    late = ["late-0", "late-1", "late-2", "late-3"]
    for name in late:
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=100, pid=1))
    harness.train()
    assert harness.state.run.round.floor == 4
    for name in late:
        harness.say(name, m.Goodbye(1, "enough"))
    harness.train(2)
    assert harness.state.run.round.floor == 2


@pytest.mark.parametrize("held", [True, False])
def test_who_is_ready_by_control_alone_is_not_of_the_run_until_it_is_linked(
    coordinator: Any, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """Anybody who has said one HELLO could raise the floor of an open run by made-up names, and end it."""
    if not held:
        monkeypatch.setattr(ClientRegistry, "held", lambda *_: False)
    harness = coordinator(2, rounds=9).settle()
    made_up = [f"made-up-{number}" for number in range(2 * MOST_LOST)]
    for name in made_up:
        harness.say(name, m.Ready(examples=10**6, pid=1))
    registry = harness.state.run.registry
    assert sorted(registry.clients) == sorted([*harness.names, *([] if held else made_up)])
    assert len(registry._early) == (MOST_LOST if held else 0)
    if held:
        harness.train()
        assert harness.state.run.round.floor == 2
        harness.tell(ev.LinkUp(made_up[-1], "client", 1))  # it need not say it again
        assert registry.living() == [*harness.names, made_up[-1]]
        assert registry[made_up[-1]].examples == 10**6


def test_a_survey_of_one_settles_nothing(coordinator: Any) -> None:
    harness = coordinator(3, deadline_s=5.0, wait_deadline_s=8.0).gather()
    harness.say("client-0", m.Update(0, 0, 10, {}, {"columns": ["x"]}, SURVEY), "survey")
    kill(harness, "client-1", "client-2")
    harness.until(60.0, beating=["client-0"])
    assert not [effect for effect in harness.effects if isinstance(effect, e.ApplyAgreement)]
    assert harness.finished().reason.startswith("round 0 waited 8 s for clients: 1 of at least 2 are there")


# ----------------------------------------------------------------------------------------------- a share of the clients


@pytest.mark.parametrize(("rules", "asked"), [({}, 2), ({"min_clients": 1}, 1)])
def test_a_tenth_of_ten_is_two_unless_one_is_said_to_be_enough(
    coordinator: Any, rules: dict[str, int], asked: int
) -> None:
    harness = coordinator(10, participation=0.1, **rules).settle()
    assert len(harness.published("round.started")[-1]["asked"]) == asked
    experiment = Experiment.from_dict({"nodes": 10, "federated": {"participation": 0.1, **rules}})
    assert experiment.clients_per_round == asked


def test_of_a_share_half_must_answer(coordinator: Any) -> None:
    harness = coordinator(12, participation=0.5).settle()
    assert (harness.state.run.round.wanted, harness.state.run.round.floor) == (6, 3)


def test_an_experiment_of_one_node_is_what_its_user_wants(coordinator: Any) -> None:
    experiment = Experiment.from_dict({"nodes": 1})
    config = CoordinatorConfig.of(experiment, ["client-0"], FedAvg(), has_test=True)
    assert (experiment.min_clients, experiment.clients_per_round, config.federated.min_clients) == (1, 1, 1)
    assert CoordinatorConfig.of(Experiment(), ["client-0"], FedAvg(), has_test=True).federated.min_clients is None
    harness = coordinator(1, min_clients=1).settle()
    harness.train()
    assert completed(harness) == [["client-0"]]


# ----------------------------------------------------------------------------------------------------------- evaluation


def check_what_one_site_thinks_is_not_the_federations_figure(coordinator: Any) -> None:
    harness = coordinator(4, rounds=1, evaluate_test=False, evaluate_sites=True).settle()
    harness.train()
    number, attempt = harness.state.run.round.key
    metrics = {"holdout_accuracy": 1.0, "holdout_examples": 3.0}
    harness.say("client-0", m.Update(number, attempt, 10, metrics, None, None))
    harness.until(60.0, beating=["client-0"])
    assert harness.published("metric.test") == []
    (said,) = [one["reason"] for one in harness.published("warning") if "judged" in one["reason"]]
    assert said.startswith("1 of at least 2 sites have judged the last model: their figures are left out; client-1: ")
    assert harness.finished().status == "completed"


def test_what_one_site_thinks_is_not_the_federations_figure(coordinator: Any) -> None:
    check_what_one_site_thinks_is_not_the_federations_figure(coordinator)


def test_what_one_site_thinks_would_be_by_no_floor(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.federated.sync_rounds.floor_of", lambda config, registry, work="train": 0)
    with pytest.raises(AssertionError, match="sites"):
        check_what_one_site_thinks_is_not_the_federations_figure(coordinator)


# ---------------------------------------------------------------------------------------------------------------- steps


def check_no_step_is_made_of_one_clients_updates(coordinator: Any) -> None:
    """A fast client answers at once, whatever it is asked, and then one of the others does."""
    harness = coordinator(4, rounds=9, strategy=build_strategy("fedbuff", {})).settle()
    ledger = harness.state.run.ledger
    for _ in range(9):
        if "client-0" in ledger.out:
            harness.answer("client-0", ledger.out["client-0"].number)
    assert not [effect for effect in harness.effects if isinstance(effect, e.Fold)]
    (fold,) = [effect for effect in harness.answer("client-1") if isinstance(effect, e.Fold)]
    assert [c.client for c in fold.contributions] == [*3 * ["client-0"], "client-1"]


def test_no_step_is_made_of_one_clients_updates(coordinator: Any) -> None:
    check_no_step_is_made_of_one_clients_updates(coordinator)


def test_a_step_would_be_made_of_one_clients_updates(coordinator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UpdateBuffer, "would_fill_alone", lambda self, name: False)
    with pytest.raises(AssertionError):
        check_no_step_is_made_of_one_clients_updates(coordinator)


def test_a_step_of_which_one_client_is_left_fails(coordinator: Any) -> None:
    harness = coordinator(3, rounds=9, strategy=build_strategy("fedbuff", {"buffer": 2})).settle()
    harness.answer("client-0")
    harness.answer("client-1")
    harness.tell(ev.Folded(1, 0, "client-0's own", rejected={"client-1": "it is not finite"}))
    (failed,) = harness.published("round.failed")
    assert failed["reason"] == "updates of 1 of at least 2 clients are left"
    assert harness.state.run.weights == "w0"


def test_without_rounds_the_last_of_four_waits_for_others(coordinator: Any) -> None:
    harness = coordinator(4, rounds=9, wait_deadline_s=8.0, strategy=build_strategy("fedasync", {})).settle()
    kill(harness, "client-1", "client-2", "client-3")
    harness.until(60.0, beating=["client-0"])
    assert harness.finished().reason.startswith("round 1 waited 8 s for clients: 1 of at least 2 are there")

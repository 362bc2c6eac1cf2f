"""What a user sees of a run follows from its events alone."""

import random
from typing import Any

import pytest
from nervenet.nodes.monitoring import run_view
from nervenet.nodes.monitoring.node_row import NodeRow
from nervenet.nodes.monitoring.run_view import MOST_MALFORMED, RunView


def start(mode: str, rounds: int = 4) -> dict[str, Any]:
    facts = {"mode": mode, "nodes": 2, "rounds": rounds, "data": "iris", "model": "mlp"}
    return {"type": "run.started", "run": "r", "node": "launcher", "role": "launcher", "time": 0.0, **facts}


def event(kind: str, node: str, role: str, at: float, **more: Any) -> dict[str, Any]:
    return {"type": kind, "run": "r", "node": node, "role": role, "time": at, **more}


def view_of(*events: dict[str, Any]) -> RunView:
    view = RunView()
    for each in events:
        view.update(each)
    return view


FEDERATED = (
    start("federated"),
    event("node.ready", "client-0", "client", 1.0),
    event("node.ready", "client-1", "client", 1.0),
    event("node.ready", "coordinator", "coordinator", 1.0),
    event("round.started", "coordinator", "coordinator", 2.0, round=1, asked=["client-0", "client-1"]),
    event("metric.local", "client-0", "client", 3.0, round=1, loss=0.5),
)


def test_a_federated_round_from_beginning_to_end() -> None:
    view = view_of(*FEDERATED)
    assert (view.mode, view.rounds, view.status) == ("federated", 4, "running")
    assert {name: row.state for name, row in view.rows.items()} == {
        "client-0": "sent",
        "client-1": "training",
        "coordinator": "asking",
    }
    done = {"round": 1, "bytes_sent": 10, "bytes_received": 20, "loss": 0.4}
    view.update(event("round.completed", "coordinator", "coordinator", 4.0, **done))
    view.update(event("metric.test", "coordinator", "coordinator", 4.1, round=1, accuracy=0.9, loss=0.3))
    assert (view.round, view.score, view.loss) == (1, 0.9, 0.3)
    assert (view.rows["coordinator"].sent, view.rows["coordinator"].received) == (10, 20)
    assert view.rows["client-0"].state == "ready"
    assert view.eta_s() == (4.0 - 2.0) / 1 * 3
    assert view.staleness is None


def test_an_aggregator_is_shown_as_the_client_that_it_is() -> None:
    view = view_of(
        start("federated"),
        event("node.ready", "coordinator", "coordinator", 1.0),
        event("node.ready", "north", "aggregator", 1.0, examples=60, region="of-north", clients=2),
        event("round.started", "coordinator", "coordinator", 2.0, round=1, asked=["north"]),
    )
    assert view.rows["north"].state == "training"
    view.update(event("metric.local", "north", "aggregator", 3.0, round=1, loss=0.5))
    assert (view.rows["north"].state, view.rows["north"].loss) == ("sent", 0.5)


def test_the_pace_of_a_resumed_run_counts_its_own_rounds() -> None:
    started = {**start("gossip"), "rounds": 110, "resumed_after": 100}
    view = view_of(started, event("round.started", "peer-0", "peer", 2.0, round=101))
    for n in (101, 102):
        view.update(event("round.completed", "peer-0", "peer", 2.0 + 3.0 * (n - 100), round=n, bytes_sent=5))
    assert view.eta_s() == 3.0 * 8


def test_without_rounds_asked_clients_are_training_and_the_staleness_is_known() -> None:
    view = view_of(*FEDERATED)
    step = {"round": 1, "closed_by": "buffer", "staleness_mean": 2.5, "duration_s": 0.1}
    view.update(event("round.completed", "coordinator", "coordinator", 4.0, **step))
    view.update(event("round.started", "coordinator", "coordinator", 4.0, round=2, asked=["client-0", "client-1"]))
    assert {view.rows[f"client-{i}"].state for i in range(2)} == {"training"}
    assert view.staleness == 2.5


def test_under_gossip_the_slowest_living_peer_counts() -> None:
    view = view_of(start("gossip"), *(event("node.ready", f"peer-{i}", "peer", 1.0) for i in range(3)))
    for name, number, accuracy in (("peer-0", 3, 0.9), ("peer-1", 2, 0.7), ("peer-2", 1, 0.1)):
        for n in range(1, number + 1):
            view.update(event("round.completed", name, "peer", 2.0 + n, round=n, bytes_sent=5))
        view.update(event("metric.test", name, "peer", 5.0, round=number, accuracy=accuracy, loss=1.0))
    assert view.round == 1
    view.update(event("node.lost", "launcher", "launcher", 6.0, subject="peer-2", reason="killed"))
    view.update(event("metric.test", "peer-0", "peer", 6.1, round=3, accuracy=0.9, loss=1.0))
    view.update(event("round.completed", "peer-1", "peer", 6.2, round=3, bytes_sent=5))
    assert view.round == 3
    assert view.score == 0.8
    assert view.lost == ["peer-2"]
    assert view.rows["peer-0"].sent == 15


def test_a_peer_that_was_alone_is_in_the_round_that_it_goes_back_to() -> None:
    done = [event("round.completed", "north", "peer", 1.0 + n, round=n) for n in (1, 2, 900)]
    view = view_of(start("gossip", 1_000), event("node.ready", "north", "peer", 1.0), *done)
    assert (view.rows["north"].round, view.round) == (900, 900)
    view.update(event("round.started", "north", "peer", 950.0, round=41))
    assert (view.rows["north"].round, view.round) == (40, 40)
    view.update(event("round.completed", "north", "peer", 951.0, round=41))
    assert (view.rows["north"].round, view.round) == (41, 41)


def test_a_final_event_always_wins() -> None:
    final = event("run.completed", "launcher", "launcher", 9.0, status="completed")
    view = view_of(*FEDERATED, final, start("federated"), *FEDERATED[3:])
    assert view.status == "completed"
    assert view.finished
    assert view.eta_s() is None
    failed = view_of(start("gossip"), event("run.failed", "launcher", "launcher", 1.0, reason="too few"))
    assert (failed.status, failed.reason) == ("failed", "too few")


@pytest.mark.parametrize("first", ["node.joined", "run.started"])
def test_a_run_that_was_resumed_runs_again(first: str) -> None:
    ended = event("run.failed", "coordinator", "coordinator", 9.0, reason="interrupted", incarnation=1)
    stopping = event("run.stopping", "coordinator", "coordinator", 8.0, round=2, stopped_by="target", incarnation=1)
    result = event("node.result", "coordinator", "coordinator", 9.0, subject="client-0", state="done", incarnation=1)
    view = view_of(*FEDERATED, stopping, result, ended)
    assert (view.status, view.reason, view.finished) == ("failed", "interrupted", True)
    again = {**start("federated"), "node": "coordinator", "role": "coordinator", "type": first, "incarnation": 2}
    view.update(again)
    assert (view.finished, view.reason, view.stopping, view.completed, view.final) == (False, "", "", None, set())
    view.update(ended)
    assert not view.finished, "the old end may come late"
    view.update({**ended, "incarnation": 2})
    assert view.finished


def test_a_suspect_that_publishes_is_ready_and_the_lost_stay_lost() -> None:
    suspicion = event("node.suspect", "coordinator", "coordinator", 4.0, subject="client-1", reason="silent")
    view = view_of(*FEDERATED, suspicion)
    assert view.rows["client-1"].state == "suspect"
    view.update(event("metric.local", "client-1", "client", 5.0, round=1, loss=0.1))
    assert view.rows["client-1"].state == "sent"
    view.update(event("node.lost", "launcher", "launcher", 6.0, subject="client-1", reason="killed"))
    view.update(suspicion)
    assert view.rows["client-1"].state == "lost"


def test_no_order_of_events_and_no_nonsense_breaks_a_view() -> None:
    rng = random.Random(0)
    nonsense: list[dict[str, Any]] = [
        {},
        {"type": "unheard.of", "node": "x", "role": "peer"},
        {"type": "metric.test", "node": "x", "role": "peer", "round": None, "accuracy": None, "loss": float("nan")},
        {"type": "round.completed", "node": "x", "role": "peer", "round": "seven", "bytes_sent": None},
        {"type": "node.lost", "subject": None},
        {"type": "gap", "subject": "x", "missed": 3},
        {"type": "run.started"},
    ]
    for _ in range(50):
        events = [*FEDERATED, *nonsense] * 2
        rng.shuffle(events)
        view = view_of(*events)
        assert view.missed == 6
        assert view.rows["client-0"].loss == 0.5


def gossip_of_three(rounds: int = 4) -> RunView:
    """Three peers, of which the first two have done all rounds, and the last one is in its last."""
    view = view_of(start("gossip", rounds), *(event("node.ready", f"peer-{i}", "peer", 1.0) for i in range(3)))
    for name, number, accuracy in (("peer-0", rounds, 0.9), ("peer-1", rounds, 0.96), ("peer-2", rounds, 0.99)):
        view.update(event("round.completed", name, "peer", 3.0, round=number, bytes_sent=5))
        view.update(event("metric.test", name, "peer", 3.1, round=number, accuracy=accuracy, loss=1.0))
        view.update(event("node.left", name, "peer", 4.0))
    return view


def test_peers_that_have_done_their_rounds_and_left_count_in_the_last_line() -> None:
    assert gossip_of_three().score == pytest.approx((0.9 + 0.96 + 0.99) / 3)


def test_over_those_that_have_not_left_yet_it_would_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(view: RunView, _: NodeRow) -> None:
        known = [row.score for row in view.rows.values() if row.living and row.score is not None]
        view.score = sum(known) / len(known)

    monkeypatch.setattr(RunView, "_evaluate", evaluate)
    assert gossip_of_three().score != pytest.approx((0.9 + 0.96 + 0.99) / 3)


def late(**pace: float) -> RunView:
    """A monitor that attached in round 90 of 100, a minute into the run."""
    fields = {"bytes_sent": 10, "bytes_received": 20, **pace}
    started = event("round.started", "coordinator", "coordinator", 60.0, round=90, asked=[])
    done = event("round.completed", "coordinator", "coordinator", 60.1, round=90, loss=0.4, **fields)
    return view_of(start("federated", 100), started, done)


TOLD = {"rounds_per_s": 1.5, "elapsed_s": 60.0, "bytes_sent_total": 900, "bytes_received_total": 1800}


def test_who_attaches_late_shows_the_pace_and_the_totals_of_the_whole_run() -> None:
    view = late(**TOLD)
    assert view.eta_s() == pytest.approx(10 / 1.5)
    assert (view.rows["coordinator"].sent, view.rows["coordinator"].received) == (900, 1800)


def test_by_what_it_has_seen_itself_it_would_be_done_at_once() -> None:
    view = late()
    assert view.eta_s() == pytest.approx(0.1 / 90 * 10)
    assert view.rows["coordinator"].sent == 10


FINAL = (
    event("node.result", "launcher", "launcher", 9.0, subject="client-0", state="done", bytes_sent=700, loss=0.2),
    event("node.result", "launcher", "launcher", 9.0, subject="client-1", state="lost"),
    event("run.completed", "launcher", "launcher", 9.1, status="completed", completed_rounds=4, accuracy=0.97),
)


def test_the_last_state_of_every_node_comes_with_the_result_and_stays() -> None:
    straggling = (
        event("metric.local", "client-0", "client", 9.2, round=2, loss=0.5, bytes_sent=3),
        event("round.started", "coordinator", "coordinator", 9.2, round=2, asked=["client-0"]),
        event("metric.test", "coordinator", "coordinator", 9.3, round=2, accuracy=0.5, loss=0.9),
    )
    for events in ((*FEDERATED, *FINAL, *straggling), (*FEDERATED, *straggling, *FINAL), (*FINAL, *FEDERATED)):
        view = view_of(*events)
        assert {name: row.state for name, row in view.rows.items()} == {
            "client-0": "done",
            "client-1": "lost",
            "coordinator": "done",
        }
        assert (view.round, view.rows["coordinator"].round, view.rows["client-0"].sent) == (4, 4, 700)
    assert (view_of(*FEDERATED, *straggling, *FINAL).score, view.status) == (0.97, "completed")


def test_without_it_a_node_of_a_run_that_is_over_would_be_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunView, "_settle", lambda *_: None)
    assert view_of(*FINAL, *FEDERATED).rows["coordinator"].state == "asking"


def test_a_client_on_its_own_shows_the_rounds_that_its_coordinator_has_told_it() -> None:
    view = RunView(run="r", rounds=20, status="running")  # as its own experiment says
    view.update(event("metric.local", "north", "client", 1.0, round=9, rounds=148, loss=0.5))
    assert (view.round, view.rounds) == (9, 148)
    view.update(event("node.finished", "north", "client", 2.0, round=148))
    assert (view.round, view.rounds, view.rows["north"].state) == (148, 148, "done")


def test_what_a_peer_measures_on_its_hold_out_is_no_training_loss() -> None:
    view = view_of(start("gossip"), event("node.ready", "peer-0", "peer", 1.0))
    view.update(event("round.completed", "peer-0", "peer", 2.0, round=1, loss=0.01))
    view.update(event("metric.local", "peer-0", "peer", 2.1, round=1, loss=0.5, accuracy=0.8))
    row = view.rows["peer-0"]
    assert (row.loss, row.test_loss, row.score) == (0.01, 0.5, 0.8)
    assert (view.loss, view.score, view.evaluated_on) == (0.5, 0.8, "holdout")


def test_while_round_0_takes_its_time_a_view_says_which_question_is_open_and_who_is_waited_for() -> None:
    open_ = {"round": 0, "question": 5, "ask": "median"}
    view = view_of(
        *FEDERATED[:4],
        event("round.started", "coordinator", "coordinator", 2.0, round=0, attempt=0, asked=["client-0", "client-1"]),
        event("round.progress", "coordinator", "coordinator", 3.0, **open_, unanswered=1, waiting=["client-1"]),
    )
    assert view.agreeing == "agreeing, question 5, waiting for client-1"
    many = {"unanswered": 40, "waiting": [f"client-{i}" for i in range(20)]}
    view.update(event("round.progress", "coordinator", "coordinator", 4.0, **open_, **many))
    assert view.agreeing == "agreeing, question 5, waiting for client-0, client-1, client-2 and 37 more"
    view.update(event("round.progress", "coordinator", "coordinator", 5.0, **open_, unanswered=0, waiting=[]))
    assert view.agreeing == "agreeing, question 5"
    view.update(event("round.completed", "coordinator", "coordinator", 6.0, round=0, closed_by="all"))
    assert view.agreeing == ""


REGIONAL = (
    start("federated"),
    event("node.ready", "client-0", "client", 1.0, region="region-1"),
    event("node.ready", "client-1", "client", 1.0, region="region-0"),
    event("node.ready", "region-0", "aggregator", 1.0, region="region-0", clients=1),
    event("node.ready", "region-1", "aggregator", 1.0, region="region-1", clients=1),
    event("node.ready", "coordinator", "coordinator", 1.0),
)


def test_the_clients_of_a_region_that_is_asked_train() -> None:
    view = view_of(*REGIONAL)
    view.update(event("round.started", "coordinator", "coordinator", 2.0, round=1, asked=["region-1"]))
    states = {name: row.state for name, row in view.rows.items()}
    assert states == {
        "client-0": "training",
        "client-1": "ready",
        "region-0": "ready",
        "region-1": "training",
        "coordinator": "asking",
    }


def test_those_who_train_are_clients_and_aggregators_only_where_nobody_sees_theirs() -> None:
    assert len(view_of(*REGIONAL).training) == 2
    assert view_of(*REGIONAL).regional
    above = view_of(REGIONAL[0], *REGIONAL[3:])
    assert [row.region for row in above.training] == ["region-0", "region-1"]
    assert not above.regional


def test_clients_stand_below_their_aggregators() -> None:
    from nervenet.nodes.monitoring.screen import Screen

    screen, view = Screen(), view_of(*REGIONAL)
    assert screen.ordered(view.rows) == ["coordinator", "region-0", "client-1", "region-1", "client-0"]
    screen.filter = "region-1"
    assert screen.ordered(view.rows) == ["region-1", "client-0"]


def malformed_of(names: int) -> RunView:
    said = {"about": "metric.test", "count": 1}
    return view_of(*(event("malformed", "stream", "monitor", 1.0, subject=f"p{k}", **said) for k in range(names)))


def test_names_that_are_made_up_take_no_memory_and_are_counted() -> None:
    view = malformed_of(3 * MOST_MALFORMED)
    assert len(view.malformed) == MOST_MALFORMED + 1
    assert sum(view.malformed.values()) == 3 * MOST_MALFORMED


def test_without_a_bound_they_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_view, "MOST_MALFORMED", 10**9)
    assert len(malformed_of(3 * MOST_MALFORMED).malformed) == 3 * MOST_MALFORMED

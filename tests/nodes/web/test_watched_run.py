"""What a browser is shown of a run follows from its events, whoever sends them and whatever they say."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.web import node_table, watched_run
from nervenet.nodes.web.large_view import LargeView
from nervenet.nodes.web.watched_run import WatchedRun

Events = list[dict[str, Any]]
HEAD = {"run": "r", "role": "peer", "incarnation": 1, "seq": 1, "time": 105.0}


def watched(*events: dict[str, Any]) -> WatchedRun:
    run = WatchedRun("r")
    for event in events:
        run.update(event)
    return run


def merged(state: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Return what a page makes of a state and of changes, as docs/watching.md says."""
    found = {
        **state,
        **{key: value for key, value in delta.items() if key not in ("nodes", "rounds", "spans", "edges", "feed")},
    }
    for name, row in delta.get("nodes", {}).items():
        found["nodes"][name] = {**found["nodes"].get(name, {}), **row}
    for node, spans in delta.get("spans", {}).items():
        found["spans"][node] = [*found["spans"].get(node, []), *spans][-found["span_limit"] :]
    edges = {(edge[0], edge[1]): edge for edge in [*found["edges"], *delta.get("edges", ())]}
    rows = {}
    for columns in (found["rounds"], delta.get("rounds", {"round": []})):
        for index, number in enumerate(columns["round"]):
            rows[number] = {name: column[index] for name, column in columns.items()}
    found["edges"], found["feed"] = list(edges.values()), [*found["feed"], *delta.get("feed", ())]
    found["rounds"] = {name: [rows[number][name] for number in sorted(rows)] for name in found["rounds"]}
    return found


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_a_federated_run_is_shown_with_its_nodes_rounds_and_edges(federated: Events) -> None:
    state = watched(*federated).whole(105.0)
    assert state["outcome"]["line"] == "Round 1 of 4, accuracy 0.900, about 6.0 s to go."
    assert (state["outcome"]["status"], state["outcome"]["started"]) == ("running", 100.0)
    assert state["rounds"]["metric"] == [0.9]
    assert (state["rounds"]["bytes"], state["rounds"]["participants"]) == ([30], [2])
    client = state["nodes"]["client-0"]
    assert (client["state"], client["pid"], client["address"]) == ("ready", 8, "tcp://127.0.0.1:1")
    assert (client["model_at"], client["messages_sent"]) == (103.0, 1)
    assert {tuple(edge[:3]) for edge in state["edges"]} == {
        (a, b, "use") for a, b in (("coordinator", "client-0"), ("client-0", "coordinator"))
    } | {("coordinator", "client-1", "use"), ("client-1", "coordinator", "use")}
    assert state["spans"]["client-0"] == [(1, "train", 2.5, 3.0)]


def test_a_gossip_run_is_shown_with_its_band_models_and_mass(gossip: Events) -> None:
    state = watched(*gossip).whole(105.0)
    assert (state["rounds"]["worst"], state["rounds"]["best"]) == ([0.6], [0.8])
    assert state["rounds"]["consensus_distance"][0] == pytest.approx(0.1)
    assert state["outcome"]["line"].startswith("Round 1 of 4, accuracy 0.700 (0.600 to 0.800)")
    assert state["mass"] == {"peer-0": 1.5, "peer-1": 1.5}
    assert state["spans"]["peer-0"] == [(1, "train", 3.0, 3.625), (1, "wait", 3.625, 3.875), (1, "mix", 3.875, 4.0)]
    assert ["peer-1", "peer-0", "use", 500, 1, 0, 1] in state["edges"]
    (x0, _), (x1, _) = state["projection"]["peer-0"], state["projection"]["peer-1"]
    assert abs(x0 - x1) == pytest.approx(0.2)


def test_a_node_has_its_curves_by_the_name_that_browsers_know(federated: Events, gossip: Events) -> None:
    assert watched(*gossip).curves("peer-1") == {"round": [1], "loss": [None], "metric": [0.6]}
    by_node = watched(*federated)
    assert by_node.curves("client-0") == {"round": [1], "loss": [0.5], "metric": [None]}
    assert by_node.curves("coordinator") == {"round": [1], "loss": [0.4], "metric": [0.9]}
    assert by_node.curves("launcher") is None
    long = "x" * 300
    renamed = watched(gossip[0], *({**event, "node": long} for event in gossip if event["node"] == "peer-0"))
    assert [name for name in renamed.whole(105.0)["nodes"] if renamed.curves(name)] == [f"{'x' * 199}…"]


@pytest.mark.parametrize("kind", ["federated", "gossip"])
def test_the_changes_lead_from_a_state_to_the_next(
    kind: str, request: pytest.FixtureRequest, ended: Callable[..., dict[str, Any]]
) -> None:
    events: Events = [
        *request.getfixturevalue(kind),
        {**HEAD, "type": "node.lost", "node": "x", "subject": "peer-1"},
        ended(),
    ]
    run = WatchedRun("r")
    run.changes(0.0)
    state, now = plain(run.whole(0.0)), 0.0
    for event in events:
        run.update(event)
        now += 3.0
        state = merged(state, plain(run.changes(now) or {}))
    whole = plain(run.whole(now))
    for found in (state, whole):
        found["edges"].sort()
    assert state == whole
    assert run.changes(now) is None


def test_a_final_event_wins_over_what_comes_later(federated: Events, ended: Callable[..., dict[str, Any]]) -> None:
    late = {**federated[3], "round": 2, "time": 120.0}
    state = watched(*federated, ended(), late).whole(121.0)
    assert state["outcome"]["status"] == "completed"
    assert (state["outcome"]["metric"], state["outcome"]["ended"]) == (0.95, 110.0)
    assert {row["state"] for row in state["nodes"].values()} == {"done"}
    assert state["waiting"] == []


def test_whom_a_round_waits_for_is_said_with_the_reason(federated: Events) -> None:
    clients = ["client-0", "client-1"]
    opened = {
        **federated[4],
        "round": 2,
        "time": 105.0,
        "type": "round.started",
        "asked": clients,
        "node": "coordinator",
    }
    opened["role"] = "coordinator"
    answered = {**federated[5], "round": 2, "time": 105.5}
    suspect = {**HEAD, "type": "node.suspect", "node": "coordinator", "role": "coordinator", "subject": "client-1"}
    run = watched(*federated, opened, answered, {**suspect, "reason": "silent for 6 s"})
    assert run.whole(105.9)["waiting"] == []  # who is awaited for less than a second is on time
    state = run.whole(112.0)
    why = "is suspected: silent for 6 s"
    assert state["waiting"] == [{"node": "coordinator", "for": "client-1", "since": 105.0, "why": why}]
    assert state["outcome"]["line"].endswith(f"waiting for client-1, which {why}.")


def test_a_peer_that_is_behind_is_waited_for_by_its_neighbor(gossip: Events) -> None:
    ahead = [{**event, "round": 2, "time": 106.0} for event in gossip if event["node"] == "peer-0" and "round" in event]
    opened = {**HEAD, "type": "round.started", "node": "peer-0", "round": 3, "attempt": 0, "time": 107.0}
    state = watched(*gossip, *ahead, opened).whole(110.0)
    assert state["waiting"] == [{"node": "peer-0", "for": "peer-1", "since": 107.0, "why": "is in round 2"}]


def test_lost_late_and_idle_edges_are_told_apart(gossip: Events) -> None:
    missed = {**gossip[4], "round": 2, "participants": [], "missing": {"peer-1": "silent"}, "time": 106.0}
    run = watched(*gossip, missed)
    assert {edge[0]: edge[2] for edge in run.whole(107.0)["edges"]} == {"peer-1": "late", "peer-0": "use"}
    run.update({**HEAD, "type": "node.lost", "node": "peer-0", "subject": "peer-1", "reason": "dead"})
    state = run.whole(107.0)
    assert {edge[2] for edge in state["edges"]} == {"cut"}
    assert (state["nodes"]["peer-1"]["state"], state["nodes"]["peer-1"]["reason"]) == ("lost", "dead")
    assert state["feed"][-1] == {
        "time": 105.0,
        "text": "peer-1 is lost: dead (docs/errors.md#node-lost)",
        "kind": "bad",
        "node": "peer-1",
    }
    silent = watched(*gossip, *({**gossip[4], "round": number, "participants": []} for number in range(2, 7)))
    assert {edge[0]: edge[2] for edge in silent.whole(107.0)["edges"]}["peer-1"] == "idle"


def test_gaps_and_malformed_events_are_counted() -> None:
    stream = {"run": "r", "node": "stream", "role": "monitor", "incarnation": 0, "seq": 1, "time": 1.0}
    gap = {**stream, "type": "gap", "subject": "peer-0", "about": "round.completed", "missed": 3}
    bad = {
        **stream,
        "type": "malformed",
        "subject": "peer-0",
        "about": "metric.test",
        "count": 2,
        "reason": "loss: text",
    }
    state = watched(gap, bad).whole(2.0)
    assert (state["gaps"], state["malformed"]) == (3, 2)
    assert state["feed"][0]["text"] == "missed 3 events of peer-0"


@pytest.mark.parametrize(
    "hostile",
    [
        {"type": "node.joined", "node": "<img src=x onerror=alert(1)>", "pid": 1, "address": "\x1b]0;title\x07" * 100},
        {"type": "round.completed", "node": "peer-0", "round": 2**53, "closed_by": "all", "participants": ["a"]},
        {"type": "round.completed", "node": "peer-0", "round": 1, "duration_s": 1e308, "bytes_sent": -5},
        {"type": "metric.test", "node": "peer-0", "round": 1, "accuracy": 1e308, "loss": -1e308, "sketch": [1e308] * 3},
        {"type": "metric.test", "node": "peer-0", "round": 1, "sketch": [1e100] * 5000},
        {"type": "round.started", "node": "peer-0"},
        {"type": "update.rejected", "node": "peer-0", "subject": "__proto__", "reason": None},
        {"type": "run.started"},
        {"type": "run.completed", "node": "peer-0"},
        {
            "type": "exchange.received",
            "node": "peer-0",
            "subject": "peer-1",
            "round": 1,
            "count": 2**53,
            "bytes": 2**63,
        },
        {
            "type": "round.completed",
            "node": "peer-0",
            "round": 3,
            "participants": "text",
            "missing": [1],
            "staleness": {},
        },
        {"type": "node.lost", "node": "peer-0", "subject": "\udc80", "reason": "\udc80"},
        {},
    ],
)
def test_a_hostile_event_is_text_and_harms_nothing(hostile: dict[str, Any], gossip: Events) -> None:
    run = watched(*gossip, {**HEAD, **hostile}, {**HEAD, **hostile}, *gossip)
    for found in (run.changes(105.0), run.whole(105.0)):
        text = msgspec.json.encode(found).decode()
        assert text.isprintable()
        json.loads(text, parse_constant=pytest.fail)
    assert {"peer-0", "peer-1"} <= run.whole(106.0)["nodes"].keys()


def test_nodes_beyond_a_bound_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch, gossip: Events) -> None:
    monkeypatch.setattr(watched_run, "MOST_NODES", 3)
    run = watched(
        *gossip, *({**HEAD, "type": "node.joined", "node": f"n{i}", "pid": 1, "address": ""} for i in range(9))
    )
    state = run.whole(105.0)
    assert len(state["nodes"]) == 3
    assert state["left_out"] == 8
    run.update({**gossip[4], "round": 2, "time": 109.0})
    assert run.whole(110.0)["nodes"]["peer-0"]["round"] == 2


def test_names_that_events_mention_are_bounded_too(monkeypatch: pytest.MonkeyPatch, gossip: Events) -> None:
    monkeypatch.setattr(watched_run, "MOST_NODES", 3)
    monkeypatch.setattr(node_table, "MOST", 5)
    suspect = {**HEAD, "type": "node.suspect", "node": "peer-0"}
    opened = {**HEAD, "type": "round.started", "role": "guest", "round": 1, "attempt": 0}
    many = [{**suspect, "subject": f"s{i}"} for i in range(99)] + [{**opened, "node": f"g{i}"} for i in range(99)]
    run = watched(*gossip, *many)
    run.changes(105.0)
    assert len(run._nodes.facts) == 5
    assert len(run._waits._open) <= 3
    assert run.whole(105.0)["left_out"] == 97


def test_an_aggregator_is_one_of_the_clients_of_its_coordinator(federated: Events) -> None:
    def of(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "role": "aggregator"} if event["role"] == "client" else event

    clients, aggregators = watched(*federated).whole(105.0), watched(*map(of, federated)).whole(105.0)
    assert {row.pop("role") for row in aggregators["nodes"].values()} == {"coordinator", "aggregator"}
    for row in clients["nodes"].values():
        del row["role"]
    assert clients == aggregators


def test_of_a_resumed_run_the_rounds_after_its_checkpoint_are_forgotten(federated: Events) -> None:
    later = [{**event, "round": 2} for event in federated if "round" in event]
    run = watched(*federated, *later)
    run.changes(106.0)
    assert run.whole(106.0)["rounds"]["round"] == [1, 2]
    run.update({**federated[0], "resumed_after": 1, "incarnation": 2, "time": 200.0})
    assert run.changes(201.0) == {"whole": True}
    assert run.whole(201.0)["rounds"]["round"] == [1]


def test_a_view_of_many_is_what_a_view_of_each_event_is(gossip: Events, ended: Callable[..., dict[str, Any]]) -> None:
    lost = {**HEAD, "type": "node.lost", "node": "launcher", "role": "launcher", "subject": "peer-1", "reason": "dead"}
    later = [{**event, "round": 2, "time": 107.0} for event in gossip if "round" in event and event["node"] == "peer-0"]
    plain_view, large = RunView(run="r"), LargeView(run="r")
    for event in (*gossip, lost, *later, ended(accuracy=None)):
        plain_view.update(event)
        large.update(event)
    large.settle()
    assert vars(plain_view) == {key: value for key, value in vars(large).items() if not key.startswith("_")}


def test_who_looks_before_it_has_settled_sees_the_round_before(gossip: Events) -> None:
    large = LargeView(run="r")
    for event in gossip[:6]:
        large.update(event)
    assert (large.round, large.score) == (0, None)
    large.settle()
    assert (large.round, large.score) == (1, 0.8)

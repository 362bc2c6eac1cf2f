"""The live table, and the result table."""

import io
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.monitoring.node_row import NodeRow
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.report.units import duration, score, size
from nervenet.scripts.live_table import header, plain_line, render, rows_shown
from nervenet.scripts.result_table import print_result, print_seeds, result_line
from rich.console import Console


def running(nodes: int = 3) -> RunView:
    figures = ("client", "training", 2, 0.5, None, 0.9, 1500, 987_654_321, 0, 100.0)
    rows = {f"client-{i}": NodeRow(*figures) for i in range(nodes)}
    known = {"mode": "federated", "data": "iris", "model": "mlp", "rounds": 5, "round": 2, "status": "running"}
    return RunView(rows=rows, score=0.95, loss=0.2, seen=100.0, first_round_at=90.0, last_round_at=94.0, **known)  # type: ignore[arg-type]


def test_the_staleness_is_in_the_header_where_there_is_one() -> None:
    what = running()
    assert "staleness" not in header(what, 100.0)
    what.staleness = 2.54
    assert "  staleness 2.5  " in header(what, 100.0)


def drawn(what: RunView, now: float, height: int = 20) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(render(what, now, height))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_header_has_round_and_score() -> None:
    assert header(running(), 100.5) == "federated · iris · mlp  round 2/5  accuracy 0.950  test loss 0.200  ETA 6.0 s"
    assert plain_line(running(), 100.5).endswith("3 of 3 nodes")
    assert header(RunView(), 0.0) == "waiting for a run  round 0/?"
    early = RunView(mode="federated", rounds=5, status="running", agreeing="agreeing, question 5, waiting for site-b")
    assert header(early, 0.0) == "federated  round 0/5: agreeing, question 5, waiting for site-b"


def test_baselines_that_go_on_after_the_run_have_a_line_of_their_own() -> None:
    what = running()
    what.update({"type": "run.stopping", "node": "coordinator", "role": "coordinator", "stopped_by": "budget"})
    what.update({"type": "baseline.progress", "node": "baseline", "role": "baseline", "done": 1, "models": 4})
    # Long after anything was heard of a node.
    assert header(what, 200.0).endswith("stopped by budget, training the baselines: 1 of 4 models")
    what.update({"type": "baseline.progress", "node": "baseline", "role": "baseline", "done": 4, "models": 4})
    assert header(what, 200.0).endswith("stopped by budget, finishing")
    assert "baseline" not in what.rows


def said_while_the_nodes_leave() -> str:
    """The line of a run whose rounds are done, and whose nodes have left, while the baselines are trained."""
    what = running()
    what.round = what.rounds
    for row in what.rows.values():
        row.state = "left"
    return plain_line(what, 100.5)


def test_nodes_that_leave_a_run_which_is_done_are_not_counted() -> None:
    assert said_while_the_nodes_leave().endswith("finishing")


def test_counted_they_would_look_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunView, "finishing", False)
    assert said_while_the_nodes_leave().endswith("0 of 3 nodes")


def test_peers_that_stand_apart_are_shown_below_the_table() -> None:
    what = RunView(mode="gossip")
    for i, at in enumerate((0.0, 0.1, 0.2, 9.0, 9.1, 30.0)):
        fields = {"type": "metric.test", "node": f"peer-{i}", "role": "peer", "time": 1.0, "round": 1, "accuracy": 0.9}
        what.update({**fields, "sketch": [at, 0.0]})
    text = drawn(what, 1.0)
    assert "consensus distance about" in text
    assert "groups far apart: peer-0, peer-1, peer-2 | peer-3, peer-4" in text
    assert "far apart from all others: peer-5" in text
    what.rows["peer-5"].state = "lost"
    assert "peer-5" not in drawn(what, 1.0).split("consensus")[1]
    what.update({**fields, "node": "peer-6", "sketch": [1.0, 2.0, 3.0]})  # of another run, or another version
    assert "consensus distance" not in drawn(what, 1.0)
    assert "consensus distance" not in drawn(running(), 1.0)


def test_stale_is_shown_as_stale_and_a_final_state_wins() -> None:
    assert "stale: nothing heard for 20.0 s" in header(running(), 120.0)
    assert "stale 20.0 s" in drawn(running(), 120.0)
    ended = running()
    ended.status, ended.reason = "failed", "too few answers"
    assert "failed: too few answers" in header(ended, 120.0)
    assert "nothing heard" not in header(ended, 120.0)


def test_after_the_last_round_results_and_baselines_are_waited_for() -> None:
    done = running()
    done.round = 5
    assert header(done, 120.0).endswith("finishing")


def test_every_node_has_a_row_until_the_screen_is_full() -> None:
    assert all(f"client-{i} " in drawn(running(3), 100.0) for i in range(3))
    crowd = running(64)
    crowd.rows["client-60"].state = "lost"
    text = drawn(crowd, 100.0, height=14)
    assert "client-60" in text
    assert "… and 55 more nodes" in text
    assert len(text.splitlines()) <= 14
    assert [name for name, _ in rows_shown(running(12), 12)][-1] == "client-11", "numbers sort as numbers"


SUMMARY: dict[str, Any] = {
    "mode": "gossip",
    "nodes": 8,
    "rounds": 20,
    "completed_rounds": 20,
    "data": "digits",
    "model": "mlp",
    "parameters": 4810,
    "accuracy": 0.95,
    "accuracy_min": 0.94,
    "accuracy_max": 0.96,
    "baseline": {"centralised": None, "local_only_mean": 0.92},
    "bytes_sent": 1234567,
    "bytes_sent_by_kind": {"weights": 1200000, "control": 34567},
    "wall_s": 3.1,
    "startup_s": 1.0,
    "round_s_median": 0.02,
    "nodes_lost": ["peer-3"],
    "updates_rejected": {"peer-2": 4},
    "status": "completed",
}


def test_the_result_is_printed_with_its_baselines() -> None:
    file = io.StringIO()
    print_result(SUMMARY, Path("runs/x"), file)
    text = " ".join(file.getvalue().split())
    for words in (
        "gossip on digits: 8 nodes, mlp with 4,810 parameters",
        "gossip, mean of peers 0.950 (0.940 to 0.960)",
        "centralised, all rows diverged",
        "each node alone, mean 0.920",
        "20 of 20, 20 ms each in the median",
        "1.2 MB (1.2 MB weights, 34.6 kB control)",
        "3.1 s, of which 1.0 s to the first round",
        "nodes lost peer-3",
        "updates rejected 4 of peer-2",
        "run folder runs/x",
    ):
        assert words in text
    assert result_line(SUMMARY) == (
        "accuracy 0.950 (0.940 to 0.960), centralised diverged, 20 of 20 rounds in 3.1 s, lost peer-3"
    )


def test_what_else_is_known_of_the_test_rows_is_one_line() -> None:
    file = io.StringIO()
    report = {"rows": 30, "macro_f1": 0.93333, "roc_auc": 0.99, "brier": None, "confusion": {}}
    print_result({**SUMMARY, "report": report}, Path("runs/x"), file)
    assert "test rows 30: macro F1 0.9333, ROC AUC 0.99 " in " ".join(file.getvalue().split())


def test_class_weights_are_one_line_with_the_first_of_many() -> None:
    file = io.StringIO()
    print_result({**SUMMARY, "class_weights": {"good": 0.58123, "poor": 3.5}}, Path("runs/x"), file)
    many = {str(label): float(label) for label in range(1, 11)}
    print_result({**SUMMARY, "class_weights": many}, Path("runs/x"), file)
    text = " ".join(file.getvalue().split())
    assert "class weights good 0.5812, poor 3.5 " in text
    assert "class weights 1 1, 2 2, 3 3, 4 4, 5 5, 6 6, 7 7, 8 8, 2 more " in text


def test_the_runs_of_several_seeds_are_one_table() -> None:
    file = io.StringIO()
    figures = {"seeds": [0, 7], "accuracy": {"mean": 0.9, "std": 0.01, "values": [0.893, 0.907]}}
    diverged = {"baseline.centralised": {"mean": None, "std": None, "values": [0.9, None]}}
    print_seeds(figures | diverged, Path("runs/x"), file)
    lines = [" ".join(line.split()) for line in file.getvalue().splitlines()]
    assert "mean std seed 0 seed 7" in lines
    assert "accuracy 0.900 0.010 0.893 0.907" in lines
    assert "centralised, all rows diverged diverged 0.900 diverged" in lines


def test_an_early_end_the_best_round_and_the_sites_are_shown() -> None:
    summary = {
        **SUMMARY,
        "mode": "federated",
        "completed_rounds": 8,
        "stopped_by": "patience",
        "reason": "accuracy has not improved",
        "best": {"round": 5, "accuracy": 0.961, "loss": 0.1},
        "scores": {"f1_macro": 0.94, "roc_auc": None},
        "sites": {"accuracy": 0.93, "spread": {"accuracy": {"std": 0.02}}, "worst": {"site": "b", "accuracy": 0.9}},
    }
    file = io.StringIO()
    print_result(summary, Path("x"), file)
    text = " ".join(file.getvalue().split())
    for words in (
        "stopped by patience: accuracy has not improved",
        "best accuracy 0.961 in round 5 (best.safetensors)",
        "f1_macro 0.940 roc_auc not defined",
        "at the sites accuracy 0.930, standard deviation 0.020",
        "worst site b (0.900)",
    ):
        assert words in text
    assert "8 of 20 rounds in 3.1 s, stopped by patience" in result_line(summary)
    file = io.StringIO()
    print_result({**summary, "best": {"round": 3, "accuracy": summary["accuracy"]}}, Path("x"), file)
    assert "best" not in file.getvalue()  # no better than the last


def test_a_regression_and_a_run_without_baselines() -> None:
    summary = {**SUMMARY, "mode": "federated", "r2": 0.47, "r2_min": 0.47, "r2_max": 0.47, "baseline": None}
    del summary["accuracy"]
    file = io.StringIO()
    print_result(summary, Path("x"), file)
    assert "R²" in file.getvalue()
    assert "no baselines were trained" in file.getvalue()
    assert result_line(summary).startswith("R² 0.470, 20 of 20")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (size(532), "532 B"),
        (size(12345), "12.3 kB"),
        (size(4.2e12), "4200.0 GB"),
        (duration(0.012), "12 ms"),
        (duration(59.94), "59.9 s"),
        (duration(125), "2 min 05 s"),
        (duration(3725), "1 h 02 min"),
        (score(0.9534), "0.953"),
        (score(-12345.678), "-1.235e+04"),
        (score(None, "diverged"), "diverged"),
    ],
)
def test_figures_as_people_read_them(text: str, words: str) -> None:
    assert text == words


def waiting_then(*after: str) -> str:
    """Return the header of a client's own view, of a coordinator that waits, and after further events of its own."""
    view = RunView("r", "federated", rounds=20)
    head = {"run": "r", "node": "north", "role": "client", "incarnation": 1, "seq": 1, "time": 1.0}
    view.update({**head, "type": "node.waiting", "reason": "the broker at tcp://h:1"})
    for kind in after:
        view.update({**head, "type": kind, "round": 3, "pid": 1})
    return header(view, 100.0)


def test_the_header_says_for_whom_a_run_waits() -> None:
    assert waiting_then() == "federated  waiting for the broker at tcp://h:1"
    assert waiting_then("node.ready") == "federated  waiting for the coordinator"
    assert "round 3/20" in waiting_then("node.ready", "metric.local")
    view = RunView("r", "federated", rounds=400)
    head = {"run": "r", "node": "coordinator", "role": "coordinator", "incarnation": 1, "seq": 1, "time": 1.0}
    view.update({**head, "type": "node.waiting", "reason": "2 of 3 clients: a, b"})
    assert header(view, 1.0) == "federated  waiting for 2 of 3 clients: a, b"


def test_what_is_not_kept_would_be_a_round_of_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunView, "waiting", property(lambda _: "", lambda *_: None), raising=False)
    assert waiting_then().startswith("federated  round 0/20")


def test_that_a_run_was_interrupted_is_said_once() -> None:
    what = running()
    what.status, what.reason = "interrupted", "interrupted by Ctrl-C"
    assert header(what, 100.0).endswith("  interrupted by Ctrl-C")
    assert "interrupted: " not in header(what, 100.0)
    what.status, what.reason = "failed", "all clients are lost"
    assert header(what, 100.0).endswith("  failed: all clients are lost")
    what.status, what.reason = "completed", ""
    assert header(what, 100.0).endswith("  completed")


def test_the_table_has_regions_where_clients_are_in_some() -> None:
    what = running(2)
    assert "region" not in drawn(what, 100.0)
    what.rows["client-1"].region = "north"
    text = drawn(what, 100.0)
    assert "region" in text
    assert "north" in text

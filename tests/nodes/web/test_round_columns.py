"""Curves of any number of rounds take so much and no more; the newest rounds stay as they are."""

from typing import Any

from nervenet.nodes.web.round_columns import RoundColumns


def row(number: int, **more: Any) -> dict[str, Any]:
    facts = {"accuracy": number / 100, "accuracy_min": 0.1, "accuracy_max": 0.9, "closed_by": "all", "participants": 3}
    return {"round": number, **facts, "bytes_sent": 4, "bytes_received": 1, "duration_s": 2.0, **more}


def filled(most: int, rounds: int) -> RoundColumns:
    columns = RoundColumns(most)
    for number in range(1, rounds + 1):
        columns.put(row(number), "accuracy")
    return columns


def test_rows_become_columns() -> None:
    found = filled(8, 2).columns()
    assert (found["round"], found["metric"], found["worst"], found["bytes"]) == (
        [1, 2],
        [0.01, 0.02],
        [0.1, 0.1],
        [5, 5],
    )


def test_ten_thousand_rounds_are_thinned_and_nothing_of_their_bytes_is_lost() -> None:
    columns = filled(100, 10_000)
    found = columns.columns()
    assert len(found["round"]) <= 100
    assert found["round"] == sorted(found["round"])
    assert found["round"][-50:] == list(range(9951, 10_001))
    assert sum(found["bytes"]) == 5 * 10_000
    assert columns.thinned


def test_of_what_changed_nothing_is_kept_that_is_gone() -> None:
    columns = filled(100, 10_000)
    assert len(columns.changed) <= 100
    assert columns.changed == set(columns.columns()["round"])


def test_of_two_rows_that_become_one_worst_and_best_stay() -> None:
    columns = RoundColumns(4)
    for number, low, high in ((1, 0.1, 0.5), (2, 0.2, 0.9), (3, 0.5, 0.5), (4, 0.5, 0.5), (5, 0.5, 0.5)):
        columns.put(row(number, accuracy_min=low, accuracy_max=high), "accuracy")
    found = columns.columns()
    assert (found["round"], found["worst"][0], found["best"][0]) == ([2, 3, 4, 5], 0.1, 0.9)


def test_what_comes_late_for_a_thinned_round_changes_nothing() -> None:
    columns = filled(10, 50)
    before = columns.columns()
    columns.put(row(3, accuracy=0.99), "accuracy")
    assert columns.columns() == before


def test_a_row_of_fewer_peers_does_not_replace_one_of_more() -> None:
    columns = RoundColumns()
    columns.put({"round": 1, "peers": 8, "accuracy": 0.9}, "accuracy")
    columns.put({"round": 1, "peers": 1, "accuracy": 0.1}, "accuracy")
    assert columns.columns()["metric"] == [0.9]


def test_only_rounds_that_changed_are_told() -> None:
    columns = filled(10, 3)
    columns.changed.clear()
    columns.put(row(2), "accuracy")
    assert columns.changed == set()
    columns.put(row(2, accuracy=0.5), "accuracy")
    assert columns.columns(columns.changed)["metric"] == [0.5]

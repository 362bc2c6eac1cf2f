"""What the launcher says of sizes, before anything starts."""

import pytest
from nervenet.nodes.federated.row_cap import cap_of, capped_of, median_of, without_majority
from nervenet.nodes.federated.strategies import Contribution


def test_sizes_that_the_cap_cuts_are_named_with_what_it_does_to_their_weight() -> None:
    sizes = {"a": 60, "b": 60, "c": 60, "d": 60, "hospital": 9_000}
    assert capped_of(sizes, 100.0) == [
        (
            "hospital has 9000 rows, more than 100 times the median client's (60): it counts as 6000; "
            "federated.max_examples_ratio is the limit; its weight in an average by rows is 0.962 instead of 0.974"
        )
    ]
    assert capped_of(sizes, 1000.0) == []


def test_the_median_is_of_those_who_have_rows_and_the_cap_is_never_nothing() -> None:
    assert median_of([0, 0, 5, 7]) == 5
    assert (median_of([]), cap_of(0, 100.0)) == (0, 1)


@pytest.mark.parametrize(
    ("rows", "told", "counted"),
    [
        ([900, 40, 10], [900, 40, 10], [900, 40, 10]),  # it had as much in round 0
        ([900, 40, 10], [90, 40, 60], [50, 40, 10]),
        ([900, 40, 10], [0, 40, 10], [50, 40, 10]),  # it has come later
        ([900], [1], [900]),  # nobody else is there
        ([50, 40, 10], [1, 40, 10], [50, 40, 10]),  # half is no majority
    ],
)
def test_none_counts_for_more_than_all_others_unless_it_had_as_much_in_round_zero(
    rows: list[int], told: list[int], counted: list[int]
) -> None:
    updates = [Contribution(f"c{i}", None, None, n, {}) for i, n in enumerate(rows)]
    found, lines = without_majority(updates, {f"c{i}": n for i, n in enumerate(told)})
    assert [update.examples for update in found] == counted
    assert list(lines) == ([] if counted == rows else ["c0"])


def test_weights_that_differ_a_little_from_rows_are_believed() -> None:
    updates = [Contribution("a", None, None, 503.0, {}), Contribution("b", None, None, 497.0, {})]
    assert without_majority(updates, {"a": 500, "b": 500}, weighted=True)[1] == {}

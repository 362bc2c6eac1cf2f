"""What the launcher says of sizes, before anything starts."""

from nervenet.nodes.federated.row_cap import cap_of, capped_of, median_of


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

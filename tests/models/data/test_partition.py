"""Partitions: each row goes to exactly one node, by the rule of its scheme, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.data.data import DataError, Dataset
from nervenet.models.data.partition import SCHEMES, partition
from nervenet.models.datasets import load


def labeled(rows: int, classes: int = 3, sites: int | None = None) -> Dataset:
    X = np.arange(rows, dtype=float)[:, None] % 7
    where = None if sites is None else np.arange(rows) % sites
    return Dataset("labeled", X, np.arange(rows) % classes, ("remainder",), "classification", sites=where)


@settings(max_examples=80, deadline=None)
@given(
    rows=st.integers(1, 120),
    nodes=st.integers(1, 12),
    scheme=st.sampled_from(sorted(SCHEMES)),
    alpha=st.floats(0.01, 100),
    shards=st.integers(1, 4),
    least=st.integers(1, 3),
    seed=st.integers(0, 2**40),
)
def test_each_row_goes_to_exactly_one_node(
    rows: int, nodes: int, scheme: str, alpha: float, shards: int, least: int, seed: int
) -> None:
    whole = labeled(rows, sites=5)
    try:
        parts = partition(whole, nodes, scheme, alpha=alpha, shards_per_node=shards, min_rows=least, seed=seed)
    except DataError:
        return
    assert len(parts) == nodes
    assert sorted(np.concatenate(parts).tolist()) == list(range(rows))
    assert min(map(len, parts)) >= least
    assert all((np.diff(part) > 0).all() for part in parts)


@pytest.mark.parametrize("scheme", ["iid", "dirichlet", "shards", "quantity"])
def test_the_seed_is_the_address_of_the_draws(scheme: str) -> None:
    iris = load("iris")
    first, again, other = (partition(iris, 5, scheme, seed=seed) for seed in (3, 3, 4))
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_iid_sizes_differ_by_one_at_most() -> None:
    sizes = [len(part) for part in partition(labeled(103), 8)]
    assert max(sizes) - min(sizes) <= 1


def test_a_small_alpha_skews_labels_and_a_large_one_does_not() -> None:
    digits = load("digits")

    def most_common_share(alpha: float) -> float:
        parts = partition(digits, 8, "dirichlet", alpha=alpha)
        return float(np.mean([np.bincount(digits.y[part]).max() / len(part) for part in parts]))

    assert most_common_share(0.1) > 0.35
    assert most_common_share(1000) < 0.15


def test_dirichlet_redraws_until_every_node_has_enough() -> None:
    """About one draw in three leaves a node empty here (8 nodes, iris, alpha 0.3)."""
    iris = load("iris")
    for seed in range(20):
        assert min(map(len, partition(iris, 8, "dirichlet", alpha=0.3, min_rows=2, seed=seed))) >= 2


def test_dirichlet_gives_up_by_name() -> None:
    with pytest.raises(DataError, match=r"alpha 0\.001 left a node of 10 short of 2 rows in each of 1000 draws"):
        partition(labeled(40), 10, "dirichlet", alpha=0.001)


def test_dirichlet_cuts_a_regression_by_quantiles() -> None:
    diabetes = load("diabetes")
    parts = partition(diabetes, 4, "dirichlet", alpha=0.1)
    means = [diabetes.y[part].mean() for part in parts]
    assert np.ptp(means) > 30


def test_two_shards_a_node_hold_few_labels() -> None:
    """McMahan et al.: 200 shards sorted by label, two a client, leave most clients with two digits."""
    whole = labeled(6000, classes=10)
    parts = partition(whole, 100, "shards", shards_per_node=2)
    assert {len(part) for part in parts} == {60}
    assert max(len(np.unique(whole.y[part])) for part in parts) <= 2


def test_quantity_skews_sizes_only() -> None:
    whole = labeled(3000)
    parts = partition(whole, 6, "quantity", alpha=0.3, min_rows=20, seed=1)
    sizes = [len(part) for part in parts]
    assert max(sizes) > 5 * min(sizes)
    biggest = max(parts, key=len)
    assert np.bincount(whole.y[biggest]).min() > 0.28 * len(biggest)


def test_column_keeps_equal_values_together_and_balances() -> None:
    whole = labeled(70)
    parts = partition(whole, 3, "column", column="remainder")
    values = [set(whole.X[part, 0]) for part in parts]
    assert set.union(*values) == set(range(7))
    assert sum(map(len, values)) == 7
    assert sorted(map(len, parts)) == [20, 20, 30]


def test_column_follows_the_sites_of_the_data() -> None:
    drawn = load("synthetic")
    parts = partition(drawn, 30, "column")
    assert drawn.sites is not None
    assert sorted(int(drawn.sites[part[0]]) for part in parts) == list(range(30))
    assert all(len(np.unique(drawn.sites[part])) == 1 for part in parts)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"nodes": 5000}, "5000 nodes are more than the 150 rows of iris"),
        ({"nodes": 100}, "100 nodes with at least 2 rows each need 200 rows; iris has 150"),
        ({"nodes": 0}, "nodes must be at least 1, found 0"),
        ({"scheme": "dirichelt"}, "partition 'dirichelt' is unknown .did you mean dirichlet..; allowed: iid"),
        ({"alpha": 0.0}, "alpha must be a number above 0, found 0"),
        ({"alpha": float("nan")}, "alpha must be a number above 0, found nan"),
        ({"alpha": "half"}, "alpha must be a number above 0, found 'half'"),
        ({"min_rows": 0}, "min_rows must be at least 1, found 0"),
        ({"scheme": "shards", "shards_per_node": 0}, "shards_per_node must be at least 1, found 0"),
        ({"scheme": "shards", "shards_per_node": 99}, "4 nodes with 99 shards each need 396 rows; iris has 150"),
        ({"scheme": "column"}, "needs the name of a column; iris does not say its sites"),
        ({"scheme": "column", "column": "petal"}, "no column 'petal' in iris; it has: sepal length"),
        ({"scheme": "column", "column": "petal width (cm)", "nodes": 30}, "22 distinct values are fewer than 30"),
    ],
)
def test_an_impossible_partition_says_why(options: dict[str, object], reason: str) -> None:
    arguments = {"nodes": 4, "scheme": "iid"} | options
    with pytest.raises(DataError, match=reason):
        partition(load("iris"), **arguments)


def test_too_uneven_groups_are_refused_by_min_rows() -> None:
    X = np.array([[0.0]] * 9 + [[1.0]])
    whole = Dataset("uneven", X, np.arange(10) % 2, ("site",), "classification")
    with pytest.raises(DataError, match="'column' of uneven leaves a node with 1 rows; min_rows is 2"):
        partition(whole, 2, "column", column="site")

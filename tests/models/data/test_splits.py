"""Splits hold out the very rows of scikit-learn."""

from typing import Any

import numpy as np
import pytest
from nervenet.models.data.data import DataError, Dataset
from nervenet.models.data.splits import hold_out, split
from nervenet.models.datasets import load
from nervenet.models.rng import generator


def numbered(y: np.ndarray, task: str = "classification") -> Dataset:
    """A data set whose only input is the number of the row."""
    return Dataset("numbered", np.arange(len(y), dtype=float)[:, None], y, ("row",), task)


@pytest.mark.parametrize("seed", [0, 1, 42, 2**32 - 1])
@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.35, 0.5])
@pytest.mark.parametrize("name", ["iris", "wine", "digits", "diabetes"])
def test_the_rows_are_those_of_train_test_split(name: str, test_size: float, seed: int) -> None:
    from sklearn.model_selection import train_test_split

    y = load(name).y
    task = "regression" if name == "diabetes" else "classification"
    train, test = split(numbered(y, task), test_size, seed)
    stratify = y if task == "classification" else None
    theirs = train_test_split(np.arange(len(y)), test_size=test_size, random_state=seed, stratify=stratify)
    assert np.array_equal(train.X[:, 0], theirs[0])
    assert np.array_equal(test.X[:, 0], theirs[1])
    assert np.array_equal(train.y, y[theirs[0]])


@pytest.mark.parametrize("seed", range(20))
def test_ties_and_rare_classes_are_apportioned_like_theirs(seed: int) -> None:
    from sklearn.model_selection import train_test_split

    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 9, size=rng.integers(2, 8))
    y = rng.permutation(np.repeat(np.array(list("abcdefgh"))[: len(counts)], counts))
    theirs = train_test_split(np.arange(len(y)), test_size=0.4, random_state=seed, stratify=y)
    train, test = split(numbered(y), 0.4, seed)
    assert np.array_equal(train.X[:, 0], theirs[0])
    assert np.array_equal(test.X[:, 0], theirs[1])


def test_the_only_row_of_a_class_is_kept_for_training() -> None:
    y = np.array([0] * 10 + [1] * 10 + [2])
    train, test = split(numbered(y))
    assert 20 in train.X[:, 0]
    assert sorted(np.r_[train.X[:, 0], test.X[:, 0]]) == list(range(21))
    assert set(test.y) == {0, 1}


def test_sites_follow_their_rows() -> None:
    whole = load("synthetic")
    train, test = split(whole)
    for part in (train, test):
        assert part.sites is not None
        order = np.lexsort(whole.X.T)
        found = order[np.searchsorted(whole.X[order, -1], part.X[:5, -1])]
        assert np.array_equal(whole.sites[found], part.sites[:5])


def test_a_published_test_set_is_kept() -> None:
    published = numbered(np.array([7, 8]))
    whole = Dataset("mnist", np.zeros((4, 1)), np.arange(4), ("row",), "classification", test=published)
    train, test = split(whole, 0.5)
    assert test is published
    assert len(train) == 4
    assert train.test is None


@pytest.mark.parametrize(
    ("y", "test_size", "reason"),
    [
        (np.array([0, 1] * 5), 0.0, "test_size must lie between 0 and 1, found 0"),
        (np.array([0, 1] * 5), 1.0, "found 1"),
        (np.array([0, 1] * 5), float("nan"), "found nan"),
        (np.repeat(np.arange(5), 2), 0.2, "a test set of 2 rows cannot hold 5 classes"),
        (np.repeat(np.arange(5), 2), 0.8, "a training set of 2 rows cannot hold 5 classes"),
        (np.array([0, 1]), 0.5, "none of the 2 classes has a second row"),
        (np.array([0]), 0.5, "1 rows cannot be split"),
    ],
)
def test_an_impossible_split_says_why(y: np.ndarray, test_size: float, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        split(numbered(y), test_size)


def test_a_seed_out_of_range_and_an_empty_training_set_are_named() -> None:
    with pytest.raises(DataError, match="split_seed must lie between 0 and 4294967295, found -1"):
        split(load("iris"), 0.2, -1)
    with pytest.raises(DataError, match="leaves none for training"):
        split(numbered(np.array([0.5, 1.5]), "regression"), 0.9)


# One site's own hold-out


def positives_held_out(drawn: Any, positives: int) -> list[int]:
    """How many of a site's ten rows that are held out are positive, by seed."""
    y = np.array([1] * positives + [0] * (10 - positives))
    return [int(y[drawn(y, generator(seed, "holdout"))].sum()) for seed in range(40)]


def stratified(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return hold_out(y, 0.2, rng, least=1, stratify=True)


def test_a_small_site_holds_out_some_of_each_class_and_trains_on_a_single_one() -> None:
    assert set(positives_held_out(stratified, 1)) == {0}
    assert set(positives_held_out(stratified, 2)) == {1}
    y = np.repeat([0, 1, 2], (50, 30, 20))
    assert np.bincount(y[stratified(y, generator(0, "holdout"))]).tolist() == [10, 6, 4]


def test_without_strata_it_would_lose_the_one_and_often_have_none_of_two() -> None:
    def at_random(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return hold_out(y, 0.2, rng, least=1, stratify=False)

    assert 1 in positives_held_out(at_random, 1), "it is lost for training"
    assert positives_held_out(at_random, 2).count(0) > 10


def test_a_hold_out_leaves_enough_rows_for_training() -> None:
    y = np.arange(8) % 2
    for share in (0.2, 0.5, 0.99):
        assert len(hold_out(y, share, generator(0), least=7, stratify=True)) <= 1
    assert len(hold_out(y, 0.99, generator(0), least=1, stratify=True)) == 6, "one of each class"

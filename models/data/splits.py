"""Test sets: the very rows that scikit-learn's train_test_split would hold out, without loading it.

The order of the draws below is scikit-learn's (`ShuffleSplit` and `StratifiedShuffleSplit` of 1.x), because a result
that is set beside one from scikit-learn should be measured on the same rows. That is also why the generator is the
legacy `RandomState`: its stream is frozen, and it is what ``random_state=42`` means there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from .data import DataError, Dataset

Rows = NDArray[np.intp]


def split(dataset: Dataset, test_size: float = 0.2, seed: int = 42) -> tuple[Dataset, Dataset]:
    """Return a training and a test set.

    A test set that was published with the data is kept as it is. Otherwise the rows, and their order, are those of
    scikit-learn's ``train_test_split(test_size=test_size, random_state=seed)``, with ``stratify=y`` for classification.
    A class with a single row, which scikit-learn refuses to stratify, keeps it for training.

    Parameters
    ----------
    test_size
        Share of the rows for the test set, above 0 and below 1; a fraction of a row counts as one.
    seed
        scikit-learn's `random_state`, 0 to 2³² - 1.

    Raises DataError: `test_size` or `seed` is out of range, or one side is too small to hold every class.
    """
    if dataset.test is not None:
        return replace(dataset, test=None), dataset.test
    train, test = split_rows(dataset, test_size, seed)
    return dataset.take(train), dataset.take(test)


def split_rows(dataset: Dataset, test_size: float = 0.2, seed: int = 42) -> tuple[Rows, Rows]:
    """Return which rows are for training and which for testing; see `split`."""
    if not 0 < test_size < 1:
        raise DataError(f"test_size must lie between 0 and 1, found {test_size}")
    if not 0 <= seed < 2**32:
        raise DataError(f"split_seed must lie between 0 and {2**32 - 1}, found {seed}")
    if len(dataset) < 2:
        raise DataError(f"{dataset.name}: {len(dataset)} rows cannot be split; a training and a test set need 2")
    rng = RandomState(seed)
    n_test = math.ceil(test_size * len(dataset))
    if dataset.task == "classification":
        train, test = _stratified(dataset, n_test, rng)
    else:
        order = rng.permutation(len(dataset))
        train, test = order[n_test:], order[:n_test]
    if not len(train):
        raise DataError(f"{dataset.name}: test_size {test_size} of {len(dataset)} rows leaves none for training")
    return train, test


def _stratified(dataset: Dataset, n_test: int, rng: RandomState) -> tuple[Rows, Rows]:
    labels, encoded, counts = np.unique(dataset.y, return_inverse=True, return_counts=True)
    drawn = np.where(counts < 2, 0, counts)
    n_train = int(drawn.sum()) - n_test
    classes = int(np.count_nonzero(drawn))
    if not classes:
        raise DataError(f"{dataset.name}: none of the {len(labels)} classes has a second row, so none can be tested")
    for side, size in (("test", n_test), ("training", n_train)):
        if size < classes:
            raise DataError(
                f"{dataset.name}: a {side} set of {max(size, 0)} rows cannot hold {classes} classes; "
                "choose another test_size or take more rows"
            )
    in_train = _apportion(drawn, n_train, rng)
    in_test = _apportion(drawn - in_train, n_test, rng)
    by_class = np.split(np.argsort(encoded, kind="stable"), np.cumsum(counts)[:-1])
    train: list[Rows] = []
    test: list[Rows] = []
    for members, count, first, second in zip(by_class, drawn, in_train, in_test, strict=True):
        if count:
            shuffled = members[rng.permutation(count)]
            train.append(shuffled[:first])
            test.append(shuffled[first : first + second])
    single = np.flatnonzero(counts[encoded] < 2)
    return np.concatenate([rng.permutation(np.concatenate(train)), single]), rng.permutation(np.concatenate(test))


def _apportion(counts: NDArray[Any], size: int, rng: RandomState | np.random.Generator) -> NDArray[np.intp]:
    """Return `size` places divided among the classes in proportion to `counts`: largest remainders, ties by lot."""
    share = counts / counts.sum() * size
    whole = np.floor(share)
    remainder = share - whole
    places = int(size - whole.sum())
    for value in np.unique(remainder)[::-1]:
        if places <= 0:
            break
        tied = np.flatnonzero(remainder == value)
        chosen = rng.choice(tied, size=min(len(tied), places), replace=False)
        whole[chosen] += 1
        places -= len(chosen)
    places_of: NDArray[np.intp] = whole.astype(np.intp)
    return places_of


def hold_out(y: NDArray[Any], share: float, rng: np.random.Generator, *, least: int, stratify: bool) -> Rows:
    """Return the rows that one site keeps from training, in ascending order: `share` of them, rounded; maybe none.

    At least `least` rows, and one of each class, are left for training. With `stratify` classes are held out in
    proportion to their rows, and each that has two or more at least once where there are places for all of them.
    """
    size = max(0, min(round(share * len(y)), len(y) - max(1, least)))
    if not stratify or not size:
        return np.sort(rng.permutation(len(y))[:size])
    encoded, counts = np.unique(y, return_inverse=True, return_counts=True)[1:]
    drawn = np.where(counts < 2, 0, counts)
    if not drawn.any():
        return np.empty(0, np.intp)
    places = np.minimum(_apportion(drawn, min(size, int(drawn.sum())), rng), np.maximum(drawn - 1, 0))
    for kind in np.flatnonzero((places == 0) & (drawn > 0)):
        largest = int(places.argmax())
        if places[largest] > 1:
            places[largest] -= 1
            places[kind] += 1
    members = (rng.permutation(np.flatnonzero(encoded == kind))[: places[kind]] for kind in range(len(counts)))
    return np.sort(np.concatenate(list(members)))

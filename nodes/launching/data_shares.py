"""Which rows each node gets: load, hold out, partition, and pack each part so that only its node can read it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.data import datasets
from nervenet.models.data.data import MANY_CLASSES, DataError
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split

from ..config.factory import build_model
from .shared_arrays import pack

if TYPE_CHECKING:
    from nervenet.models.data.data import Dataset
    from nervenet.models.model import Model
    from numpy.typing import NDArray

    from ..config.schema import Experiment


@dataclass
class DataShares:
    """The data of a run, as descriptors of anonymous open files."""

    columns: tuple[str, ...]
    task: str
    rows: int  # for training, in all
    nodes: list[int] = field(default_factory=list)  # in name order: X and y of a node's part
    test: int = -1
    whole: int = -1  # for the baselines: X, y, test X, test y, the row order of all parts and their sizes
    sizes: tuple[int, ...] = ()  # rows for training, in the order of `nodes`

    def close(self) -> None:
        for descriptor in (*self.nodes, self.test, self.whole):
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        self.nodes, self.test, self.whole = [], -1, -1


def divide(experiment: Experiment) -> DataShares:
    """Load an experiment's data and partition it among its nodes.

    Raises
    ------
    DataError
        For data that is not there, is not numeric, or cannot be partitioned as asked.
    ValueError, CannotMerge
        For a model that cannot be built or averaged: found here, before any process starts.
    """
    model = build_model(experiment)
    data = experiment.data
    source = datasets.load(
        data.name,
        target=data.target,
        sites=data.column if data.partition == "column" else None,
        seed=experiment.seed,
    )
    train, test = split(source, data.test_size, seed=data.split_seed)
    parts = partition(
        train,
        experiment.nodes,
        data.partition,
        alpha=data.alpha,
        shards_per_node=data.shards_per_node,
        min_rows=data.min_rows,
        column=None if train.sites is not None else data.column,
        seed=experiment.seed,
    )
    shares = DataShares(tuple(train.columns), _task(model, train), len(train), sizes=tuple(map(len, parts)))
    try:
        for part in parts:
            shares.nodes.append(pack([train.X[part], train.y[part]]))
        shares.test = pack([test.X, test.y])
        if experiment.evaluation.baseline:
            shares.whole = pack([train.X, train.y, test.X, test.y, np.concatenate(parts), np.array(shares.sizes)])
    except BaseException:
        shares.close()
        raise
    return shares


def _task(model: Model, train: Dataset) -> str:
    classifies = getattr(model, "classifies", None)
    if classifies is None or classifies == (train.task == "classification"):
        return train.task
    if classifies and train.y.dtype.kind == "f" and (len(np.unique(train.y)) > MANY_CLASSES or _fractional(train.y)):
        name = model.describe()["name"].rpartition(".")[2]
        raise DataError(f"model.name: {name} is a classifier, but the target of {train.name} is a quantity")
    return "classification" if classifies else "regression"


def _fractional(y: NDArray[Any]) -> bool:
    return bool((y != np.floor(y)).any())

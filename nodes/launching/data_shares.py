"""Which rows each node gets: load, hold out, partition, and pack each part so that only its node can read it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models import datasets
from nervenet.models.data.data import DataError, rows_of
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.site_model import task_of
from nervenet.models.site_rows import check_targets
from nervenet.models.tables.table import Table

from ..config.factory import build_model
from ..config.schema import is_file_name
from .shared_rows import pack_rows, unpack_rows

if TYPE_CHECKING:
    from nervenet.models.data.data import Dataset, Task
    from nervenet.models.model import Model
    from nervenet.models.tables.table import Kind
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
    majority: float | None = None  # the share of the test rows that have the most frequent label
    classes: tuple[object, ...] | None = None  # of the training rows, of a classification
    sizes: tuple[int, ...] = ()  # rows for training, in the order of `nodes`
    target: str = ""  # the column of a file that is predicted
    notes: tuple[str, ...] = ()  # of how they were read
    kinds: tuple[Kind, ...] | None = None  # of the columns of tables; None: plain numbers

    def test_rows(self) -> tuple[NDArray[Any] | Table, NDArray[Any]] | None:
        """Return the test rows, raw, as a shared memory map; None where there are none."""
        if self.test < 0:
            return None
        [rows], _ = unpack_rows(os.dup(self.test), self.columns, self.kinds)
        return rows

    def close(self) -> None:
        for descriptor in (*self.nodes, self.test, self.whole):
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        self.nodes, self.test, self.whole = [], -1, -1


def load_for(model: Model, experiment: Experiment, sites: str | None = None) -> Dataset:
    """Return an experiment's data set, for the task that the user names, or the model, or else its targets.

    Raises
    ------
    DataError
        For data that is not there, or not what the task or the model needs; it names the file and the place.
    """
    data = experiment.data
    try:
        told = task_of(model, data.task)
    except DataError as error:
        raise DataError(f"data.task = {data.task!r}: {error}") from None
    source = partial(datasets.load, data.name, target=data.target, sites=sites, seed=experiment.seed)
    name = str(model.describe()["name"]).rpartition(".")[2]
    if told is None or data.task:
        return source(task=told)
    # The model alone wants it so: if that does not suit the targets, it is the model that is named.
    if told == "classification" and not is_file_name(data.name) and source().task != told:
        raise DataError(f"model.name: {name} is a classifier, but the target of {data.name} is a quantity")
    try:
        return _suitable(source(task=told), told, name)
    except DataError:
        if told == "regression":
            _suitable(source(), told, name)  # text is refused as such while it is read: this says who wants numbers
        raise


def _suitable(found: Dataset, task: Task, model: str) -> Dataset:
    try:
        check_targets(found.y, task, model)
    except DataError as error:
        raise DataError(f"model.name: {error} ({found.name})") from None
    return found


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
    source = load_for(model, experiment, sites=data.column if data.partition == "column" else None)
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
    shares = DataShares(
        tuple(train.columns),
        train.task,
        len(train),
        sizes=tuple(map(len, parts)),
        target=source.target,
        notes=source.notes,
    )
    if isinstance(train.X, Table):
        shares.kinds = train.X.kinds
    shares.classes = None if train.task == "regression" else tuple(np.unique(train.y).tolist())
    try:
        for part in parts:
            shares.nodes.append(pack_rows((rows_of(train.X, part), train.y[part])))
        shares.test = pack_rows((test.X, test.y))
        if shares.task == "classification" and len(test.y):
            shares.majority = float(np.unique(test.y, return_counts=True)[1].max() / len(test.y))
        if experiment.evaluation.baseline:
            order = (np.concatenate(parts), np.array(shares.sizes))
            shares.whole = pack_rows((train.X, train.y), (test.X, test.y), further=order)
    except BaseException:
        shares.close()
        raise
    return shares

"""Which rows each node gets: load, hold out, partition, and pack each part so that only its node can read it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from nervenet.models import datasets
from nervenet.models.data.data import DataError
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import hold_out, split, split_rows
from nervenet.models.preprocessing import made_up
from nervenet.models.rng import generator
from nervenet.models.site_model import check_weighable, task_of
from nervenet.models.site_rows import check_domain, check_targets
from nervenet.models.stored_inputs import check_in_batches
from nervenet.models.tables.table import Table

from ..config.factory import build_model, node_names
from ..config.schema import DataConfig, is_file_name
from ..config.site_names import site_names
from .learnable import check_classes, check_columns, features_of, large_steps
from .shared_rows import pack_rows, unpack_rows

if TYPE_CHECKING:
    from nervenet.models.data.data import Dataset, Task
    from nervenet.models.data.written import WrittenColumns
    from nervenet.models.model import Model
    from nervenet.models.tables.table import Kind
    from numpy.typing import NDArray

    from ..config.schema import Experiment

    Owners: TypeAlias = NDArray[np.intp] | None
    Divided: TypeAlias = tuple[Dataset, Dataset, list[NDArray[np.intp]], Owners, tuple[str, ...]]
    """Training rows, test rows, which of the former each node gets, whose the latter are, and how they were read."""


@dataclass
class DataShares:
    """The data of a run, as descriptors of anonymous open files."""

    columns: tuple[str, ...]
    task: str
    rows: int  # for training, in all
    nodes: list[int] = field(default_factory=list)  # in name order: X and y of a node's part, and weights if any
    test: int = -1
    # For the baselines: training rows, test rows, the order of all parts and their sizes, and `test_sites` if known.
    whole: int = -1
    majority: float | None = None  # the share of the test rows that have the most frequent label
    classes: tuple[object, ...] | None = None  # of the training rows, of a classification
    sizes: tuple[int, ...] = ()  # rows for training, in the order of `nodes`
    # Whose each test row is, (test rows,), as a place in `nodes`, -1: nobody's. None: all nodes have them in common.
    test_sites: NDArray[np.intp] | None = None
    target: str = ""  # the column of a file that is predicted
    notes: tuple[str, ...] = ()  # of how they were read
    kinds: tuple[Kind, ...] | None = None  # of the columns of tables; None: plain numbers
    weighted: bool = False  # whether weights come with the rows
    features: int = 0  # how many numbers a model sees of a row, as far as that is known before round 0
    written: WrittenColumns = field(default_factory=dict)  # how the files write those columns that say it

    def test_rows(self) -> tuple[Any, ...] | None:
        """Return the test rows (X, y), raw, with their weights if they have some, as a shared memory map; None where
        there are none.
        """
        if self.test < 0:
            return None
        sets, _ = unpack_rows(os.dup(self.test), self.columns, self.kinds, weighted=self.weighted)
        return sets[0] if sets else None

    def close(self) -> None:
        for descriptor in (*self.nodes, self.test, self.whole):
            if descriptor >= 0:
                with suppress(OSError):
                    os.close(descriptor)
        self.nodes, self.test, self.whole = [], -1, -1


def load_for(
    model: Model,
    experiment: Experiment,
    sites: str | None = None,
    file: str | Path | None = None,
    in_memory_mb: float | None = None,
) -> Dataset:
    """Return an experiment's data set, for the task that the user names, or the model, or else its targets.

    `sites` is a column that says where each row was collected, `file` one site's own in place of ``data.name``. Rows
    of a file that would take more than `in_memory_mb` stay on disk; None: none do.

    Raises
    ------
    DataError
        For data that is not there, or not what the task or the model needs; it names the file and the place. For a file
        that is to be read in batches, and a model that trains on all rows at once: before it is read.
    """
    origin = experiment.data.name if file is None else str(file)
    if datasets.stored(origin, in_memory_mb):
        check_in_batches(model, origin)
    found = _loaded(model, experiment, sites, origin, in_memory_mb)
    try:
        check_domain(model, found.y)
        if found.weight is not None:
            check_weighable(model, "weights of rows")
    except DataError as error:
        raise DataError(f"model.name: {error} ({found.name})") from None
    return found


def _loaded(
    model: Model, experiment: Experiment, sites: str | None, origin: str, in_memory_mb: float | None
) -> Dataset:
    data = experiment.data
    try:
        told = task_of(model, data.task)
    except DataError as error:
        raise DataError(f"data.task = {data.task!r}: {error}") from None
    source = partial(
        datasets.load, origin, sites=sites, seed=experiment.seed, options=data.options, in_memory_mb=in_memory_mb
    )
    name = str(model.describe()["name"]).rpartition(".")[2]
    if told is None or data.task:
        return source(task=told)
    # The model alone wants it so: if that does not suit the targets, it is the model that is named.
    if told == "classification" and not is_file_name(origin) and source().task != told:
        raise DataError(f"model.name: {name} is a classifier, but the target of {origin} is a quantity")
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
    """Load an experiment's data and partition it among its nodes, or give each the file of its site.

    Raises
    ------
    DataError
        For data that is not there, is not what it is said to be, or cannot be partitioned as asked.
    ValueError, CannotMerge
        For a model that cannot be built or averaged: found here, before any process starts.
    """
    shares, train, test, parts = divided(experiment)
    try:
        for part in parts:
            shares.nodes.append(pack_rows(train.take(part).arrays))
        shares.test = pack_rows(test.arrays)
        if experiment.evaluation.baseline:
            owners = shares.test_sites
            further = [np.concatenate(parts), np.array(shares.sizes), *(() if owners is None else (owners,))]
            shares.whole = pack_rows(train.arrays, test.arrays, further=further)
    except BaseException:
        shares.close()
        raise
    return shares


def divided(experiment: Experiment) -> tuple[DataShares, Dataset, Dataset, list[NDArray[np.intp]]]:
    """Return what is known of an experiment's data, without open files; the training rows, the test rows, and which of
    the former each node gets. Raises as `divide` does.
    """
    model = build_model(experiment)
    train, test, parts, owners, notes = (_of_sites if experiment.data.sites else _of_one_source)(model, experiment)
    notes += large_steps(train.task, train.X, experiment)
    shares = DataShares(tuple(train.columns), train.task, len(train), sizes=tuple(map(len, parts)), notes=notes)
    shares.test_sites = owners
    shares.written, shares.features = train.written, len(train.columns)
    if experiment.data.preprocess == DataConfig.preprocess:
        shares.features = features_of(train, parts, experiment.data.min_frequency)
    shares.target = train.target  # empty where sites have brought files of their own
    if isinstance(train.X, Table):
        shares.kinds = train.X.kinds
    shares.weighted = train.weight is not None
    shares.classes = None if train.task == "regression" else tuple(np.unique(train.y).tolist())
    if shares.task == "classification" and len(test.y):
        counts = np.bincount(np.unique(test.y, return_inverse=True)[1], test.weight)
        shares.majority = float(np.max(counts) / counts.sum())
    return shares, train, test, parts


def shares_of(rows: Sequence[tuple[Any, ...]], task: Task) -> DataShares:
    """Return the shares of nodes whose rows a program has, in the order of their names: X, an array of numbers, y, and
    all or none with weights. Nothing is held out.
    """
    X, _, *weight = rows[0]
    shares = DataShares(made_up(X.shape[1]), task, sum(len(each[1]) for each in rows), weighted=bool(weight))
    shares.sizes, shares.features = tuple(len(each[1]) for each in rows), X.shape[1]
    if task == "classification":
        shares.classes = tuple(np.unique(np.concatenate([each[1] for each in rows])).tolist())
    try:
        shares.test = pack_rows()
        for each in rows:
            shares.nodes.append(pack_rows(each))
    except BaseException:
        shares.close()
        raise
    return shares


def _of_one_source(model: Model, experiment: Experiment) -> Divided:
    data = experiment.data
    source = load_for(model, experiment, sites=data.column if data.partition == "column" else None)
    if source.task == "classification":
        check_classes([data.name], source.target, source.y)
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
    if is_file_name(data.name):
        _check_columns([data.name], train, parts, experiment)
    owners = _owners(train, test, parts, data.column) if data.partition == "column" else None
    return train, test, parts, owners, source.notes


def _owners(train: Dataset, test: Dataset, parts: Sequence[NDArray[np.intp]], column: str | None) -> Owners:
    """Return at whose site each test row was collected, of rows that were divided by that."""

    def sites(rows: Dataset) -> NDArray[Any] | None:
        return rows.column(column) if column and train.sites is None else rows.sites

    of_train, of_test = sites(train), sites(test)
    if of_train is None or of_test is None:
        return None
    owner = {value: node for node, part in enumerate(parts) for value in np.unique(of_train[part]).tolist()}
    return np.array([owner.get(value, -1) for value in of_test.tolist()], np.intp)


def _of_sites(model: Model, experiment: Experiment) -> Divided:
    """Each site holds out its share of its own rows, which together are the test set."""
    from nervenet.models.tables.pooling import aligned, stacked  # and with it what reads each kind of file

    data = experiment.data
    if not data.test_size:
        raise DataError("data.test_size must lie between 0 and 1, found 0: the test set is what all sites hold out")
    loaded = {site: load_for(model, experiment, file=file) for site, file in site_names(data.sites).items()}
    sites = aligned(loaded, task_of(model, data.task))
    whole = stacked(list(sites.values()), data.label)
    if whole.task == "classification":
        check_classes(data.sites, next(iter(loaded.values())).target, whole.y)
    held = [_held_out(site, one, experiment) for site, one in sites.items()]
    edges = np.cumsum([len(one) for one in sites.values()])[:-1]
    offsets = [0, *edges.tolist()]
    out = np.concatenate([rows + offset for rows, offset in zip(held, offsets, strict=True)])
    if not len(out):
        raise DataError(f"data.test_size = {data.test_size:g}: no site has enough rows to hold one out")
    kept = np.setdiff1d(np.arange(len(whole)), out)
    parts = np.split(np.arange(len(kept)), np.searchsorted(kept, edges))
    notes = tuple(note for one in loaded.values() for note in one.notes)
    owners = np.repeat(np.arange(len(held)), [len(rows) for rows in held])
    train = whole.take(kept)
    _check_columns(data.sites, train, parts, experiment)
    return train, whole.take(out), parts, owners, notes


def _check_columns(
    files: Sequence[str], train: Dataset, parts: Sequence[NDArray[np.intp]], experiment: Experiment
) -> None:
    """Raise DataError where a pipeline of round 0's own would leave all columns out."""
    if experiment.data.preprocess == DataConfig.preprocess and experiment.init is None:
        check_columns(files, train, dict(zip(node_names(experiment), parts, strict=True)))


def _held_out(site: str, rows: Dataset, experiment: Experiment) -> NDArray[np.intp]:
    """Return the rows that a site keeps for the test set of all, in ascending order: those that `split` holds out.

    Where it holds too few rows of some class to be split so, as many of each as there are rows for.
    """
    data = experiment.data
    if len(rows) < data.min_rows:
        raise DataError(
            f"site {site} ({rows.name}) has {len(rows)} rows, and takes part with {data.min_rows} at least "
            "(data.min_rows)"
        )
    with suppress(DataError):  # a class has too few rows
        train, test = split_rows(rows, data.test_size, seed=data.split_seed)
        if len(train) >= data.min_rows:
            return np.sort(test)
    draws, stratify = generator(data.split_seed, "holdout"), rows.task == "classification"
    return hold_out(rows.y, data.test_size, draws, least=data.min_rows, stratify=stratify)

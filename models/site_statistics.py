"""Round 0: the statistics of each site, and the preprocessing that all agree on before any training.

Each site sends the names of its columns, its classes, and how many rows it has with their means and spreads; never a
row. The merge is exact, so that the agreed scales are those of the pooled table. Where neither the user nor the model
says whether the target is labels or a quantity, a site sends what it knows of both, and all sites' facts decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .data.data import EXACT, MANY_CLASSES, Task, few_enough, is_whole
from .data.written import WrittenColumns, merged, written_from_dict, written_to_dict
from .moments import IncompatibleSites, Moments
from .plugins import listed
from .preprocessing import CLIP, Preprocessing, checked_columns
from .targets import Label, checked_classes

Scale = Literal["standard", "unit", "none"]


@dataclass(frozen=True, eq=False)
class SiteStatistics:
    """Columns, classes and moments of one site."""

    columns: tuple[str, ...]  # names of its inputs, in their order
    classes: tuple[Label, ...] | None  # its labels, sorted; None where its targets are quantities
    inputs: Moments
    target: Moments | None  # of its targets, one column; None where they are labels
    written: WrittenColumns = field(default_factory=dict)  # how its file writes those columns that say it

    @classmethod
    def of(
        cls,
        X: NDArray[Any],
        y: NDArray[Any],
        columns: Sequence[str],
        task: Task | None,
        more_labels: NDArray[Any] | None = None,
    ) -> SiteStatistics:
        """Return the statistics of a site's own rows.

        `X` (rows, columns) and `y` (rows,) are raw; the labels of a hold-out, `more_labels`, count as classes, but its
        rows are no part of the moments. Without a `task`, few whole numbers have both classes and moments. Raises
        IncompatibleSites when there are no rows, or a value is not a finite
        number.
        """
        names = checked_columns(list(columns))
        if X.ndim != 2 or X.shape[1] != len(names):
            raise IncompatibleSites(f"X has shape {X.shape}, {len(names)} columns are named ({listed(names)})")
        if len(y) != len(X):
            raise IncompatibleSites(f"X has {len(X)} rows, y has {len(y)}")
        if X.dtype.kind not in "biuf":
            raise IncompatibleSites(f"X holds {X.dtype} values, expected numbers")
        inputs, target, classes = _moments(X, names), None, None
        if task == "regression" or (task is None and y.dtype.kind in "iuf"):
            if y.dtype.kind not in "biuf":
                raise IncompatibleSites(f"the targets are {y.dtype}, regression needs numbers")
            target = _moments(y.reshape(-1, 1), ("target",))
        if task != "regression":
            labels = y if more_labels is None else np.concatenate([y, more_labels])
            if target is None or (is_whole(labels) and len(np.unique(labels)) <= MANY_CLASSES):
                classes = _labels(labels)
        return cls(names, classes, inputs, target)

    def in_order(self, columns: tuple[str, ...]) -> SiteStatistics:
        """Return the same statistics with the columns in this order."""
        if columns == self.columns:
            return self
        order = [self.columns.index(name) for name in columns]
        inputs = Moments(self.inputs.n, self.inputs.mean[order], self.inputs.m2[order])
        return replace(self, columns=columns, inputs=inputs)

    def header(self) -> dict[str, Any]:
        """Return columns and classes as plain values, and how columns are written where there is something to say."""
        classes = None if self.classes is None else list(self.classes)
        return {"columns": list(self.columns), "classes": classes} | written_to_dict(self.written)

    def vector(self) -> NDArray[np.float64]:
        """Return the moments as one vector: n, means, sums of squares, and the target's mean and sum of squares."""
        parts = [np.array([self.inputs.n]), self.inputs.mean, self.inputs.m2]
        if self.target is not None:
            parts += [self.target.mean, self.target.m2]
        return np.concatenate(parts)

    @classmethod
    def from_parts(cls, header: Mapping[str, Any], vector: NDArray[Any]) -> SiteStatistics:
        """Return the statistics that another site sent as `header` and `vector`.

        Raises IncompatibleSites for whatever an honest site would not have sent: other keys or types, a wrong length,
        values that are not finite, a count below 1, negative squares.
        """
        if not isinstance(header, Mapping) or set(header) - {"written"} != {"columns", "classes"}:
            raise IncompatibleSites("the header of a site's statistics has columns and classes, and nothing else")
        columns = checked_columns(header["columns"])
        classes = None if header["classes"] is None else checked_classes(header["classes"])
        width = len(columns)
        length = 1 + 2 * width
        has_target = classes is None or vector.shape == (length + 2,)
        length += 2 if has_target else 0
        if vector.dtype != np.float64 or vector.shape != (length,):
            raise IncompatibleSites(
                f"the statistics of {width} columns are {length} numbers of float64, "
                f"found shape {vector.shape} of {vector.dtype}"
            )
        own = vector.copy()  # what arrives is a view of a message
        n, mean, m2, rest = own[0], own[1 : 1 + width], own[1 + width : 1 + 2 * width], own[1 + 2 * width :]
        target = Moments(float(n), rest[:1], rest[1:]) if has_target else None
        try:
            written = written_from_dict(header, columns)
        except ValueError as error:
            raise IncompatibleSites(str(error)) from None
        return cls(columns, classes, Moments(float(n), mean, m2), target, written)

    def limited(self, rows: int | None) -> SiteStatistics:
        """Return the same means and spreads with the weight of `rows` rows at most; None: no limit."""
        if rows is None or self.inputs.n <= rows:
            return self
        target = None if self.target is None else self.target.limited(rows)
        return replace(self, inputs=self.inputs.limited(rows), target=target)


def agree(sites: Mapping[str, SiteStatistics], scale: Scale = "standard", task: Task | None = None) -> Preprocessing:
    """Return the preprocessing of all sites: their statistics merged in the order of their names.

    Parameters
    ----------
    sites
        The statistics of each site, by its name.
    scale
        "standard": zero mean and unit variance over all rows of all sites, cut at 5 standard deviations.
        "unit": divided by the root mean square and cut, but not centered, so that zeros stay zeros.
        "none": inputs and targets as they are.
        Regression targets are standardized under both "standard" and "unit". Constant columns keep their scale.
    task
        What the user or the model says that the target is; None: `agreed_task` decides.

    Raises IncompatibleSites: sites differ in their columns, their kind of labels or their task, naming the site; there
    are fewer than two classes; `scale` is unknown.
    """
    if not sites:
        raise IncompatibleSites("no site has sent its statistics")
    if scale not in ("standard", "unit", "none"):
        raise IncompatibleSites(f"scale {scale!r} is unknown; allowed: standard, unit, none")
    ordered = {site: sites[site] for site in sorted(sites)}
    columns = agreed_columns(ordered)
    ordered = {site: statistics.in_order(columns) for site, statistics in ordered.items()}
    classes = agreed_classes(ordered, task or agreed_task(ordered.values()))
    inputs = reduce(Moments.merge, (statistics.inputs for statistics in ordered.values()))
    written = merged(statistics.written for statistics in ordered.values())
    zeros, ones = np.zeros(len(columns)), np.ones(len(columns))
    if scale == "none":
        return Preprocessing(columns, classes, zeros, ones, clip=None, written=written)
    if scale == "unit":
        center, spread = zeros, np.hypot(inputs.mean, inputs.deviation)
    else:
        center, spread = inputs.mean, inputs.deviation
    if classes is not None:
        return Preprocessing(columns, classes, center, _or_one(spread), CLIP, written=written)
    target = reduce(Moments.merge, (known.target for known in ordered.values() if known.target is not None))
    of_target = (float(target.mean[0]), float(_or_one(target.deviation)[0]))
    return Preprocessing(columns, classes, center, _or_one(spread), CLIP, *of_target, written)


def agreed_task(sites: Collection[SiteStatistics]) -> Task:
    """Return what the targets of all sites together are, where nobody said it.

    A site that can only have labels, or only quantities, settles it; else whole numbers are labels where all sites
    together have `few_enough` of them.
    """
    settled = Counter(
        "regression" if site.classes is None else "classification"
        for site in sites
        if site.classes is None or site.target is None
    )
    if settled:
        return "regression" if settled["regression"] >= settled["classification"] else "classification"
    distinct = {label for site in sites for label in site.classes or ()}
    few = few_enough(len(distinct), sum(site.inputs.n for site in sites))
    return "classification" if few else "regression"


def agreed_columns(sites: Mapping[str, SiteStatistics]) -> tuple[str, ...]:
    """Return the columns that most sites have, in the order that most of those have; or name a site that has others."""
    [(usual, _)] = Counter(frozenset(statistics.columns) for statistics in sites.values()).most_common(1)
    orders = Counter(statistics.columns for statistics in sites.values() if usual == frozenset(statistics.columns))
    columns = orders.most_common(1)[0][0]
    for site, statistics in sites.items():
        found = statistics.columns
        lacks, adds = (
            [name for name in one if name not in other] for one, other in ((columns, found), (found, columns))
        )
        if lacks or adds:
            parts = [f"{verb} {listed(names)}" for verb, names in (("lacks", lacks), ("adds", adds)) if names]
            raise IncompatibleSites(
                f"site {site} has {len(found)} columns, the others have {len(columns)} ({listed(columns)}): "
                f"it {' and '.join(parts)}",
                site,
            )
    return columns


def agreed_classes(sites: Mapping[str, SiteStatistics], task: Task) -> tuple[Label, ...] | None:
    """Return the union of all classes, or name the first site whose targets are of another kind than most have."""
    kinds = {site: _kind(statistics, task) for site, statistics in sites.items()}
    [(usual, _)] = Counter(kinds.values()).most_common(1)
    for site, kind in kinds.items():
        if kind != usual:
            example = next(other for other in sites if kinds[other] != kind)
            own, others = (f" ({listed(c)})" if (c := sites[s].classes) else "" for s in (site, example))
            raise IncompatibleSites(f"site {site} has {kind}{own} as targets; the others have {usual}{others}", site)
    if usual == "quantities":
        if task == "classification":
            raise IncompatibleSites("the task is classification, but all sites have quantities as targets")
        return None
    if task == "regression":
        raise IncompatibleSites(f"the task is regression, but all sites have {usual} as targets")
    union: set[Any] = {label for statistics in sites.values() for label in statistics.classes or ()}
    if len(union) < 2:
        one = listed(list(union))
        raise IncompatibleSites(f"all sites together have one class only ({one}); two are needed to learn")
    # One fraction among whole numbers makes all of them floats, whichever site came first.
    if usual == "number labels" and any(label != int(label) for label in union):
        union = {float(label) for label in union}
    elif usual == "number labels":
        union = {int(label) for label in union}
    return tuple(sorted(union))


def _kind(statistics: SiteStatistics, task: Task) -> str:
    if statistics.classes is None or (task == "regression" and statistics.target is not None):
        return "quantities"
    return "text labels" if isinstance(statistics.classes[0], str) else "number labels"


def _moments(X: NDArray[Any], columns: Sequence[str]) -> Moments:
    try:
        return Moments.of(X)
    except IncompatibleSites:
        bad = np.argwhere(~np.isfinite(X))
        if not len(bad):
            raise
        row, place = bad[0]
        raise IncompatibleSites(
            f'row {row}, column "{columns[place]}": found {X[row, place]}, expected a finite number'
        ) from None


def _labels(y: NDArray[Any]) -> tuple[Label, ...]:
    if y.dtype.kind == "O" and not all(isinstance(label, str) for label in y):
        raise IncompatibleSites("labels must be all numbers or all text")
    values = y.astype(np.str_) if y.dtype.kind == "O" else y.astype(np.int64) if y.dtype.kind == "b" else y
    # A float of 1.0 and an integer of 1 are one label, whichever kind of file a site has.
    if values.dtype.kind == "f" and is_whole(values) and (np.abs(values) <= EXACT).all():
        values = values.astype(np.int64)
    if values.dtype.kind not in "iufU" or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise IncompatibleSites(f"labels must be finite numbers or text, found {y.dtype}")
    return checked_classes(np.unique(values).tolist())


def _or_one(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Leave a constant column, which has no spread to divide by, in its own unit."""
    return np.where(spread > 0, spread, 1.0)

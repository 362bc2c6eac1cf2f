"""Summed families: models whose flat vector is what the rows of all sites add up to.

The vector is ``[parameters | sums]``. A site's training puts the sums of its own rows into it; the mean over the sites,
each counting once, is the N-th part of the sums of all rows, and what `fit` makes of those rows is solved from them. As
one more of the sums is the number of rows, and that of all sites is known from round 0, nobody has to know N.

An offset costs no digits: inputs and targets are taken from a common center, the `anchor` that round 0 has found,
before anything is squared (Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", section 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..base import FitJob
from ..data.prepared import Inputs
from ..model import CannotMerge, Capability, FitReport
from ..new_vector import laid_out
from ..weights import Array, Layout, Vector
from .adapters import Adapter

ELEMENTS = 1 << 20
"""Of the inputs that are looked at together: 8 MiB."""

Arrays = dict[str, Array]
Shapes = dict[str, tuple[int, ...]]


class NoSum(CannotMerge):
    """A setting that sums over rows do not reach."""

    def __init__(self, what: str, why: str) -> None:
        TypeError.__init__(self, f"{what} does not follow from sums over rows: {why}")


class Block(NamedTuple):
    """Some rows of a site, one after another."""

    X: Array  # (rows, columns), float64, from the anchor
    y: Array  # (rows,): class indices, or targets from their anchor
    weight: Array  # (rows,), float64
    first: int  # the place of the first of them among the site's rows


class StatisticsAdapter(Adapter):
    """An estimator that is solved from sums over rows. A family says which, and sets what `fit` would.

    It defines `statistic_shapes`, `statistics` and `finish`; one that takes several rounds `parameter_shapes` and
    `step`, too, and sets `one_round` to False. `refusal` names a setting that the sums do not reach.

    Attributes
    ----------
    summed : bool
        True: sites count alike in a mean of such models, whatever their rows, and nothing but a plain mean makes sense.
    one_round : bool
        Whether the sums do not depend on parameters, so that one exchange settles all.
    centered : bool
        Whether inputs and targets are taken from the anchor; else as they are.
    idle : mapping
        Why each of those parameters of the estimator has no effect here that have none.
    """

    summed: ClassVar[bool] = True
    one_round: bool = True
    centered: bool = True
    capabilities = frozenset[Capability]({"sample_weight"})
    in_batches = True
    idle: ClassVar[Mapping[str, str]] = {}

    def __init__(self, given: Any, path: str) -> None:
        super().__init__(given, path)
        refused = self.refusal()
        if refused is not None:
            parameter, why = refused
            raise NoSum(f"{self.name} with {parameter}={getattr(given, parameter)!r}", why)
        self.vector: Vector = np.zeros(0)
        self._solved = False

    # What a family defines.

    def refusal(self) -> tuple[str, str] | None:
        """Return the parameter of `given` that sums cannot honor, and why; None if all can be."""
        return None

    def parameter_shapes(self, n_features: int, n_classes: int | None) -> Shapes:  # noqa: ARG002
        """Return the shape of each parameter by name; they are zero at the start."""
        return {}

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        """Return the shape of each sum by name."""
        raise NotImplementedError

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        """Return the sums over some rows, by weight, at these parameters."""
        raise NotImplementedError

    def step(self, parameters: Arrays, sums: Arrays) -> Arrays:  # noqa: ARG002
        """Return the next parameters, which all sites find alike from the sums of all rows at the present ones."""
        return parameters

    def finish(self, parameters: Arrays, sums: Arrays) -> None:
        """Set the fitted attributes of `working`, as scikit-learn names them, from the sums of all rows."""
        raise NotImplementedError

    def loss(self, sums: Arrays) -> float:  # noqa: ARG002
        """Return the mean training loss that this site's own sums say; NaN where they say none."""
        return nan

    # What it gets from here.

    def shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        """Return the shape of each array by name, in the vector's order."""
        anchors: Shapes = {"anchor": (n_features,)} if self.centered else {}
        if self.centered and n_classes is None:
            anchors["target_anchor"] = (1,)
        own = self.parameter_shapes(n_features, n_classes)
        counts: Shapes = {"rows": (1,), "weight": (1,)}
        found: Shapes = {}
        for part in ({"total": (1,)}, anchors, own, counts, self.statistic_shapes(n_features, n_classes)):
            if twice := found.keys() & part.keys():
                raise TypeError(f"{self.name}: the name {min(twice)!r} is that of two arrays of its vector")
            found |= part
        return found

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:  # noqa: ARG002
        from sklearn.base import clone

        self.set_task(n_features, n_classes)
        shapes = self.shapes(n_features, n_classes)
        self._layout = Layout(tuple(shapes), tuple(shapes.values()), self.dtype)
        self.vector = np.zeros(self._layout.size)
        self.working, self._solved = clone(self.given), False
        return self._layout

    def anchor(self, rows: float, center: ArrayLike, target_center: float) -> None:
        """Take over what round 0 knows of the prepared rows of all sites: how many, and about where they lie."""
        arrays = self.arrays
        arrays["total"][0] = rows
        if self.centered:
            arrays["anchor"][:] = center
        if "target_anchor" in arrays:
            arrays["target_anchor"][0] = target_center

    @property
    def arrays(self) -> Arrays:
        """The arrays of the vector by name, views of it: made anew, so that they are also those of a copy."""
        return self.layout.views(self.vector)

    def get_weights(self) -> Vector:
        self.layout  # noqa: B018 - raises before build()
        return laid_out([self.vector])

    def set_weights(self, vector: Vector) -> None:
        self.layout.check(vector)
        self.vector[:] = vector
        self._solved = False

    @property
    def begun(self) -> bool:
        """Whether there are sums of any rows."""
        return bool(self.arrays["rows"][0] > 0)

    @property
    def center(self) -> Array:
        """What was subtracted from the inputs, shape (columns,)."""
        return self.arrays["anchor"] if self.centered else np.zeros(self.n_features)

    @property
    def target_center(self) -> float:
        """What was subtracted from the targets."""
        return float(self.arrays["target_anchor"][0]) if "target_anchor" in self.layout.names else 0.0

    def parameters(self) -> Arrays:
        """Return copies of the family's own parameters, by name."""
        arrays = self.arrays
        return {name: arrays[name].copy() for name in self.parameter_shapes(self.n_features, self.n_classes)}

    def sums(self) -> Arrays:
        """Return the sums by name, ``rows`` and ``weight`` too: those of all rows, if all sites are in the mean."""
        arrays = self.arrays
        total, rows = arrays["total"][0], arrays["rows"][0]
        scale = total / rows if total > 0 and rows > 0 else 1.0
        return {name: arrays[name] * scale for name in self._sum_names()}

    def _sum_names(self) -> tuple[str, ...]:
        return "rows", "weight", *self.statistic_shapes(self.n_features, self.n_classes)

    def run(self, job: FitJob) -> FitReport:
        """Take the step that the present sums call for, if there are any, and put this site's own in their place."""
        parameters = self.parameters()
        if self.begun and parameters:
            parameters = self.step(parameters, self.sums())
        found = self._sums_of(job, parameters)
        if found is None:
            return FitReport(nan, len(job.X), 0, True)
        arrays = self.arrays
        for name, array in (parameters | found).items():
            arrays[name][...] = array
        self._solved = False
        return FitReport(self.loss(found), len(job.X), 1, False)

    def _sums_of(self, job: FitJob, parameters: Arrays) -> Arrays | None:
        """Return the sums over a site's rows; None if `job.stop` ended it.

        Those of one block after another are added with the rounding of each addition carried to the next (Kahan 1965).
        """
        names = self._sum_names()
        total: list[Array] = []
        lost: list[Array] = []
        for block in self.blocks(job.X, job.y, job.sample_weight):
            if job.stop():
                return None
            sums = self.statistics(block, parameters)
            sums |= {"rows": np.array([len(block.X)], np.float64), "weight": block.weight.sum(keepdims=True)}
            terms = [np.asarray(sums[name], np.float64) for name in names]
            if not total:
                total, lost = terms, [np.zeros_like(term) for term in terms]
                continue
            for place, term in enumerate(terms):
                term = term - lost[place]
                grown = total[place] + term
                lost[place] = (grown - total[place]) - term
                total[place] = grown
        return dict(zip(names, total, strict=True))

    def blocks(self, X: Inputs, y: Array, weight: Array | None) -> Iterator[Block]:
        """Yield a site's rows, some at a time, from the anchor."""
        size = max(1, ELEMENTS // self.n_features)
        center, target_center = self.center, self.target_center
        for start in range(0, len(X), size):
            rows = slice(start, start + size)
            inputs, targets = X[rows], y[rows]
            if center.any():
                inputs = inputs - center
            if target_center:
                targets = targets - target_center
            own = np.ones(len(inputs)) if weight is None else weight[rows]
            yield Block(inputs, targets, own, start)

    def solve(self) -> bool:
        """Make `working` what the present sums say; False where there are none yet."""
        if not self.begun:
            return False
        if not self._solved:
            self.working.n_features_in_ = self.n_features
            if self.n_classes is not None:
                self.working.classes_ = np.arange(self.n_classes)
            with np.errstate(all="ignore"):
                self.finish(self.parameters(), self.sums())
            self._solved = True
        return True

    @property
    def estimator(self) -> Any:
        if not self.solve():
            raise RuntimeError(f"{self.name} has no sums of any rows yet")
        return super().estimator

    def predict(self, X: Array) -> Array:
        """Return class indices, or targets; before there are sums, those of nothing learned: zeros."""
        if not self.solve():
            return np.zeros(len(self.checked(X)), np.int64 if self.classifies else np.float64)
        return super().predict(X)

    def probabilities(self, X: Array) -> Array | None:
        if not hasattr(self.working, "predict_proba"):
            return None
        if not self.solve():
            return np.full((len(self.checked(X)), self.n_classes or 1), 1 / (self.n_classes or 1))
        return super().probabilities(X)


def whole(counts: Array) -> Array:
    """Return numbers without the rounding of a mean over sites, where they are whole numbers but for that."""
    near = np.rint(counts)
    return np.where(np.abs(counts - near) <= 1e-9 * np.maximum(1.0, np.abs(near)), near, counts)

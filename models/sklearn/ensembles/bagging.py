"""BaggingClassifier and BaggingRegressor: as many models side by side, each of which is averaged over the sites.

Member b of every site has the same columns and the same start; at each site it trains on a sample of that site's rows,
drawn once and for all rounds. So member b of the mean has learned from a sample of the rows of all sites, in which each
site has its share: what bagging is for one table (Breiman 1996, "Bagging predictors"), stratified by site.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...base import FitJob, plain
from ...data.row_weights import relative
from ...model import CannotMerge, Capability, FitReport, Model
from ...own_questions import asks
from ...rng import generator
from ...weights import Array, Layout, Vector
from ..adapters import Adapter
from ..fitted_pipeline import forget_training
from .forest import check_unset

CLOCK = "t"
"""Of the schedules of all members, which take the same steps."""


OF_MEMBERS = {
    "oob_score": "the rows that a member has not seen are at its site; data.test_size keeps some of all sites",
    "warm_start": "the number of members is the model's size, and cannot grow",
}


class BaggingAdapter(Adapter):
    """BaggingClassifier. `as_model` is what makes a model of each member."""

    in_batches = False
    of_models = True  # what its constructor is told by the registry

    def __init__(self, given: Any, path: str, as_model: Callable[[object], Model]) -> None:
        from sklearn.base import clone

        super().__init__(given, path)
        self._refuse()
        self.members: list[Any] = [as_model(clone(given.estimator)) for _ in range(given.n_estimators)]
        first = self.members[0]
        if not isinstance(first, Adapter) or asks(first) or getattr(first, "summed", False):
            raise CannotMerge(
                f"{self.name} of {type(given.estimator).__name__}",
                "its members are averaged, and copies of this one are not",
            )
        if first.classifies is not self.classifies:
            kind = "classifier" if self.classifies else "regressor"
            raise CannotMerge(f"{self.name} of {first.name}", f"the members of this one must each be a {kind}")
        self.capabilities = first.capabilities & frozenset[Capability]({"sample_weight"})
        self.features: list[NDArray[np.int64]] = []  # the columns that each member sees
        self._seed = 0
        self._drawn: tuple[Array, list[NDArray[np.int64]]] | None = None  # the rows of each, for inputs that were seen

    def _refuse(self) -> None:
        given = self.given
        check_unset(self.name, given, OF_MEMBERS)
        if given.estimator is None:
            raise CannotMerge(
                f"{self.name} of trees",
                "two trees have no parameters that line up; a RandomForest with max_features=None is a bag of them",
            )
        if isinstance(given.max_samples, int) and not isinstance(given.max_samples, bool):
            raise CannotMerge(
                f"{self.name} with max_samples={given.max_samples!r}",
                "sites have rows of different numbers; give a share, such as 0.5",
            )

    def describe(self) -> dict[str, Any]:
        """Return import path and parameters, the member's described likewise."""
        own = self.given.get_params(deep=False)
        parameters = {name: plain(value) for name, value in own.items() if name not in ("random_state", "estimator")}
        return {"name": self.path, "parameters": {"estimator": self.members[0].describe(), **parameters}}

    def chosen_parameters(self) -> dict[str, Any]:
        """Return what is not the default of the class, the member's likewise; an experiment file cannot say None."""
        first = self.members[0]
        own = {key: "none" if value is None else value for key, value in first.chosen_parameters().items()}
        return super().chosen_parameters() | {"estimator": {"name": first.path, "parameters": own}}

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:
        self.set_task(n_features, n_classes)
        self._seed, self._drawn = int(rng.integers(2**62)), None
        width = self._width(n_features)
        self.features = []
        names: list[str] = []
        shapes: list[tuple[int, ...]] = []
        for place, member in enumerate(self.members):
            columns = np.arange(n_features)
            if width < n_features or self.given.bootstrap_features:
                draw = generator(self._seed, "columns", place)
                columns = draw.choice(n_features, width, replace=self.given.bootstrap_features)
            self.features.append(columns)
            layout = member.build(width, n_classes, generator(self._seed, "init", place))
            names += [f"{place}.{name}" for name in layout.names]
            shapes += layout.shapes
        self._layout = Layout(tuple(names), tuple(shapes), self.dtype)
        return self._layout

    def _width(self, n_features: int) -> int:
        wanted = self.given.max_features
        width = max(1, int(wanted * n_features)) if isinstance(wanted, float) else int(wanted)
        if width > n_features:
            raise ValueError(f"max_features is {wanted}, and there are {n_features} columns")
        return width

    def get_weights(self) -> Vector:
        self.layout  # noqa: B018 - raises before build()
        return np.concatenate([member.get_weights() for member in self.members])

    def set_weights(self, vector: Vector) -> None:
        self.layout.check(vector)
        for member, part in zip(self.members, np.split(vector, len(self.members)), strict=True):
            member.set_weights(part)

    def get_state(self, *, moments: bool = True) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for place, member in enumerate(self.members):
            state = member.get_state(moments=moments)
            found |= {CLOCK if name == CLOCK else f"{place}/{name}": array for name, array in state.items()}
        return found

    def set_state(self, state: Mapping[str, Array]) -> None:
        clock = {CLOCK: state[CLOCK]} if CLOCK in state else {}
        for place, member in enumerate(self.members):
            prefix = f"{place}/"
            own = {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}
            member.set_state(own | clock)

    def run(self, job: FitJob) -> FitReport:
        losses, steps = [], 0
        for member, rows, columns in zip(self.members, self.rows(job), self.features, strict=True):
            weight = {} if job.sample_weight is None else {"sample_weight": relative(job.sample_weight[rows])}
            rng = np.random.default_rng(job.rng.integers(2**63, size=2))
            X = np.ascontiguousarray(job.X[rows][:, columns])
            report = member.fit(X, job.y[rows], job.work, rng, job.stop, **weight)
            losses.append(report.loss)
            steps += report.steps
            if report.cancelled:
                return FitReport(float(np.mean(losses)), len(job.X), steps, True)
        return FitReport(float(np.mean(losses)), len(job.X), steps, False)

    def rows(self, job: FitJob) -> list[NDArray[np.int64]]:
        """Return each member's sample of a site's rows: the same in every round, and others at another site.

        They are drawn by the digest of the rows, so that nothing has to be kept from round to round.
        """
        if self._drawn is not None and self._drawn[0] is job.X:
            return self._drawn[1]
        digest = blake2b(np.ascontiguousarray(job.X).data, digest_size=16)
        digest.update(np.ascontiguousarray(job.y).data)
        n = len(job.X)
        share = 1.0 if self.given.max_samples is None else float(self.given.max_samples)
        count = max(1, int(share * n))
        found = [np.arange(n)] * len(self.members)
        if self.given.bootstrap or count < n:
            draws = [generator(self._seed, digest.hexdigest(), place) for place in range(len(self.members))]
            found = [np.sort(draw.choice(n, count, replace=self.given.bootstrap)) for draw in draws]
        self._drawn = job.X, found
        return found

    def predict(self, X: Array) -> Array:
        if not self.classifies:
            X = self.checked(X)
            found = [member.predict(np.ascontiguousarray(X[:, columns])) for member, columns in self._each()]
            return np.asarray(np.mean(found, axis=0), np.float64)
        shares = np.asarray(self.probabilities(X))  # a classifier has some
        return np.asarray(np.argmax(shares, axis=1), np.int64)

    def probabilities(self, X: Array) -> Array | None:
        """Return the mean of the members' probabilities, or the shares of their votes where they have none."""
        if not self.classifies:
            return None
        X = self.checked(X)
        total = np.zeros((len(X), self.n_classes or 0))
        for member, columns in self._each():
            inputs = np.ascontiguousarray(X[:, columns])
            found = member.probabilities(inputs)
            total += np.eye(total.shape[1])[member.predict(inputs)] if found is None else found
        return total / len(self.members)

    def _each(self) -> list[tuple[Any, NDArray[np.int64]]]:
        return list(zip(self.members, self.features, strict=True))

    @property
    def estimator(self) -> Any:
        """A fitted copy with the user's own parameters; its `classes_` are indices, for the caller to replace."""
        from sklearn.base import clone

        self.layout  # noqa: B018 - raises before build()
        exported = clone(self.given)
        exported.estimator_ = clone(self.given.estimator)
        exported.estimators_ = [member.estimator for member in self.members]
        for member in exported.estimators_:
            forget_training(member)
        exported.estimators_features_ = [columns.copy() for columns in self.features]
        exported.n_features_in_ = self.n_features
        if self.n_classes is not None:
            exported.classes_, exported.n_classes_ = np.arange(self.n_classes), self.n_classes
        return exported


class BaggingRegressorAdapter(BaggingAdapter):
    """BaggingRegressor."""

    classifies = False

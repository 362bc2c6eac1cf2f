"""RandomForest and ExtraTrees: the union of forests that the sites have grown, each on its own rows, in round 0.

A site grows its share of `n_estimators` by its rows, one tree at least. All nodes hold the same union, in the order of
the sites' names, from round 0 on, and a `fit` leaves it as it is. Its probabilities, or targets, are the mean over all
trees: that of the sites' forests, weighted by the number of their trees.

After `share_trees` all sites grow every tree together instead: see `shared_trees`.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any, ClassVar

import numpy as np

from ...agreement.asked import Field, MalformedQuestion, check_fields, is_map, is_whole
from ...agreement.questions import Answer, Question, Questions
from ...base import FitJob
from ...model import CannotMerge, Capability, FitReport, LocalUnsupported
from ...moments import IncompatibleSites
from ...own_questions import OwnRows, Settled, Sites
from ...rng import generator
from ...weights import Array, IncompatibleWeights, Layout, Vector
from ..adapters import Adapter
from .fitted import fitted_forest, trees_of
from .growth import growth_of, unshared
from .shared_trees import PARTS, shared_answer, shared_questions
from .trees import MalformedTrees, Trees, forest_layout, single_leaves

ASK = "trees"
ROUNDING = 1e-12
SMALLER = "give a smaller max_depth or n_estimators, or a larger min_samples_leaf"

OF_TREES = {
    "oob_score": "the rows that a tree has not seen are at its site; data.test_size keeps some of all sites",
    "warm_start": "its trees are grown once, in round 0, and no later fit adds any",
}
POISSON = "it wants targets of at least 0, and here they are standardized"

_FIELDS = {
    "ask": Field(f"'{ASK}'", lambda found: found == ASK),
    "trees": Field(
        "a number of trees for each site",
        lambda found: is_map(found) and all(map(is_whole(1, 1 << 24), found.values())),
    ),
    "seed": Field("a whole number", is_whole(-(2**63), 2**64 - 1)),
    "most": Field("a whole number", is_whole(1, 2**53)),
}


class ForestAdapter(Adapter):
    """RandomForestClassifier and ExtraTreesClassifier."""

    in_batches = False
    grown: ClassVar[bool] = True
    """All there is to learn is learned in round 0."""

    capabilities = frozenset[Capability]({"sample_weight"})

    def __init__(self, given: Any, path: str) -> None:
        super().__init__(given, path)
        check_unset(self.name, given, OF_TREES)
        if given.criterion == "poisson":
            raise CannotMerge(f"{self.name} with criterion='poisson'", POISSON)
        self._shape: dict[str, int] = {"trees": 1, "nodes": 1}
        self._trees: Trees | None = None
        self._vector: Vector = np.zeros(0)
        self._told = False  # whether its trees are those of the sites
        self.shared = False  # whether every tree is to be grown by all sites

    def share_trees(self) -> None:
        """Have all sites grow every tree together, from counts of their rows. Raises CannotMerge for what counts cannot
        say.
        """
        for why in unshared(self.given):
            raise CannotMerge(f"{self.name} with training.trees = 'shared'", why)
        self.shared, self.capabilities = True, frozenset()

    def questions(self, sites: Sites) -> Questions[Settled]:
        self._check(sites)
        if self.shared:
            growth = growth_of(self.given, sites.n_features, sites.n_classes, sum(sites.rows.values()))
            union = yield from shared_questions(growth, self.given.n_estimators, sites)
        else:
            shares = shares_of(self.given.n_estimators, sites.rows)
            answers = yield {"ask": ASK, "trees": shares, "seed": sites.seed, "most": sites.most_numbers}
            union = Trees.joined([_grown(site, answer, shares[site], sites) for site, answer in answers.items()])
        vector = union.to_vector()
        check_size("the forest of all sites", union, len(vector), sites.most_numbers)
        return Settled(union.shape, vector)

    def answer(self, question: Question, rows: OwnRows) -> Answer:
        if question["ask"] in PARTS:
            return self._counts(question, rows)
        check_fields(f"the question '{ASK}'", question, _FIELDS)
        if rows.site not in question["trees"]:
            raise MalformedQuestion(f"the question '{ASK}' has no number of trees for this site, {rows.site}")
        total, own = sum(question["trees"].values()), self.given.n_estimators
        if total != own:
            raise MalformedQuestion(f"the question '{ASK}' is for {total} trees; the model of this site has {own}")
        trees = trees_of(self._grow(int(question["trees"][rows.site]), int(question["seed"]), rows), rows.n_classes)
        vector = trees.to_vector()
        check_size("the forest of this site", trees, len(vector), int(question["most"]))
        return Answer(trees.shape, vector)

    def _counts(self, question: Question, rows: OwnRows) -> Answer:
        """Return what this site counts for trees that all grow together."""
        for why in unshared(self.given):
            raise MalformedQuestion(f"{self.name}, the model of this site, grows no trees with others: {why}")
        if rows.weight is not None:
            raise IncompatibleSites(f"{self.name} with training.trees = 'shared' takes no weights of rows or classes")
        return shared_answer(question, rows, growth_of(self.given, rows.X.shape[1], rows.n_classes, len(rows.y)))

    def set_shape(self, shape: Mapping[str, int] | None) -> None:
        found = dict(shape or {"trees": 1, "nodes": 1})
        if set(found) != {"trees", "nodes"}:
            raise IncompatibleSites(f"the shape of a forest has trees and nodes, found {sorted(found)}")
        self._shape = found

    def build(self, n_features: int, n_classes: int | None, rng: np.random.Generator) -> Layout:  # noqa: ARG002
        self.set_task(n_features, n_classes)
        width = n_classes or 1
        try:
            self._trees = single_leaves(**self._shape, width=width)
        except MalformedTrees as error:
            raise IncompatibleSites(str(error)) from error
        self._layout = forest_layout(**self._shape, width=width)
        self._vector, self.working, self._told = self._trees.to_vector(), None, False
        return self._layout

    def get_weights(self) -> Vector:
        self.layout  # noqa: B018 - raises before build()
        return self._vector.copy()

    def set_weights(self, vector: Vector) -> None:
        self.layout.check(vector)
        told, self._told = self._told, True
        if told and np.allclose(vector, self._vector, rtol=ROUNDING, atol=ROUNDING):
            return  # a mean of its copies, which is the same forest to the last bit
        try:
            self._trees = Trees.from_vector(vector, self.layout, self.n_features, self.n_classes)
        except MalformedTrees as error:
            raise IncompatibleWeights("values", f"the weights are no forest: {error}") from error
        self._vector, self.working = self._trees.to_vector(), None

    def run(self, job: FitJob) -> FitReport:
        """Leave the forest as it is: its trees were grown in round 0.

        Raises LocalUnsupported where nobody has told this node which they are: a mean with what it holds in their place
        would be no forest.
        """
        if not self._told:
            raise LocalUnsupported(self.name, "its trees were grown in round 0, and nobody has sent them to this node")
        return FitReport(nan, len(job.X), 0, job.stop())

    def predict(self, X: Array) -> Array:
        self._restore()
        return super().predict(X)

    def probabilities(self, X: Array) -> Array | None:
        self._restore()
        return super().probabilities(X)

    @property
    def estimator(self) -> Any:
        """A fitted forest with the user's own parameters; its `classes_` are indices, for the caller to replace."""
        self.layout  # noqa: B018 - raises before build()
        return fitted_forest(self.given, self._trees, self.n_features, self.n_classes)  # type: ignore[arg-type]

    def _restore(self) -> None:
        if self.working is None:
            self.working = self.estimator

    def _grow(self, trees: int, seed: int, rows: OwnRows) -> Any:
        from sklearn.base import clone

        draw = int(generator(seed, rows.site, ASK).integers(2**31))
        forest = clone(self.given).set_params(n_estimators=trees, random_state=draw)
        try:
            return forest.fit(rows.X, rows.y, sample_weight=rows.weight)
        except ValueError as error:
            raise IncompatibleSites(f"{self.name} cannot be fitted on {len(rows.y)} rows: {error}") from error

    def _check(self, sites: Sites) -> None:
        """Raise IncompatibleSites for what can be known of the sites before a tree is grown."""
        wanted = self.given.n_estimators
        if wanted < len(sites.rows) and not self.shared:
            raise IncompatibleSites(
                f"{self.name} has {wanted} trees for {len(sites.rows)} sites, each of which grows one at least: "
                f"n_estimators must be at least {len(sites.rows)}"
            )
        signs = getattr(self.given, "monotonic_cst", None)
        if signs is None:
            return
        if len(signs) != sites.n_features:
            raise IncompatibleSites(
                f"monotonic_cst has {len(signs)} signs; a model sees {sites.n_features} columns, once they are prepared"
            )
        if (sites.n_classes or 0) > 2:
            raise IncompatibleSites(f"monotonic_cst is for two classes; all sites together have {sites.n_classes}")


class ForestRegressorAdapter(ForestAdapter):
    """RandomForestRegressor and ExtraTreesRegressor."""

    classifies = False


def check_unset(name: str, given: Any, reasons: Mapping[str, str]) -> None:
    """Raise CannotMerge for a parameter that is set, and why it cannot be honored."""
    for parameter, why in reasons.items():
        if getattr(given, parameter):
            raise CannotMerge(f"{name} with {parameter}={getattr(given, parameter)!r}", why)


def shares_of(trees: int, rows: Mapping[str, int]) -> dict[str, int]:
    """Return how many trees each site grows: one, and of the others its share by rows (largest remainders first).

    Raises ValueError for fewer trees than sites.
    """
    names, further = sorted(rows), trees - len(rows)
    if further < 0:
        raise ValueError(f"{trees} trees for {len(rows)} sites")
    total = sum(rows.values())
    ideal = {name: max(0.0, trees * rows[name] / total - 1) for name in names}
    scale = further / (sum(ideal.values()) or 1.0)
    found = {name: int(ideal[name] * scale) for name in names}
    left = further - sum(found.values())
    first = sorted(names, key=lambda name: (found[name] - ideal[name] * scale, name))
    for place in range(left):
        found[first[place % len(first)]] += 1
    return {name: 1 + count for name, count in found.items()}


def check_size(what: str, trees: Trees, numbers: int, most: int) -> None:
    """Raise IncompatibleSites for a forest that no message carries."""
    if numbers <= most:
        return
    count, nodes = trees.shape["trees"], trees.shape["nodes"]
    raise IncompatibleSites(
        f"{what} has {count:,} trees with {nodes:,} nodes, {8 * numbers:,} bytes, and a message carries {8 * most:,} "
        f"(network.max_message_bytes): {SMALLER}"
    )


def _grown(site: str, answer: Answer, trees: int, sites: Sites) -> Trees:
    """Return the checked trees of a site's answer. Raises IncompatibleSites, naming it."""
    shape = {name: answer.fields.get(name) for name in ("trees", "nodes")}
    if shape["trees"] != trees or not is_whole(trees, 1 << 48)(shape["nodes"]):
        raise IncompatibleSites(f"site {site} was to grow {trees} trees, and has sent {shape}", site)
    layout = forest_layout(**shape, width=sites.n_classes or 1)  # type: ignore[arg-type]  # whole numbers, see above
    if answer.vector.shape != (layout.size,):
        raise IncompatibleSites(
            f"site {site} has sent {len(answer.vector)} numbers, and a forest of {shape} is {layout.size}", site
        )
    try:
        return Trees.from_vector(answer.vector, layout, sites.n_features, sites.n_classes)
    except MalformedTrees as error:
        raise IncompatibleSites(f"site {site} has sent no forest: {error}", site) from error

"""CategoricalNB: how often each category of each column has come with each class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...agreement.asked import Field, check_fields
from ...agreement.questions import Answer, Question, Questions
from ...moments import IncompatibleSites
from ...own_questions import OwnRows, Settled, Sites
from ...weights import Array
from ..statistics import Arrays, Block, Shapes
from .counts import CountsAdapter

ASK = "categories of columns"
MOST = 1 << 20
"""Categories of one column: they are counted from 0 on, whether there are rows of each or not."""

_FIELDS = {"ask": Field(f"'{ASK}'", lambda found: found == ASK)}


class CategoricalAdapter(CountsAdapter):
    """How many categories a column has is what `min_categories` says; else all sites are asked for their greatest."""

    needs_raw = "counts: its columns are categories from 0 on, as they are"

    def __init__(self, given: object, path: str) -> None:
        super().__init__(given, path)
        self._asked: tuple[int, ...] | None = None  # of each column, as the sites have told

    def questions(self, sites: Sites) -> Questions[Settled]:
        """Ask for the greatest category of each column, unless `min_categories` says how many there are."""
        if self.given.min_categories is not None:
            return Settled(None, None)
        answers = yield {"ask": ASK}
        greatest = np.zeros(sites.n_features)
        for site, answer in answers.items():
            told = answer.vector
            if answer.fields or told.dtype != np.float64 or told.shape != greatest.shape:
                raise IncompatibleSites(f"site {site} has sent no greatest category of each of the columns", site)
            if not ((told >= 0) & (told < MOST) & (told == np.floor(told))).all():
                raise IncompatibleSites(f"site {site} has categories that are not whole numbers from 0 to {MOST}", site)
            greatest = np.maximum(greatest, told)
        numbers = int((greatest + 1).sum()) * (sites.n_classes or 1)
        if numbers > sites.most_numbers:
            place = int(np.argmax(greatest))
            raise IncompatibleSites(
                f"CategoricalNB counts {numbers:,} pairs of a category and a class, and a message carries "
                f"{sites.most_numbers:,}; column {place + 1} has {int(greatest[place]) + 1:,} categories"
            )
        return Settled({str(place): int(last) + 1 for place, last in enumerate(greatest)}, None)

    def answer(self, question: Question, rows: OwnRows) -> Answer:
        check_fields(f"the question '{ASK}'", question, _FIELDS)
        try:
            self.check_least(rows.X)
        except ValueError as error:
            raise IncompatibleSites(str(error)) from error
        return Answer({}, np.floor(rows.X.max(axis=0)).astype(np.float64))

    def set_shape(self, shape: Mapping[str, int] | None) -> None:
        """Take the number of categories of each column by its place, as all sites have agreed."""
        known = None if shape is None else tuple(shape.get(str(place), 0) for place in range(len(shape)))
        if known is not None and not all(0 < size <= MOST for size in known):
            raise IncompatibleSites(f"CategoricalNB has from 1 to {MOST} categories of each column, found {known[:8]}")
        self._asked = known

    def sizes(self, n_features: int) -> Array:
        """Return the number of categories of each column, shape (columns,); 1 of each where nothing is agreed yet."""
        given = self.given.min_categories
        known = np.asarray((1 if self._asked is None else self._asked) if given is None else given)
        if known.shape not in ((), (n_features,)):
            raise ValueError(f"{self.name}: min_categories has {known.size} numbers, there are {n_features} columns")
        return np.broadcast_to(known.astype(np.int64), (n_features,))

    def statistic_shapes(self, n_features: int, n_classes: int | None) -> Shapes:
        classes = n_classes or 0
        return {"class_count": (classes,), "feature_count": (classes, int(self.sizes(n_features).sum()))}

    def statistics(self, block: Block, parameters: Arrays) -> Arrays:
        classes, found = self.n_classes or 0, self.categories(block.X)
        counts = [
            np.bincount(block.y * size + column, block.weight, classes * size).reshape(classes, size)
            for column, size in zip(found.T, self.sizes(self.n_features).tolist(), strict=True)
        ]
        return {
            "class_count": np.bincount(block.y, block.weight, classes),
            "feature_count": np.concatenate(counts, axis=1),
        }

    def categories(self, X: Array) -> Array:
        """Return rows as categories (int64). Raises ValueError for one that is not among those of its column."""
        self.check_least(X)
        sizes, found = self.sizes(self.n_features), X.astype(np.int64)
        if (found >= sizes).any():
            row, place = np.argwhere(found >= sizes)[0]
            raise ValueError(
                f"{self.name}: column {place + 1} holds category {found[row, place]}, and it has {sizes[place]}, from "
                "0 on; give min_categories, as many as there can be"
            )
        return found

    def set_counts(self, counts: Array) -> None:
        sizes = self.sizes(self.n_features)
        self.working.n_categories_ = sizes.copy()
        self.working.category_count_ = np.split(counts, np.cumsum(sizes)[:-1], axis=1)

    def predict(self, X: Array) -> Array:
        self.categories(self.checked(X))
        return super().predict(X)

    def probabilities(self, X: Array) -> Array | None:
        self.categories(self.checked(X))
        return super().probabilities(X)

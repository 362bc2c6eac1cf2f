"""How many categories each column has: as it is said, or as all sites tell in round 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nervenet.models.agreement.questions import Answer, Dialog
from nervenet.models.moments import IncompatibleSites
from nervenet.models.own_questions import OwnRows, Sites
from nervenet.models.registry import as_model
from over_sites import assert_same, learn, split
from sklearn.naive_bayes import CategoricalNB

SITES = Sites({"a": 3, "b": 3}, 2, 2, 0)
X = np.array([[0, 1], [1, 0], [0, 4], [2, 0], [0, 0], [1, 1.0]])
Y = np.array([0, 1, 0, 1, 0, 1])


def settled(*vectors: Any, sites: Sites = SITES, **fields: Any) -> Any:
    model: Any = as_model(CategoricalNB())
    dialog = Dialog(model.questions(sites))
    assert dialog.question == {"ask": "categories of columns"}
    dialog.take({name: Answer(fields, np.array(vector)) for name, vector in zip("ab", vectors, strict=True)})
    return dialog.agreed


def test_columns_have_one_category_more_than_the_greatest_of_any_site() -> None:
    assert settled([0.0, 4.0], [2.0, 1.0]).shape == {"0": 3, "1": 5}
    found = learn(CategoricalNB(), split((X, Y), [3]))
    assert found.preprocessing.model_shape == {"0": 3, "1": 5}
    theirs = CategoricalNB().fit(X, Y)
    assert_same(found.model.estimator, theirs)  # type: ignore[attr-defined]
    assert (found.predict(X) == theirs.predict(X)).all()


def test_where_it_is_said_nobody_is_asked() -> None:
    found = learn(CategoricalNB(min_categories=[3, 5]), split((X, Y), [3]))
    assert found.preprocessing.model_shape is None
    assert_same(found.model.estimator, CategoricalNB(min_categories=[3, 5]).fit(X, Y))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("vector", "fields", "words"),
    [
        ([1.0], {}, "site b has sent no greatest category"),
        ([1.0, 2.0], {"more": 1}, "site b has sent no greatest category"),
        ([1.0, -1.0], {}, "site b has categories that are not whole numbers"),
        ([1.0, 0.5], {}, "site b has categories that are not whole numbers"),
        ([1.0, 1e9], {}, "site b has categories that are not whole numbers"),
    ],
)
def test_what_no_site_would_tell_is_named(vector: Any, fields: Any, words: str) -> None:
    dialog = Dialog(as_model(CategoricalNB()).questions(SITES))  # type: ignore[attr-defined]
    with pytest.raises(IncompatibleSites, match=words):
        dialog.take({"a": Answer({}, np.zeros(2)), "b": Answer(fields, np.array(vector))})


def test_counts_that_no_message_carries_are_named() -> None:
    with pytest.raises(IncompatibleSites, match=r"22 pairs .* carries 20; column 2 has 10 categories"):
        settled([0.0, 9.0], [0.0, 1.0], sites=SITES._replace(most_numbers=20))


def test_a_site_tells_no_category_that_is_none_and_predicts_of_none_that_is_unknown() -> None:
    model: Any = as_model(CategoricalNB())
    with pytest.raises(IncompatibleSites, match="column 1 holds -1"):
        model.answer({"ask": "categories of columns"}, OwnRows("a", X - 1, Y, 2, None))
    with pytest.raises(IncompatibleSites, match="found \\(0,\\)"):
        model.set_shape({"0": 0})
    found = learn(CategoricalNB(), split((X, Y), [3]))
    with pytest.raises(ValueError, match="column 2 holds category 7, and it has 5, from 0 on; give min_categories"):
        found.predict(X + np.array([0, 3]))

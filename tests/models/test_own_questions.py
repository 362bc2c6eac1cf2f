"""A model's own questions in round 0: asked last, answered from prepared rows; they settle the weights."""

import numpy as np
import pytest
from nervenet.models import MLP, FlatModel
from nervenet.models.agreement.asked import MalformedQuestion
from nervenet.models.agreement.questions import Answer, settle
from nervenet.models.moments import IncompatibleSites
from nervenet.models.own_questions import Settled, asks
from nervenet.models.site_model import SiteModel


class Centers(FlatModel):
    """As many centers as `questions` finds sites with rows of the last class."""

    name = "centers"
    dtype = "float64"
    centers = 1

    def shapes(self, n_features, n_classes):
        return {"centers": (self.centers, n_features)}

    def predict(self, X):
        return np.zeros(len(X), np.int64)

    def set_shape(self, shape):
        self.centers = 1 if shape is None else shape["centers"]

    def questions(self, sites):
        found = yield {"ask": "last class", "label": sites.n_classes - 1}
        parts = [answer.vector for answer in found.values() if answer.fields["rows"]]
        again = yield {"ask": "rows", "sites": dict(sites.rows)}
        assert all(answer.fields["own"] == sites.rows[site] for site, answer in again.items())
        return Settled({"centers": len(parts)}, np.concatenate(parts))

    def answer(self, question, rows):
        if question["ask"] == "rows":
            return Answer({"own": question["sites"][rows.site]}, np.empty(0))
        mine = rows.X[rows.y == question["label"]]
        return Answer({"rows": len(mine)}, mine.mean(axis=0) if len(mine) else np.empty(0))


def sites():
    rng = np.random.default_rng(0)
    X = 1000 + rng.standard_normal((60, 2))
    parts = {"a": (X[:30], np.arange(30) % 2), "b": (X[30:40], np.zeros(10, int)), "c": (X[40:], np.arange(20) % 2)}
    found = {name: SiteModel(Centers(), *part) for name, part in parts.items()}
    for name, one in found.items():
        one.site = name
    return found


def test_what_they_come_to_are_shape_and_weights():
    models = sites()
    agreed = settle(SiteModel(Centers()).questions(), {name: one.answer for name, one in models.items()})
    assert agreed.preprocessing.model_shape == {"centers": 2}
    for one in models.values():
        assert one.build(agreed.preprocessing, 0).shapes == ((2, 2),)
        one.set_weights(agreed.weights)
    assert np.abs(agreed.weights).max() < 2, "prepared rows, and not those around 1000"
    again = type(agreed.preprocessing).from_dict(agreed.preprocessing.to_dict())
    assert again == agreed.preprocessing


def test_a_model_without_any_asks_nothing():
    X, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    one = SiteModel(MLP((3,)), X, y)
    assert not asks(one.model)
    agreed = settle(one.questions(), {"only": one.answer})
    assert agreed.weights is None
    assert "model_shape" not in agreed.preprocessing.to_dict()


def test_a_site_without_a_name_says_so():
    models = sites()
    models["b"].site = ""
    with pytest.raises(IncompatibleSites, match="no name"):
        settle(SiteModel(Centers()).questions(), {name: one.answer for name, one in models.items()})


def test_a_site_with_another_model_refuses_the_question():
    models = sites()
    question = {"ask": "model", "part": "last class", "question": {"ask": "last class", "label": 1}, "agreed": {}}
    other = SiteModel(MLP((3,)), np.zeros((4, 2)) + np.arange(4)[:, None], np.arange(4) % 2)
    with pytest.raises(MalformedQuestion, match="the model of this site has no questions"):
        other.answer(question)
    with pytest.raises(MalformedQuestion, match="about what this site cannot use"):
        models["a"].answer(question)

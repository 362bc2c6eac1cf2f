"""Class weights over all sites: scikit-learn's of the pooled labels, and what a site's training does with them."""

from inspect import signature
from typing import Any

import numpy as np
import pytest
from nervenet.models.agreement.questions import Answer, settle
from nervenet.models.class_weights import ASK, balanced, by_label, class_weight_questions, count_classes
from nervenet.models.data.data import DataError
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork
from nervenet.models.moments import IncompatibleSites
from nervenet.models.pegasos import Pegasos
from nervenet.models.preprocessing import Preprocessing
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.table_preprocessing import preprocessing_of
from sklearn.utils.class_weight import compute_class_weight

LABELS = {
    "north": np.array(["common"] * 70 + ["rare"] * 5 + ["seldom"] * 9),
    "south": np.array(["common"] * 41),
    "west": np.array(["seldom"] * 3 + ["common"] * 20),
}
POOLED = np.concatenate(list(LABELS.values()))


def rows_of(site: str, *, weighted: bool = False) -> tuple[Any, ...]:
    y = LABELS[site]
    X = generator(0, site).standard_normal((len(y), 2)) + (y == "rare")[:, None]
    return (X, y, 0.3 + generator(1, site).random(len(y))) if weighted else (X, y)


def settled(wanted: Any, *, weighted: tuple[str, ...] = (), caps: Any = None) -> tuple[Any, dict[str, SiteModel]]:
    sites = {name: SiteModel(MLP((4,)), *rows_of(name, weighted=name in weighted)) for name in LABELS}
    questions = SiteModel(MLP((4,)), class_weight=wanted).questions("standard", caps)
    agreed = settle(questions, {name: site.answer for name, site in sites.items()}).preprocessing
    for site in sites.values():
        site.build(agreed, 0)
    return agreed, sites


def test_balanced_weights_are_those_of_the_pooled_labels_to_the_last_bit() -> None:
    agreed, _ = settled("balanced")
    theirs = compute_class_weight("balanced", classes=np.unique(POOLED), y=POOLED)
    assert agreed.classes == ("common", "rare", "seldom")
    assert list(agreed.class_weights) == theirs.tolist()


@pytest.mark.skipif("sample_weight" not in signature(compute_class_weight).parameters, reason="a later scikit-learn")
def test_of_rows_with_weights_sums_are_counted_and_other_rows_count_1() -> None:
    agreed, _ = settled("balanced", weighted=("north", "west"))
    weight = [rows_of(name, weighted=True)[2] if name != "south" else np.ones(41) for name in LABELS]
    theirs = compute_class_weight("balanced", classes=np.unique(POOLED), y=POOLED, sample_weight=np.concatenate(weight))
    np.testing.assert_allclose(agreed.class_weights, theirs, rtol=1e-14)


def test_nothing_is_asked_and_nothing_agreed_where_no_weights_are_wanted() -> None:
    plain, _ = settled(None)
    given, _ = settled({"rare": 3})
    assert "class_weights" not in plain.to_dict()
    assert given.class_weights == (1.0, 3.0, 1.0)
    with pytest.raises(StopIteration):
        next(class_weight_questions({"a": 2.0}, ("a", "b"), {}))


def test_an_agreement_carries_its_weights() -> None:
    agreed, _ = settled("balanced")
    again = preprocessing_of(agreed.to_dict())
    assert (again, again.class_weights) == (agreed, agreed.class_weights)
    for wrong in ([1.0], [1.0, 0.0, 1.0], [1.0, float("nan"), 1.0], "no"):
        with pytest.raises(IncompatibleSites):
            Preprocessing.from_dict(agreed.to_dict() | {"class_weights": wrong})


def test_a_site_trains_and_counts_by_the_weights_of_its_rows() -> None:
    agreed, sites = settled("balanced", weighted=("north",))
    of = dict(zip(agreed.classes, agreed.class_weights, strict=True))
    for name, site in sites.items():
        X, y, *own = rows_of(name, weighted=name == "north")
        weight = np.array([of[label] for label in y]) * (own[0] if own else 1.0)
        assert site.weight == pytest.approx(weight.sum())
        same = SiteModel(MLP((4,)), X, y, weight)
        same.build(settled(None)[0], 0)
        ends = []
        for one in (site, same):
            one.train(LocalWork(epochs=2), generator(0))
            ends.append(one.get_weights())
        np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


def test_all_sites_together_weigh_as_much_as_they_have_rows() -> None:
    _, sites = settled("balanced")
    assert sum(site.weight or 0 for site in sites.values()) == pytest.approx(len(POOLED))


def test_evaluations_count_rows() -> None:
    X, y = rows_of("north")
    one = SiteModel(MLP((4,)), X, y, test=(X, y), class_weight="balanced")
    one.build(settle(one.questions(), {"only": one.answer}).preprocessing, 0)
    assert "weight" not in one.evaluate()
    assert one.evaluate()["accuracy"] == pytest.approx(np.mean(one.predict(X) == y))


def test_a_class_without_training_rows_weighs_1_and_is_not_balanced() -> None:
    assert balanced([3, 0, 1]) == (4 / 6, 1.0, 2.0)
    theirs = compute_class_weight("balanced", classes=np.array([0, 2]), y=np.array([0, 0, 0, 2]))
    assert [balanced([3, 0, 1])[0], balanced([3, 0, 1])[2]] == theirs.tolist()


def test_no_site_counts_for_more_rows_than_it_may() -> None:
    capped, _ = settled("balanced", caps={"north": 42})
    assert list(capped.class_weights) == list(balanced([70 / 2 + 41 + 20, 5 / 2, 9 / 2 + 3]))


def test_labels_that_are_numbers_go_by_their_text() -> None:
    assert by_label({"1": 2.0, "-1": 3.0}, (-1, 1)) == (3.0, 2.0)
    assert by_label({"0.5": 2.0}, (0.5, 1.0)) == (2.0, 1.0)
    with pytest.raises(IncompatibleSites, match=r"no site has the class 'rar' \(did you mean rare\?\); there are"):
        by_label({"rar": 2.0}, ("common", "rare"))


def test_quantities_have_no_classes() -> None:
    X = np.arange(12.0).reshape(6, 2)
    one = SiteModel(MLP((4,)), X, X[:, 0] + 0.5, class_weight="balanced")
    with pytest.raises(IncompatibleSites, match=r"training\.class_weight is for classification"):
        settle(one.questions(), {"only": one.answer})


def test_a_model_that_takes_no_weights_is_refused_where_they_are_asked_for() -> None:
    with pytest.raises(DataError, match="pegasos takes no sample_weight, and so no class weights"):
        SiteModel(Pegasos(), class_weight="balanced")


@pytest.mark.parametrize(
    "vector",
    [[1.0], [1.0, -1.0], [0.0, 0.0], [0.5, 1.0], [np.nan, 1.0], [np.inf, 1.0], [1, 1, 1, 0], [1, 0, 1, 1], [1.0] * 3],
)
def test_what_is_no_count_names_its_site(vector: list[float]) -> None:
    questions = class_weight_questions("balanced", ("a", "b"), {})
    assert next(questions) == {"ask": ASK, "classes": ["a", "b"]}
    with pytest.raises(IncompatibleSites, match="site odd has sent") as error:
        questions.send({"odd": Answer({}, np.array(vector, float))})
    assert error.value.site == "odd"


def test_a_question_about_other_classes_is_refused() -> None:
    with pytest.raises(IncompatibleSites, match="targets that were not agreed: label rare is unknown"):
        count_classes({"ask": ASK, "classes": ["common", "seldom"]}, POOLED, None)
    with pytest.raises(IncompatibleSites):
        count_classes({"ask": ASK}, POOLED, None)

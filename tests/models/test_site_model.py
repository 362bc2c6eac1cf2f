"""A site model goes from raw rows to original labels, whatever model it holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models.data.data import DataError
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import CannotMerge, LocalWork
from nervenet.models.moments import IncompatibleSites, TooFewRows
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree


def site_model(name: str = "iris", **options: Any) -> SiteModel:
    train, test = split(load(name))
    given = {"columns": train.columns, "task": train.task, "test": (test.X, test.y)} | options
    return SiteModel(MLP(hidden=(10,)), train.X, train.y, **given)


def built(one: SiteModel, seed: int = 0) -> SiteModel:
    one.build(agree({"only": one.statistics()}), seed)
    return one


@pytest.mark.parametrize(("name", "figure", "least"), [("iris", "accuracy", 0.9), ("diabetes", "r2", 0.3)])
def test_it_learns_from_raw_rows_and_predicts_in_their_terms(name: str, figure: str, least: float) -> None:
    one = built(site_model(name))
    report = one.train(LocalWork(epochs=40), generator(0, "batches"))
    assert report.examples == one.examples
    scores = one.evaluate("test")
    assert scores[figure] > least
    _, test = split(load(name))
    assert scores["examples"] == len(test)
    predicted = one.predict(test.X)
    if name == "iris":
        assert np.mean(predicted == test.y) == pytest.approx(scores[figure])
    else:
        explained = 1 - np.square(test.y - predicted).sum() / np.square(test.y - test.y.mean()).sum()
        assert explained == pytest.approx(scores[figure], abs=1e-5)


def test_labels_may_be_text() -> None:
    train, _ = split(load("iris"))
    names = np.array(["setosa", "versicolor", "virginica"])
    one = built(SiteModel(MLP(), train.X, names[train.y], columns=train.columns))
    one.train(LocalWork(epochs=20), generator(0))
    assert np.mean(one.predict(train.X) == names[train.y]) > 0.9
    probabilities = one.predict_proba(train.X)
    assert probabilities is not None
    assert (names[probabilities.argmax(axis=1)] == one.predict(train.X)).all()


def test_an_estimator_tells_the_task() -> None:
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 3
    assert SiteModel(SGDRegressor(), X, y).task == "regression"
    assert SiteModel(SGDClassifier(), X, np.arange(20)).task == "classification"
    whole = built(SiteModel(SGDClassifier(), X, y.astype(float)))
    assert whole.preprocessing.classes == (0, 1, 2)
    with pytest.raises(ValueError, match=r"SGDClassifier is a classifier, but the target is a number: found 0\.5"):
        SiteModel(SGDClassifier(), X, y + 0.5)


def test_a_regression_has_no_probabilities() -> None:
    one = built(site_model("diabetes"))
    assert one.predict_proba(np.zeros((1, 10))) is None


def test_all_start_from_the_same_weights_by_seed() -> None:
    train, _ = split(load("iris"))
    halves = [SiteModel(MLP(), train.X[half], train.y[half]) for half in (slice(0, 50), slice(50, None))]
    agreed = agree({str(n): half.statistics() for n, half in enumerate(halves)})
    first, second = (half.build(agreed, 7) for half in halves)
    assert first.hash == second.hash
    assert np.array_equal(halves[0].get_weights(), halves[1].get_weights())
    halves[0].build(agreed, 8)
    assert not np.array_equal(halves[0].get_weights(), halves[1].get_weights())


def test_settling_again_on_the_same_changes_nothing() -> None:
    one = built(site_model())
    one.train(LocalWork(epochs=1), generator(0))
    trained = one.get_weights()
    one.build(agree({"only": one.statistics()}), 0)
    assert np.array_equal(one.get_weights(), trained)


def test_a_holdout_takes_no_part_in_training_or_in_the_scales() -> None:
    whole, part = site_model(), site_model(holdout=0.25, seed=3)
    assert whole.examples == 120
    assert part.examples == 90
    assert part.statistics().inputs.n == 90
    built(part)
    assert part.evaluate("holdout")["examples"] == 30
    assert (whole.built, whole.has_test) == (False, True)
    assert built(whole).evaluate("holdout") == {}
    assert whole.built
    again, other = site_model(holdout=0.25, seed=3), site_model(holdout=0.25, seed=4)
    assert np.array_equal(part.statistics().inputs.mean, again.statistics().inputs.mean)
    assert not np.array_equal(part.statistics().inputs.mean, other.statistics().inputs.mean)


def test_a_class_that_only_the_holdout_has_counts() -> None:
    for seed in range(30):
        one = SiteModel(MLP(), np.arange(10.0)[:, None], np.array([0] * 5 + [1] * 4 + [2]), holdout=0.3, seed=seed)
        assert one.statistics().classes == (0, 1, 2)
        built(one)
        assert one.evaluate("holdout")["examples"] == 3


def test_a_site_too_small_to_hold_out_trains_on_all() -> None:
    assert SiteModel(MLP(), np.eye(2), [0, 1], holdout=0.2).examples == 2
    assert SiteModel(MLP(), np.eye(1), [0], holdout=0.9).examples == 1


def test_a_read_only_test_set_is_used_as_it_is(tmp_path: Path) -> None:
    _, test = split(load("iris"))
    np.save(tmp_path / "X.npy", test.X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    one = built(site_model(test=(mapped, test.y)))
    assert one.evaluate() == built(site_model()).evaluate()
    assert np.array_equal(np.load(tmp_path / "X.npy"), test.X)


def test_scorers_are_added_by_name() -> None:
    one = built(site_model(scorers=("balanced_accuracy",)))
    assert set(one.evaluate()) == {"accuracy", "loss", "balanced_accuracy", "examples"}


def test_own_weights_are_kept_on_request() -> None:
    model = MLP(hidden=(3,))
    model.build(4, 3, generator(99))
    own = model.get_weights()
    train, _ = split(load("iris"))
    one = SiteModel(model, train.X, train.y)
    agreed = agree({"only": one.statistics()})
    one.build(agreed, 0, keep_weights=True)
    assert np.array_equal(one.get_weights(), own)
    replaced = SiteModel(model, train.X, train.y)
    replaced.build(agreed, 0)
    assert not np.array_equal(replaced.get_weights(), own)
    with pytest.raises(IncompatibleSites, match="has no weights yet"):
        SiteModel(MLP(), train.X, train.y).build(agreed, 0, keep_weights=True)


def test_a_model_that_was_built_for_another_shape_is_refused() -> None:
    model = MLP(hidden=(3,))
    model.build(2, 2, generator(0))
    train, _ = split(load("iris"))
    one = SiteModel(model, train.X, train.y)
    with pytest.raises(
        IncompatibleSites, match=r"was built with weight.0 \(2, 3\).*4 columns and 3 classes it needs weight"
    ):
        one.build(agree({"only": one.statistics()}), 0)


def test_preprocessing_must_cover_what_the_site_has() -> None:
    iris = site_model()
    train, test = split(load("iris"))
    two = SiteModel(MLP(), train.X[train.y < 2], train.y[train.y < 2], columns=train.columns)
    with pytest.raises(IncompatibleSites, match="this site has targets that were not agreed: label 2 is unknown"):
        iris.build(agree({"two": two.statistics()}), 0)
    with_test = SiteModel(MLP(), two._rows.X, two._rows.y, columns=train.columns, test=(test.X, test.y))
    with pytest.raises(IncompatibleSites, match="the test set has targets that were not agreed"):
        built(with_test)
    with pytest.raises(IncompatibleSites, match=r"this site has the columns sepal length .*; agreed were x1, x2"):
        iris.build(agree({"x": SiteModel(MLP(), train.X, train.y).statistics()}), 0)
    quantities = SiteModel(MLP(), train.X, train.y, columns=train.columns, task="regression")
    with pytest.raises(IncompatibleSites, match="this site has data for classification; agreed was regression"):
        iris.build(agree({"q": quantities.statistics()}), 0)


def test_what_comes_too_early_says_what_is_missing() -> None:
    one = site_model()
    for early in (
        lambda: one.layout,
        lambda: one.train(LocalWork(), generator(0)),
        lambda: one.predict([[1, 2, 3, 4]]),
    ):
        with pytest.raises(RuntimeError, match=r"call build\(\) first"):
            early()
    empty = SiteModel(MLP())
    with pytest.raises(IncompatibleSites, match="no rows of its own"):
        empty.statistics()
    empty.build(agree({"only": one.statistics()}), 0)
    with pytest.raises(RuntimeError, match="no rows to train on"):
        empty.train(LocalWork(), generator(0))


@pytest.mark.parametrize(
    ("X", "y", "options", "reason"),
    [
        (np.eye(3), [0, 1], {}, "X has 3 rows, its y has 2"),
        (np.eye(3), None, {}, "X and y come together"),
        (np.ones(3), [0, 1, 0], {}, "X has 1 dimensions; expected 2"),
        (np.eye(3), [0, 1, 0], {"columns": ("a",)}, r"X has 3 columns, 1 are named \(a\)"),
        (np.eye(3), [0, 1, 0], {"holdout": 1.0}, "holdout must be at least 0 and below 1, found 1.0"),
        (np.eye(3), [0, 1, 0], {"task": "guess"}, "task 'guess' is unknown"),
        (np.eye(3), [0, 1, 0], {"test": (np.eye(2), [1])}, "the test set has 2 rows, its y has 1"),
        (np.empty((0, 3)), [], {}, "X has no rows"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(X: Any, y: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        SiteModel(MLP(), X, y, **options)


def test_what_cannot_be_averaged_is_refused() -> None:
    with pytest.raises(CannotMerge):
        SiteModel(object(), np.eye(2), [0, 1])


class Plain(MLP):
    """A model of a user's own, written before there were corrections."""

    def fit(self, X: Any, y: Any, work: LocalWork, rng: Any, stop: Any) -> Any:  # type: ignore[override]
        return super().fit(X, y, work, rng, stop)


def test_a_model_whose_fit_knows_no_corrections_trains() -> None:
    train, _ = split(load("iris"))
    one = built(SiteModel(Plain(hidden=(4,)), train.X, train.y))
    assert one.train(LocalWork(epochs=1), generator(0, "batches")).examples == one.examples


def test_handed_none_for_a_correction_it_would_not() -> None:
    train, _ = split(load("iris"))
    one = built(SiteModel(Plain(hidden=(4,)), train.X, train.y))
    with pytest.raises(TypeError, match="positional arguments"):
        one.model.fit(*one._training_rows(), LocalWork(epochs=1), generator(0, "batches"), lambda: False, None)


def check_no_row_can_be_read_off_a_survey(min_rows: int) -> None:
    X = np.array([[37.2, 81.0], [36.5, 64.0]])
    statistics = SiteModel(MLP(), X, [0, 1], min_rows=min_rows).statistics()
    deviation = np.sqrt(statistics.inputs.m2 / 2)
    read = {tuple(row) for row in np.round([statistics.inputs.mean + deviation, statistics.inputs.mean - deviation], 9)}
    assert not read & set(map(tuple, X))


def test_a_site_with_too_few_rows_tells_nothing() -> None:
    with pytest.raises(TooFewRows, match=r"X has 2 rows, .* at least 3 \(data\.min_rows\)"):
        check_no_row_can_be_read_off_a_survey(3)


def test_of_two_rows_it_would_tell_both() -> None:
    with pytest.raises(AssertionError):
        check_no_row_can_be_read_off_a_survey(1)


def test_a_hold_out_leaves_as_many_rows_as_must_be_trained_on() -> None:
    assert SiteModel(MLP(), np.eye(6), np.arange(6) % 2, holdout=0.9, min_rows=4).examples == 4


def test_a_model_says_what_it_is() -> None:
    from sklearn.linear_model import SGDClassifier

    one = SiteModel(MLP(hidden=(4,)), np.eye(4), [0, 1, 2, 0])
    assert repr(one).startswith("SiteModel(MLP(hidden=(4,), activation='relu', ")
    assert repr(one).endswith(", not built yet)")
    one.build(agree({"only": one.statistics()}), 0)
    assert repr(one).endswith(", 4 columns, 3 classes, 35 parameters)")
    assert repr(SiteModel(SGDClassifier())) == "SiteModel(SGDClassifier(), not built yet)"


class Frame:
    """What models read of a data frame: its columns and its values."""

    def __init__(self, values: Any, columns: list[str]) -> None:
        self.values, self.columns = values, columns

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


def check_frames_fit_a_model_of_arrays() -> None:
    train, test = split(load("iris"))
    frame = Frame(test.X, ["long", "wide", "long too", "wide too"])
    one = built(SiteModel(MLP(), train.X, train.y, test=(frame, test.y)))
    assert (one.predict(frame) == one.predict(test.X)).all()
    assert one.evaluate("test")["examples"] == len(test)


def test_a_frame_fits_a_model_of_arrays_without_names_by_place() -> None:
    check_frames_fit_a_model_of_arrays()
    train, test = split(load("iris"))
    nameless = built(SiteModel(MLP(), train.X, train.y))
    by_name = Frame(test.X[:, ::-1], ["x4", "x3", "x2", "x1"])
    assert (nameless.predict(by_name) == nameless.predict(test.X)).all()
    with pytest.raises(ValueError, match="no column 'x1'"):
        nameless.predict(Frame(test.X[:, :3], ["long", "wide", "other"]))
    with pytest.raises(ValueError, match="no column 'x3'"):
        nameless.predict(Frame(test.X, ["x1", "x2", "long", "wide"]))
    with pytest.raises(ValueError, match="no column 'sepal length"):
        built(site_model()).predict(Frame(test.X, ["long", "wide", "long too", "wide too"]))


@pytest.mark.parametrize("room", ["preprocessing", "site_coverage"])
def test_by_names_that_nobody_gave_no_frame_would_fit(room: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"nervenet.models.{room}.by_place", lambda *_: False)
    with pytest.raises(ValueError, match="x1"):
        check_frames_fit_a_model_of_arrays()


def weighted(zeros: bool, **options: Any) -> SiteModel:
    """Return a site model whose first ten rows have weight 0, or without them."""
    train, test = split(load("iris"))
    weight = 1.0 + np.arange(len(train)) % 3
    rows = (train.X, train.y, np.where(np.arange(len(train)) < 10, 0, weight))
    given = rows if zeros else tuple(each[10:] for each in rows)
    return SiteModel(MLP(hidden=(10,)), *given, test=(test.X, test.y, np.arange(len(test))), **options)


@pytest.mark.parametrize("holdout", [0.0, 0.2])
def test_a_row_of_weight_0_is_not_there_to_the_last_bit(holdout: float) -> None:
    ends = []
    for zeros in (True, False):
        one = built(weighted(zeros, holdout=holdout, min_rows=20))
        report = one.train(LocalWork(epochs=2), generator(0))
        ends.append((one.get_weights().tobytes(), report, one.evaluate("holdout"), one.evaluate(), one.weight))
    assert ends[0][0] == ends[1][0]
    assert ends[0][2:] == ends[1][2:]


def test_the_size_of_weights_decides_how_much_a_site_counts_and_nothing_of_its_training() -> None:
    train, _ = split(load("iris"))
    weight = 1.0 + np.arange(len(train)) % 4
    small, large = (built(SiteModel(MLP(), train.X, train.y, factor * weight)) for factor in (1.0, 2.0**20))
    for one in (small, large):
        one.train(LocalWork(), generator(0))
    assert small.get_weights().tobytes() == large.get_weights().tobytes()
    assert small.weight == weight.sum()
    assert large.weight == 2.0**20 * weight.sum()
    assert built(site_model()).weight is None


def test_figures_are_weighted_and_say_by_how_much() -> None:
    _, test = split(load("iris"))
    one = built(weighted(zeros=False))
    weight = np.arange(len(test), dtype=float)
    found = one.evaluate()
    assert found["examples"] == len(test) - 1
    assert found["weight"] == weight.sum()
    right = one.predict(test.X) == test.y
    assert found["accuracy"] == pytest.approx(np.average(right, weights=weight))
    assert "weight" not in built(site_model()).evaluate()

"""A model in plain scikit-learn: the same predictions from the same raw rows, of the built-in network above all."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nervenet.models import MLP, CannotExport, LocalWork, Pegasos, SiteModel, generator, save_model, to_sklearn
from nervenet.models.agreement.questions import settle
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.mlp import activations
from nervenet.models.sklearn.skops_file import skops_bytes, to_be_trusted
from nervenet.models.tables.table import DATES, GAP, Table
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

UNNAMED = pytest.mark.filterwarnings("ignore:X does not have valid feature names")
LAST_DIGITS = {"float32": 1e-6, "float64": 1e-14}


def learned(model, X, y, epochs=3, **options):
    site = SiteModel(model, X, y, **options)
    site.build(settle(site.questions(), {"only": site.answer}).preprocessing, 0)
    site.train(LocalWork(epochs=epochs), generator(0))
    return site


def of_dataset(name, model, labels=None):
    train, _ = split(load(name))
    y = train.y if labels is None else np.array(labels)[train.y]
    return learned(model, train.X, y, columns=train.columns, task=train.task)


def check_same(site, X, rows=None):
    """Compare what a model and its counterpart say of raw rows, to the last digits of the weights' type."""
    plain, rows, near = to_sklearn(site), X if rows is None else rows, LAST_DIGITS[site.model.dtype]
    if site.preprocessing.classes is None:
        quantity = site.preprocessing.target_scale
        np.testing.assert_allclose(plain.predict(X), site.predict(rows), rtol=0, atol=near * quantity)
        return
    assert np.array_equal(plain.predict(X), site.predict(rows))
    assert plain.classes_.tolist() == list(site.preprocessing.classes)
    np.testing.assert_allclose(plain.predict_proba(X), site.predict_proba(rows), rtol=0, atol=near)


@UNNAMED
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes"])
def test_the_network_predicts_the_same_in_scikit_learn(name, activation, dtype):
    for hidden in ((), (6,), (8, 5)):
        check_same(of_dataset(name, MLP(hidden, activation, dtype=dtype, learning_rate=0.01)), load(name).X)


@UNNAMED
@pytest.mark.parametrize(
    ("name", "labels"), [("iris", ["setosa", "versicolor", "virginica"]), ("breast_cancer", ["malignant", "benign"])]
)
def test_it_answers_in_labels_of_text(name, labels):
    check_same(of_dataset(name, MLP((6,)), labels), load(name).X)


@UNNAMED
def test_a_class_of_which_the_rows_have_none_has_its_column():
    X, y = load("iris").X, load("iris").y
    some = SiteModel(MLP((6,)), X[y < 2], y[y < 2])
    others = SiteModel(MLP((6,)), X[y > 0], y[y > 0])
    some.build(settle(some.questions(), {"a": some.answer, "b": others.answer}).preprocessing, 0)
    some.train(LocalWork(epochs=2), generator(0))
    assert to_sklearn(some).predict_proba(X).shape == (150, 3)
    check_same(some, X)


@UNNAMED
def test_a_quantity_far_from_zero_keeps_its_digits():
    X = np.linspace(-1, 1, 50).reshape(-1, 1)
    site = learned(MLP((4,), "tanh"), X, 1.7e9 + X[:, 0])
    check_same(site, X)
    assert np.ptp(to_sklearn(site).predict(X)) < 2  # a float32 of that size has steps of 128


@UNNAMED
def test_it_is_a_fitted_network_that_can_be_trained_on():
    site = of_dataset("iris", MLP((6,), optimizer="adam", learning_rate=0.01), ["setosa", "versicolor", "virginica"])
    plain = to_sklearn(site)
    network = plain[-1]
    assert isinstance(network, MLPClassifier)
    assert (network.hidden_layer_sizes, network.solver, network.learning_rate_init) == ((6,), "adam", 0.01)
    assert {array.dtype for array in network.coefs_ + network.intercepts_} == {np.dtype("float32")}
    before = site.get_weights()
    network.partial_fit(plain[:-1].transform(load("iris").X), np.repeat(plain.classes_, 50))
    assert np.array_equal(site.get_weights(), before)


def test_a_frame_in_another_order_is_refused_and_not_taken_for_one():
    pandas = pytest.importorskip("pandas")
    site = of_dataset("iris", MLP((6,)))
    frame = pandas.DataFrame(load("iris").X, columns=site.preprocessing.columns)
    check_same(site, frame)
    with pytest.raises(ValueError, match="same order"):
        to_sklearn(site).predict(frame[frame.columns[::-1]])


def mixed(count=120):
    rng = np.random.default_rng(3)
    age, ward = rng.normal(60, 15, count), rng.choice(["cardiology", "surgery", "rehab"], count).astype(object)
    day = (np.datetime64("2026-01-01") + rng.integers(0, 250, count)).astype(DATES)
    y = np.where(age + 20 * (ward == "surgery") > 65, "poor", "good")
    age[::9], ward[::11] = np.nan, GAP
    return Table(("day", "ward", "age"), ("date", "category", "number"), (day, ward, age)), y


SPARSE = ColumnTransformer(
    [("age", SimpleImputer(), ["age"]), ("ward", OneHotEncoder(handle_unknown="ignore"), ["ward"])], sparse_threshold=1
)


@pytest.mark.parametrize("preprocess", ["auto", SPARSE, make_pipeline(SPARSE, "passthrough")])
@pytest.mark.parametrize("target", ["labels", "quantity"])
def test_a_table_with_gaps_goes_in_as_a_raw_frame(preprocess, target):
    pandas = pytest.importorskip("pandas")
    table, y = mixed()
    values = y if target == "labels" else np.arange(len(y)) ** 1.5
    site = learned(MLP((8,), learning_rate=0.005), table, values, preprocess=preprocess)
    frame = pandas.DataFrame({name: table[name] for name in table.columns} | {"further": 1})
    check_same(site, frame, table)


def test_a_sparse_output_meets_weights_of_their_type():
    """Against float32 weights a sparse float64 matrix would be multiplied in float64."""
    pytest.importorskip("pandas")
    table, y = mixed()
    steps = dict(to_sklearn(learned(MLP((8,)), table, y, preprocess=SPARSE)).steps)
    assert list(steps) == ["prepare", "dense", "float32", "model"]


@UNNAMED
def test_an_estimator_of_scikit_learns_stays_what_it_is():
    site = of_dataset("iris", SGDClassifier(loss="log_loss"))
    assert isinstance(to_sklearn(site)[-1], SGDClassifier)
    assert np.array_equal(to_sklearn(site).predict(load("iris").X), site.predict(load("iris").X))


def test_the_same_model_is_the_same_bytes():
    site = of_dataset("iris", MLP((6,)))
    assert skops_bytes(to_sklearn(site)) == skops_bytes(to_sklearn(site))


class Own(MLP):
    """It may predict otherwise."""


@pytest.mark.parametrize(("model", "name"), [(Own((6,)), "Own"), (Pegasos(), "pegasos")])
def test_what_scikit_learn_has_nothing_for_is_refused_by_name(model, name):
    with pytest.raises(CannotExport, match=rf"{name} has no counterpart in scikit-learn; those that have one are mlp"):
        to_sklearn(of_dataset("breast_cancer", model))


def test_an_activation_that_scikit_learn_does_not_have_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(activations.ACTIVATIONS, "gelu", activations.ACTIVATIONS["tanh"])
    with pytest.raises(CannotExport, match=r"mlp .*: activation 'gelu': scikit-learn's networks have identity, logi"):
        to_sklearn(of_dataset("iris", MLP((6,), "gelu")))


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(RuntimeError, match="build"):
        to_sklearn(SiteModel(MLP()))


ELSEWHERE = """
import json, sys
sys.path += sys.argv[4:]
from importlib.util import find_spec
assert find_spec("nervenet") is None
import skops.io
trusted, X = json.loads(sys.argv[2]), json.loads(sys.argv[3])
print(json.dumps(skops.io.load(sys.argv[1], trusted=trusted).predict_proba(X).tolist()))
"""


def without_nervenet(folder):
    """Return a folder that has what is installed here, by links, but not this package."""
    for package in ("numpy", "sklearn", "skops"):
        for found in Path(find_spec(package).origin).parents[1].iterdir():
            link = folder / found.name
            if found.suffix != ".pth" and not found.name.startswith(("nervenet", "__")) and not link.exists():
                link.symlink_to(found)
    return folder


@pytest.mark.e2e
def test_a_program_that_has_nothing_of_this_package_predicts_the_same(tmp_path):
    X = load("iris").X[::10]
    site = learned(MLP((6,)), X, load("iris").y[::10])
    save_model(tmp_path, site)
    content = skops_bytes(to_sklearn(tmp_path))
    file, packages = tmp_path / "model.skops", tmp_path / "packages"
    file.write_bytes(content)
    packages.mkdir()
    arguments = [file, json.dumps(to_be_trusted(content)), json.dumps(X.tolist()), without_nervenet(packages)]
    command = [sys.executable, "-I", "-S", "-c", ELSEWHERE, *map(str, arguments)]  # no site-packages by itself
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, timeout=300).stdout
    np.testing.assert_allclose(json.loads(said), site.predict_proba(X), rtol=0, atol=1e-6)

"""Adapters of scikit-learn: every trap of hand-set weights, partial_fit and warm starts is a test here."""

import json
from itertools import product

import numpy as np
import pytest
from nervenet.models import MLP, CannotMerge, LocalWork, generator
from nervenet.models.evaluate import evaluate
from nervenet.models.registry import as_model, named_model, rebuild
from nervenet.models.sklearn.estimators import refused_setting
from nervenet.models.weights import IncompatibleWeights
from sklearn.base import BaseEstimator
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Perceptron, SGDClassifier, SGDRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

ONE_EPOCH = LocalWork(epochs=1, batch_size=10)

CLASSIFIERS = {
    "sgd": SGDClassifier(loss="log_loss"),
    "hinge": SGDClassifier(),
    "perceptron": Perceptron(penalty="l2"),
    "logistic": LogisticRegression(),
    "mlp": MLPClassifier((5,), learning_rate_init=0.05),
}
REGRESSORS = {"sgd": SGDRegressor(), "mlp": MLPRegressor(hidden_layer_sizes=(5,), learning_rate_init=0.01)}


def never():
    return False


def table(classes=3, rows=90, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % classes
    return rng.standard_normal((rows, 4)) + 2.5 * np.eye(classes, 4)[y], y


def numbers(rows=90):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((rows, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 0.3


def built(estimator, n_classes=3, n_features=4):
    model = as_model(estimator)
    model.build(n_features, n_classes, generator(0, "init"))
    return model


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("classes", [2, 3])
def test_classifiers_learn(name, classes):
    X, y = table(classes)
    model = built(CLASSIFIERS[name], classes)
    for r in range(5):
        report = model.fit(X, y, LocalWork(epochs=8, batch_size=10), generator(0, "node", r), never)
    assert evaluate(model, X, y)["accuracy"] > 0.85
    assert report.examples == 90
    assert np.isfinite(report.loss)


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_learn(name):
    X, y = numbers()
    model = built(REGRESSORS[name], None)
    for r in range(10):
        model.fit(X, y, LocalWork(epochs=5, batch_size=10), generator(0, "node", r), never)
    assert evaluate(model, X, y)["r2"] > 0.9
    assert model.probabilities(X) is None


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("held", [[0, 2], [1]], ids=["two of three", "one of three"])
def test_a_node_that_lacks_classes_has_the_same_layout(name, held):
    X, y = table()
    mine = np.isin(y, held)
    model, whole = built(CLASSIFIERS[name]), built(CLASSIFIERS[name])
    model.fit(X[mine], y[mine], ONE_EPOCH, generator(0), never)
    assert model.get_weights().size == whole.layout.size == model.layout.size
    assert model.layout.hash == whole.layout.hash
    assert model.predict(X).dtype == np.int64
    if model.probabilities(X) is not None:
        assert model.probabilities(X).shape == (90, 3)


def test_without_agreed_classes_the_shapes_would_differ():
    """The bug that agreed classes prevent: scikit-learn alone makes (1, n) of two classes out of three."""
    X, y = table()
    mine = y != 1
    assert SGDClassifier().partial_fit(X[mine], y[mine], classes=[0, 2]).coef_.shape == (1, 4)
    assert dict(zip(built(SGDClassifier()).layout.names, built(SGDClassifier()).layout.shapes, strict=True))[
        "coef"
    ] == (3, 4)


@pytest.mark.parametrize(("classes", "shape"), [(2, (1, 4)), (3, (3, 4))])
@pytest.mark.parametrize("name", ["sgd", "logistic"])
def test_two_classes_are_one_row_of_coefficients(name, classes, shape):
    assert built(CLASSIFIERS[name], classes).layout.shapes == (shape, shape[:1])


def test_the_zero_weight_rows_of_logistic_regression_change_nothing():
    X, y = table()
    model = built(LogisticRegression())
    model.fit(X, y, LocalWork(epochs=200), generator(0), never)
    np.testing.assert_allclose(model.estimator.coef_, LogisticRegression(max_iter=200).fit(X, y).coef_, atol=1e-3)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_weights_round_trip_and_are_never_shared(name):
    X, y = table()
    model = built(CLASSIFIERS[name])
    model.fit(X, y, ONE_EPOCH, generator(0), never)
    sent = model.get_weights()
    kept = sent.copy()
    received = np.frombuffer(sent.tobytes(), sent.dtype)  # read-only, as from the wire
    other = built(CLASSIFIERS[name])
    other.set_weights(received)
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
    other.fit(X, y, ONE_EPOCH, generator(1), never)
    model.fit(X, y, ONE_EPOCH, generator(1), never)
    np.testing.assert_array_equal(received, kept)
    np.testing.assert_array_equal(sent, kept)
    assert not np.array_equal(other.get_weights(), kept)


def test_partial_fit_would_train_on_a_message_in_flight():
    """The bug the copy on load prevents."""
    X, y = table()
    model = built(SGDClassifier())
    sent = model.get_weights()
    model.write(model.layout.views(sent))
    model.fit(X, y, ONE_EPOCH, generator(0), never)
    assert sent.any()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_training_starts_from_the_loaded_weights(name):
    X, y = table()
    far = built(CLASSIFIERS[name])
    far.set_weights(np.full(far.layout.size, 5.0))
    far.fit(X, y, LocalWork(epochs=1, batch_size=90), generator(0), never)
    near = built(CLASSIFIERS[name])
    near.fit(X, y, LocalWork(epochs=1, batch_size=90), generator(0), never)
    assert np.abs(far.get_weights() - near.get_weights()).max() > 0.5


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_wrong_width_is_noticed_although_weights_were_set_by_hand(name):
    model = built(CLASSIFIERS[name])
    model.set_weights(np.zeros(model.layout.size))
    for call in (model.predict, lambda X: model.fit(X, np.zeros(5, int), ONE_EPOCH, generator(0), never)):
        with pytest.raises(ValueError, match=r"\(5, 3\).*\(rows, 4\)"):
            call(np.zeros((5, 3)))
    assert model.estimator.n_features_in_ == 4


@pytest.mark.parametrize("name", ["sgd", "hinge", "mlp"])
def test_batches_follow_the_generator_and_not_random_state(name):
    X, y = table()

    def trained(random_state, *address):
        model = built(CLASSIFIERS[name].__class__(**CLASSIFIERS[name].get_params() | {"random_state": random_state}))
        model.fit(X, y, ONE_EPOCH, generator(0, *address), never)
        return model.get_weights()

    np.testing.assert_array_equal(trained(1, "a", 0), trained(2, "a", 0))
    assert not np.array_equal(trained(1, "a", 0), trained(1, "a", 1))
    assert not np.array_equal(trained(1, "a", 0), trained(1, "b", 0))


def test_sgd_continues_its_schedule_from_round_to_round():
    X, y = table()
    model = built(SGDClassifier(learning_rate="invscaling", eta0=0.1))
    for r in range(3):
        model.fit(X, y, ONE_EPOCH, generator(0, r), never)
        assert model.estimator.t_ == 1 + 90 * (r + 1)
    resumed = built(SGDClassifier(learning_rate="invscaling", eta0=0.1))
    resumed.set_weights(model.get_weights())
    resumed.set_state(model.get_state())
    for each in (model, resumed):
        each.fit(X, y, ONE_EPOCH, generator(0, 3), never)
    np.testing.assert_array_equal(model.get_weights(), resumed.get_weights())
    assert SGDClassifier(warm_start=True).fit(X, y).fit(X, y).t_ < 90 * 1000  # scikit-learn's own fit starts anew


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_mlp_resets_its_moments_unless_they_are_carried(solver):
    X, y = table()

    def trained(carry, restore=False):
        model = built(MLPClassifier((5,), solver=solver))
        start = model.get_weights()
        model.fit(X, y, ONE_EPOCH, generator(0), never)
        if restore:
            fresh = built(MLPClassifier((5,), solver=solver))
            fresh.set_state(model.get_state())
            model = fresh
        model.set_weights(start)
        model.fit(X, y, LocalWork(epochs=1, batch_size=10, carry_optimizer=carry), generator(1), never)
        return model.get_weights()

    fresh = built(MLPClassifier((5,), solver=solver))
    fresh.fit(X, y, ONE_EPOCH, generator(1), never)
    np.testing.assert_array_equal(trained(carry=False), fresh.get_weights())
    assert not np.array_equal(trained(carry=True), fresh.get_weights())
    np.testing.assert_array_equal(trained(carry=True), trained(carry=True, restore=True))
    with pytest.raises(ValueError, match="shape"):
        fresh.set_state({"velocities" if solver == "sgd" else "ms": np.zeros(3)})


@pytest.mark.parametrize(("solver", "classes"), list(product(["sgd", "adam"], [2, 3, None])))
def test_an_mlp_estimator_and_our_own_are_one_model(solver, classes):
    X, y = numbers() if classes is None else table(classes)
    cls = MLPRegressor if classes is None else MLPClassifier
    theirs = built(cls(hidden_layer_sizes=(6,), solver=solver, learning_rate_init=0.01), classes)
    ours = MLP((6,), optimizer="nesterov" if solver == "sgd" else "adam", learning_rate=0.01, l2=1e-4, dtype="float64")
    ours.build(4, classes, generator(0, "init"))
    assert ours.layout.hash == theirs.layout.hash
    for r in range(3):
        reports = [m.fit(X, y, LocalWork(epochs=2, batch_size=16), generator(0, r), never) for m in (ours, theirs)]
    np.testing.assert_allclose(ours.get_weights(), theirs.get_weights(), rtol=0, atol=1e-11)
    assert reports[0].steps == reports[1].steps == 12


@pytest.mark.parametrize("classes", [2, 3, None])
def test_epochs_joined_are_one_partial_fit_each_to_rounding(classes):
    X, y = numbers() if classes is None else table(classes)
    settings = {"learning_rate": "invscaling", "eta0": 0.05, "shuffle": False}
    model = built(SGDRegressor(**settings) if classes is None else SGDClassifier(**settings), classes)
    theirs = model.estimator
    model.fit(X, y, LocalWork(epochs=4), generator(0), never)
    for _ in range(4):
        theirs.partial_fit(X, y)
    np.testing.assert_allclose(model.estimator.coef_, theirs.coef_, atol=1e-12)
    assert model.estimator.t_ == theirs.t_ == 361


def test_local_steps_count_mini_batches():
    X, y = table()
    model = built(SGDClassifier())
    assert model.fit(X, y, LocalWork(local_steps=13, batch_size=10), generator(0), never).steps == 13
    assert model.estimator.t_ == 131


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_stopping_leaves_the_weights_where_they_are(name):
    X, y = table()
    model = built(CLASSIFIERS[name])
    before = model.get_weights()
    report = model.fit(X, y, ONE_EPOCH, generator(0), lambda: True)
    assert (report.cancelled, report.steps) == (True, 0)
    np.testing.assert_array_equal(model.get_weights(), before)


def test_a_diverging_estimator_shows_in_its_weights():
    X, y = numbers()
    model = built(SGDRegressor(learning_rate="constant", eta0=1e300), None)
    report = model.fit(X * 1e10, y, ONE_EPOCH, generator(0), never)
    assert np.isnan(report.loss)
    with pytest.raises(IncompatibleWeights, match="NaN"):
        model.layout.check(model.get_weights())


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (LinearSVC(), r'neither warm_start nor partial_fit.*SGDClassifier\(loss="hinge"\)'),
        (SVR(), "support vectors"),
        (SVC(), "support vectors"),
        (DecisionTreeClassifier(), "two trees"),
        (GradientBoostingRegressor(), "trees"),
        (KNeighborsClassifier(), "own rows"),
        (make_pipeline(StandardScaler(), SGDClassifier()), "no partial_fit.*last step"),
        (StandardScaler(), "no meaningful mean"),
        (SGDClassifier(average=True), "average=True.*ignores the weights that arrive"),
        (SGDRegressor(average=5), "average=5"),
        (
            SGDClassifier(class_weight="balanced"),
            "class_weight='balanced'.*differ from node to node.*leave it out.*--class-weight balanced",
        ),
        (SGDClassifier(class_weight={0: 1.0, 1: 9.0}), "class_weight={0: 1.0.*weights go by label"),
        (SGDClassifier(learning_rate="adaptive", eta0=0.1), "begins anew at eta0"),
        (SGDClassifier(early_stopping=True), "early_stopping"),
        (MLPClassifier(early_stopping=True), "early_stopping"),
        (MLPClassifier(solver="lbfgs"), "solver='sgd' or 'adam'"),
        (LogisticRegression(solver="liblinear"), "starts from zero"),
        (SGDClassifier, "an instance is wanted"),
        (object(), "neither a Model nor"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_cannot_be_averaged_is_refused_with_what_can(estimator, said):
    with pytest.raises(CannotMerge, match=said) as refusal:
        as_model(estimator)
    assert isinstance(refusal.value, TypeError)
    assert {"SGDClassifier", "LogisticRegression", "RandomForestRegressor", "GaussianNB"} <= set(refusal.value.able)
    _, _, named = str(refusal.value).partition("Models that can: ")
    assert len(named.split(", ")) <= 8
    assert named.endswith(" more (nervenet explain model.name)")


def test_an_adaptive_rate_of_sgd_would_be_a_constant_one():
    X, y = table()
    ends = []
    for learning_rate in ("adaptive", "constant"):
        alone = SGDClassifier(learning_rate=learning_rate, eta0=0.1, tol=10.0, n_iter_no_change=1, random_state=0)
        for _ in range(20):
            alone.partial_fit(X, y, classes=[0, 1, 2])
        ends.append(alone.coef_)
    np.testing.assert_array_equal(*ends)


def test_an_assigned_coefficient_is_ignored_by_averaged_sgd():
    """Why average=True is refused: after the weights are replaced, partial_fit goes on from where it was."""
    X, y = table(2)
    model = SGDClassifier(average=True, random_state=0).partial_fit(X, y, classes=[0, 1])
    model.coef_ = np.full((1, 4), 1e6)
    assert np.abs(model.partial_fit(X, y).coef_).max() < 1e5


@pytest.mark.parametrize("estimator", [*CLASSIFIERS.values(), *REGRESSORS.values()], ids=lambda e: type(e).__name__)
def test_descriptions_rebuild_through_json(estimator):
    model = as_model(estimator)
    again = rebuild(json.loads(json.dumps(model.describe())))
    assert again.describe() == model.describe()
    assert type(again.given) is type(estimator)


def test_rebuilding_follows_only_paths_of_scikit_learn():
    for name in (
        "os.system",
        "sklearn._config.set_config",
        "sklearn.os.system",
        "sklearn.linear_model.SGDClasifier",
        "x",
    ):
        with pytest.raises(ValueError, match=r"sklearn|scikit-learn"):
            named_model(name, {})
    with pytest.raises(ValueError, match=r"did you mean sklearn.linear_model.SGDClassifier"):
        named_model("sklearn.linear_model.SGDClasifier", {})
    with pytest.raises(ValueError, match=r"no parameter 'los'; allowed are loss"):
        named_model("sklearn.linear_model.SGDClassifier", {"los": 1})
    with pytest.raises(ValueError, match="alpha"):
        named_model("sklearn.linear_model.SGDClassifier", {"alpha": -1})
    with pytest.raises(CannotMerge, match="support vectors"):
        named_model("sklearn.svm.SVR", {})
    with pytest.raises(CannotMerge):
        named_model("sklearn.pipeline.Pipeline", {})


def test_the_exported_estimator_is_the_users_own():
    X, y = table()
    given = SGDClassifier(loss="log_loss", random_state=7)
    model = built(given)
    model.fit(X, y, ONE_EPOCH, generator(0), never)
    exported = model.estimator
    assert exported.get_params() == given.get_params()
    exported.classes_ = np.array(["a", "b", "c"])
    assert set(exported.predict(X)) <= {"a", "b", "c"}
    assert model.predict(X).dtype == np.int64
    assert not hasattr(given, "coef_")


def test_a_task_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="SGDClassifier is a classifier, but the target is a number"):
        built(SGDClassifier(), None)
    with pytest.raises(ValueError, match="MLPRegressor is a regressor"):
        built(MLPRegressor(), 3)
    with pytest.raises(ValueError, match="at least 2"):
        built(SGDClassifier(), 1)
    with pytest.raises(RuntimeError, match="build"):
        as_model(SGDClassifier()).get_weights()


def test_none_of_an_experiment_file_is_none_of_python() -> None:
    described = named_model("sklearn.linear_model.SGDClassifier", {"penalty": "none"}).describe()
    assert described["parameters"]["penalty"] is None
    assert rebuild(json.loads(json.dumps(described))).describe() == described


def test_an_estimator_that_declares_no_constraints_is_not_checked_for_them():
    class Plain(BaseEstimator):  # type: ignore[misc]
        """Inherits `_validate_params`, which wants what only scikit-learn's own estimators have."""

    with pytest.raises(AttributeError):
        Plain()._validate_params()
    assert refused_setting(Plain()) is None


def test_training_checks_nothing_twice_and_leaves_scikit_learns_settings_as_they_were(monkeypatch):
    from sklearn import get_config

    seen = []
    own = SGDClassifier.partial_fit

    def watched(self, X, y, **given):
        seen.append(get_config()["assume_finite"])
        return own(self, X, y, **given)

    X, y = table()
    model = as_model(SGDClassifier())
    model.build(4, 3, generator(0, "init"))
    monkeypatch.setattr(SGDClassifier, "partial_fit", watched)
    model.fit(X, y, ONE_EPOCH, generator(0), never)
    assert seen == [True]
    assert get_config()["assume_finite"] is False
    with pytest.raises(ValueError, match="alpha"):  # which the first use of an estimator says
        as_model(SGDClassifier(alpha=-1.0))

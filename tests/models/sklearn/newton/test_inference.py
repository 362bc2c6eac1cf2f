"""Standard errors and p-values beside the coefficients; the figures are statsmodels 0.15.0's on the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.models import coefficient_table, load_model, save_model
from nervenet.models.coefficients import INTERCEPT
from nervenet.models.sklearn.newton.inference import OF_PENALIZED
from sklearn.linear_model import GammaRegressor, Lasso, LogisticRegression, PoissonRegressor, TweedieRegressor

from ..exact.over_sites import learn, skewed
from .test_families import three_classes

RNG = np.random.default_rng(11)
X = RNG.normal(size=(60, 2))
LINE = X @ [0.8, -0.4] + 0.3
BINARY = (RNG.random(60) < 1 / (1 + np.exp(-LINE))).astype(int)
THREE = np.digitize(LINE + RNG.normal(size=60), [-0.5, 1.0])
COUNTS = RNG.poisson(np.exp(LINE)).astype(float)
AMOUNTS = RNG.gamma(2.0, np.exp(LINE) / 2) + 1e-3
REPEATS = RNG.integers(1, 4, size=60).astype(float)

LOGISTIC = LogisticRegression(solver="newton-cholesky", C=np.inf)
WALD: dict[str, tuple[Any, tuple[Any, ...], list[float], list[float], list[float], float]] = {
    # Logit, and GLM with the families of these names, a logarithm for a link, and freq_weights
    "binomial": (
        LOGISTIC,
        (BINARY,),
        [0.9044556905360229, -0.6611917212329956, 0.42383042270996263],
        [0.34382970339243824, 0.3275872959528301, 0.2963504485169537],
        [0.008525086682842149, 0.043552947646728644, 0.15266929682834468],
        1.0,
    ),
    "Poisson": (
        PoissonRegressor(alpha=0),
        (COUNTS,),
        [1.0256616367162563, -0.43561312901719085, 0.10538428829134092],
        [0.10632720473105403, 0.08849816052919583, 0.13755222188336555],
        [5.097291623768321e-22, 8.553971104322785e-07, 0.4435928791001108],
        1.0,
    ),
    "Poisson, repeated rows": (
        PoissonRegressor(alpha=0),
        (COUNTS, REPEATS),
        [1.0108587252748087, -0.4275332332265871, 0.1787295181962259],
        [0.06857317533510329, 0.057398028749844114, 0.09085376721118353],
        [3.499085136989119e-49, 9.435738434903208e-14, 0.04915763730008937],
        1.0,
    ),
    "gamma": (
        GammaRegressor(alpha=0),
        (AMOUNTS,),
        [0.7951516289383964, -0.395612978572931, 0.24530474193716412],
        [0.08084617962287462, 0.08197992456821655, 0.0778667622745911],
        [7.928015103139461e-23, 1.3949140376188128e-06, 0.001630951372287931],
        0.3549356690156861,
    ),
    "gamma, repeated rows": (
        GammaRegressor(alpha=0),
        (AMOUNTS, REPEATS),
        [0.7982459708475801, -0.3681001708117394, 0.2608548242149845],
        [0.05526262263686924, 0.05506039982254962, 0.05405425316445338],
        [2.7116289692444e-47, 2.3031262085493335e-11, 1.3944485804158955e-06],
        0.36218702385215806,
    ),
    "Tweedie": (
        TweedieRegressor(power=1.5, alpha=0),
        (COUNTS,),
        [0.9095638352873927, -0.3929012358052803, 0.21195811435332285],
        [0.14505883763533012, 0.13503600719904937, 0.15476705045145747],
        [3.6033071053952436e-10, 0.003618875700849543, 0.17083367237792568],
        1.3667924661192927,
    ),
    "inverse Gaussian": (
        TweedieRegressor(power=3, alpha=0),
        (AMOUNTS,),
        [0.8558742710279013, -0.4327094625859411, 0.25815635481425037],
        [0.07238706604416495, 0.08198642715677812, 0.08397178470423812],
        [2.9484611736681236e-32, 1.3073102171833559e-07, 0.002109811615223986],
        0.2633911219534346,
    ),
    "normal": (
        TweedieRegressor(power=0, alpha=0),
        (LINE + AMOUNTS,),
        [1.9204848007490716, -1.1809109934395017, 2.0569855248677897],
        [0.20561106668270496, 0.2084944497769374, 0.1980336996143889],
        [9.599204906806626e-21, 1.4789089987608874e-08, 2.8400769643534634e-25],
        2.295744822714098,
    ),
}


def inference(estimator: Any, X: Any, *target: Any) -> Any:
    return learn(estimator, skewed((X, *target)), rounds=20).model.inference()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", WALD)
def test_it_is_that_of_statsmodels_on_all_rows(name: str) -> None:
    estimator, target, coefficients, errors, p_values, dispersion = WALD[name]
    found = inference(estimator, X, *target)
    np.testing.assert_allclose(found.coefficients[0], coefficients, rtol=1e-6)
    np.testing.assert_allclose(found.standard_errors[0], errors, rtol=1e-6)
    np.testing.assert_allclose(found.p_values[0], p_values, rtol=1e-5)
    assert found.dispersion == pytest.approx(dispersion, rel=1e-6)
    assert not found.note


def test_an_offset_moves_the_intercept_alone() -> None:
    near, far = (inference(PoissonRegressor(alpha=0), X + offset, COUNTS) for offset in (0.0, 1e6))
    np.testing.assert_allclose(far.standard_errors[0, :2], near.standard_errors[0, :2], rtol=1e-8)
    np.testing.assert_allclose(far.z[0, :2], near.z[0, :2], rtol=1e-8)


@three_classes
def test_differences_of_three_classes_are_those_of_mnlogit() -> None:
    found = inference(LOGISTIC, X, THREE)
    errors = [
        [0.4867877595610823, 0.4119480483212542, 0.3921529720900575],
        [0.6677421428504863, 0.564604072519209, 0.5729814132627825],
    ]
    for place, wanted in enumerate(errors, 1):
        against = np.zeros((3, 9))
        against[:, 3 * place : 3 * place + 3], against[:, :3] = np.eye(3), -np.eye(3)
        np.testing.assert_allclose(np.sqrt(np.diag(against @ found.covariance @ against.T)), wanted, rtol=1e-6)
    np.testing.assert_allclose(found.coefficients.sum(axis=0), 0, atol=1e-12)


def test_what_a_penalty_makes_of_it_is_said() -> None:
    found = inference(PoissonRegressor(alpha=1.0), X, COUNTS)
    assert found.note == OF_PENALIZED


@three_classes
def test_a_table_names_columns_and_classes_and_is_kept_in_the_model_s_file(tmp_path: Path) -> None:
    model = learn(LOGISTIC, skewed((X, np.array(["a", "b", "c"])[THREE])), rounds=12, columns=["age", "dose"])
    table = coefficient_table(model)
    assert table is not None
    rows = table["coefficients"]
    assert [(row["class"], row["column"]) for row in rows[3:6]] == [("b", "age"), ("b", "dose"), ("b", INTERCEPT)]
    found = model.model.inference()  # type: ignore[attr-defined]
    assert rows[4]["p_value"] == found.p_values[1, 1]
    assert (table["rows"], table["dispersion"], table["note"]) == (60, 1, "")
    save_model(tmp_path, model)
    assert json.loads((tmp_path / "model.json").read_text())["inference"] == table
    loaded = coefficient_table(load_model(tmp_path))
    assert loaded == table
    assert coefficient_table(learn(Lasso(), skewed((X, COUNTS)))) is None


def test_there_is_none_before_there_are_sums() -> None:
    assert learn(PoissonRegressor(), skewed((X, COUNTS)), rounds=0).model.inference() is None  # type: ignore[attr-defined]

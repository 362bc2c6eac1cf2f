"""Sites with tables: what they agree on, and a model that learns from it."""

import json

import numpy as np
import pytest
from nervenet.models import MLP, LocalWork, SiteModel, generator, load_model, save_model
from nervenet.models.aggregate import weighted_mean
from nervenet.models.agreement.questions import settle
from nervenet.models.data.data import DataError
from nervenet.models.moments import IncompatibleSites, TooFewRows
from nervenet.models.pipeline.given import description_of
from nervenet.models.preprocessing import Preprocessing
from nervenet.models.site_statistics import agree
from nervenet.models.table_preprocessing import TablePreprocessing, preprocessing_of
from nervenet.models.tables.table import DATES, GAP, Table
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PowerTransformer, RobustScaler, StandardScaler


def models(sites, make=lambda: MLP(hidden=(16,)), **options):
    return {name: SiteModel(make(), *rows, **options) for name, rows in sites.items()}


def agreed(sites, scale="standard"):
    return settle(next(iter(sites.values())).questions(scale), {name: site.answer for name, site in sites.items()})


def learned(sites, rounds=10):
    """Return one of the sites after so many federated rounds."""
    preprocessing = agreed(sites).preprocessing
    for site in sites.values():
        site.build(preprocessing, 0)
    for number in range(rounds):
        vectors = []
        for name, site in sites.items():
            site.train(LocalWork(epochs=3), generator(0, name, number))
            vectors.append(site.get_weights().copy())
        mean = weighted_mean(vectors, [site.examples for site in sites.values()])
        for site in sites.values():
            site.set_weights(mean)
    return next(iter(sites.values()))


def test_what_sites_agree_on_is_what_all_rows_in_one_place_come_to(sites, pooled):
    apart, together = agreed(models(sites)), agreed(models({"all": pooled}))
    found, wanted = apart.preprocessing, together.preprocessing
    assert set(found.columns) == {"admitted", "age", "sex", "crp", "ward"}
    assert found.left_out == wanted.left_out == ("patient",)
    by_name = [found.fitted.names.index(name) for name in wanted.fitted.names]
    np.testing.assert_allclose(
        found.transform(pooled[0], "float64")[:, by_name], wanted.transform(pooled[0], "float64"), rtol=0, atol=1e-12
    )
    assert apart.cautions == together.cautions
    assert apart.cautions == ('column "patient" is left out: each row has another text, as an id has',)


def test_sites_learn_together_what_each_can_only_learn_in_part(sites, pooled):
    site = learned(models(sites))
    assert site.preprocessing.classes == ("good", "poor")
    right = (site.predict(pooled[0]) == pooled[1]).mean()
    assert right > 0.85
    assert site.predict_proba(pooled[0]).shape == (370, 2)


def test_held_out_rows_are_evaluated(sites):
    site = learned(models(sites, holdout=0.2, min_rows=10))
    assert site.evaluate("holdout")["examples"] == 44
    assert site.held_out.keys() == {"good", "poor"}


def test_a_test_set_may_have_its_columns_in_another_order(sites, pooled):
    site = SiteModel(MLP(hidden=(4,)), *sites["north"], test=pooled)
    site.build(agreed({"north": site}).preprocessing, 0)
    assert site.evaluate("test")["examples"] == 370


def test_predictions_take_rows_in_any_form(sites):
    site = learned(models(sites), rounds=1)
    columns, table = site.preprocessing.columns, sites["south"][0].take(np.arange(5))
    plain = {name: [None if cell != cell else cell for cell in table[name].tolist()] for name in columns}
    plain["admitted"] = [day.isoformat() for day in plain["admitted"]]
    named = [dict(zip(columns, row, strict=True)) for row in zip(*plain.values(), strict=True)]
    wanted = site.predict_proba(table)
    assert np.array_equal(site.predict_proba(named), wanted)
    assert np.array_equal(site.predict_proba([list(row.values()) for row in named]), wanted)
    assert np.array_equal(site.predict_proba(np.array([list(row.values()) for row in named], object)), wanted)


def test_what_no_site_had_is_no_category_and_gaps_are_filled(sites):
    site = learned(models(sites), rounds=1)
    prepared = site.preprocessing.transform([{"ward": "nowhere"}, {"ward": "surgery", "age": 60}], "float64")
    by_name = dict(zip(site.preprocessing.fitted.names, prepared.T, strict=True))
    assert [by_name[f"category__ward_{ward}"].tolist() for ward in ("surgery", "nan")] == [[0, 1], [0, 0]]
    assert np.isfinite(prepared).all()


def test_rare_categories_are_pooled_if_that_is_said(sites):
    site = models(sites, min_frequency=40)
    names = agreed(site).preprocessing.fitted.names
    wards = [name for name in names if "ward" in name]
    assert "category__ward_infrequent_sklearn" in wards
    assert "category__ward_rehab" not in wards


@pytest.mark.parametrize("scale", ["none", "unit"])
def test_other_scales(sites, pooled, scale):
    preprocessing = agreed(models(sites), scale).preprocessing
    ages = preprocessing.transform(pooled[0], "float64")[:, preprocessing.fitted.names.index("gaps__age")]
    assert ages.mean() > (50 if scale == "none" else 3)


def test_no_outlier_is_beyond_five_deviations(sites):
    table, y = sites["north"]
    crp = table["crp"].copy()
    crp[0] = 1e9
    spoiled = Table(table.columns, table.kinds, tuple(crp if name == "crp" else table[name] for name in table.columns))
    preprocessing = agreed(models({"north": (spoiled, y)})).preprocessing
    assert preprocessing.transform(spoiled).max() == 5.0


def test_quantities_are_scaled_as_they_are_without_tables(sites):
    quantities = {name: (table, table["age"].copy()) for name, (table, _) in sites.items()}
    for _, y in quantities.values():
        y[np.isnan(y)] = 60.5
    found = agreed(models(quantities)).preprocessing
    wanted = agree(
        {name: SiteModel(MLP(), np.zeros((len(y), 1)), y).statistics() for name, (_, y) in quantities.items()}
    )
    assert found.task == "regression"
    assert (found.target_center, found.target_scale) == (wanted.target_center, wanted.target_scale)


def test_plain_numbers_keep_one_question_and_their_own_preprocessing(sites):
    numbers = {name: (np.arange(20.0).reshape(10, 2) + place, [0, 1] * 5) for place, name in enumerate(sites)}
    tables = {
        name: (Table(("x1", "x2"), ("number", "number"), (X[:, 0].copy(), X[:, 1].copy())), y)
        for name, (X, y) in numbers.items()
    }
    found = [agreed(models(rows)).preprocessing for rows in (numbers, tables)]
    assert type(found[0]) is Preprocessing
    assert found[0] == found[1]
    first = [next(iter(models(rows).values())).answer({}) for rows in (numbers, tables)]
    assert first[0].fields == first[1].fields == {"columns": ["x1", "x2"], "classes": [0, 1]}
    assert np.array_equal(first[0].vector, first[1].vector)


def test_a_site_of_plain_numbers_takes_part_beside_one_with_gaps():
    whole = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 9.0]]), [0, 1, 0]
    gap = Table(("x2", "x1"), ("number", "number"), (np.array([1.0, GAP, 3.0]), np.array([4.0, 5.0, 6.5]))), [1, 1, 0]
    found = agreed(models({"whole": whole, "gap": gap})).preprocessing
    filled = found.transform([[None, None]], "float64")
    assert found.columns == ("x2", "x1")
    assert filled[0, found.fitted.names.index("gaps__x2")] == pytest.approx(
        (5.0 - np.mean([5, 6, 9, 1, 5, 3])) / np.std([5, 6, 9, 1, 5, 3])
    )


def test_a_site_that_does_not_fit_is_named(sites):
    table, y = sites["west"]
    ages = np.array([str(age) for age in table["age"]], object)
    kinds = tuple("category" if name == "age" else table.kind(name) for name in table.columns)
    odd = Table(table.columns, kinds, tuple(ages if name == "age" else table[name] for name in table.columns))
    with pytest.raises(IncompatibleSites, match=r'site west has text \(.*\) in column "age", site north has numbers'):
        agreed(models(sites | {"west": (odd, y)}))


def test_few_rows_are_refused(sites):
    with pytest.raises(TooFewRows, match=r"X has 60 rows, and a site takes part with at least 100"):
        SiteModel(MLP(), *sites["west"], min_rows=100)


def test_a_question_that_is_none_is_refused(sites):
    site = SiteModel(MLP(), *sites["west"])
    for question in ({"ask": "rows"}, {"ask": "fit"}, {"ask": "fit", "table": {"schema": {}}}):
        with pytest.raises(IncompatibleSites):
            site.answer(question)


def dates(days, count):
    """A site whose dates lie in so many days, evenly."""
    day = (np.datetime64("2020-01-01") + np.linspace(0, days, count).astype(int)).astype(DATES)
    return Table(("day", "age"), ("date", "number"), (day, np.arange(count) % 7.0)), np.arange(count) % 2


@pytest.mark.parametrize(
    ("days", "count", "cycles"),
    [(900, 300, {"year", "week"}), (300, 300, {"week"}), (10, 300, set()), (900, 100, set())],
)
def test_a_dates_place_in_a_cycle_is_told_where_it_can_be_learned(days, count, cycles):
    names = agreed(models({"a": dates(days, count), "b": dates(days, count)})).preprocessing.fitted.names
    assert sum("sine of" in name for name in names) == 2 * len(cycles)
    assert sum("elapsed" in name for name in names) == 1


OWN = ColumnTransformer([("n", RobustScaler(), ["age", "crp"]), ("c", OneHotEncoder(), ["sex"])])


def test_a_pipeline_of_ones_own(sites, pooled):
    filled = {name: (whole(table), y) for name, (table, y) in sites.items()}
    found = agreed(models(filled, preprocess=OWN)).preprocessing
    assert set(found.columns) == {"age", "crp", "sex"}
    ages = np.concatenate([table["age"] for table, _ in filled.values()])
    q1, q2, q3 = np.percentile(ages, [25, 50, 75])
    assert found.transform([{"age": 0, "crp": 0, "sex": "f"}], "float64")[0, 0] == pytest.approx(-q2 / (q3 - q1))
    assert not hasattr(OWN, "transformers_")


def whole(table):
    arrays = (np.nan_to_num(table[name]) if table.kind(name) == "number" else table[name] for name in table.columns)
    return Table(table.columns, table.kinds, tuple(arrays))


def test_what_the_pipeline_leaves_as_a_gap_is_refused_by_row_and_column(sites):
    site = learned(models({name: (whole(table), y) for name, (table, y) in sites.items()}, preprocess=OWN), 1)
    with pytest.raises(ValueError, match=r"row 1 of X: the pipeline makes nan of it in 'n__crp'"):
        site.predict([{"age": 1, "crp": 2, "sex": "f"}, {"age": 1, "sex": "f"}])


@pytest.mark.parametrize(
    ("preprocess", "error", "message"),
    [
        (KMeans(), DataError, r"data.preprocess: .*KMeans"),
        ("robust", DataError, r"data.preprocess = 'robust': expected \"auto\", the import path"),
        ("nothing.here:it", DataError, r"data.preprocess = 'nothing.here:it': cannot be imported"),
        ("json:dumps", DataError, r"is no scikit-learn transformer"),
        (StandardScaler, DataError, r"is no scikit-learn transformer"),
        ("{}", DataError, r"data.preprocess: {}… describes no pipeline: not a value of a transformer's description"),
        ('{"step"', DataError, r'data.preprocess: {"step"… describes no pipeline: '),
        ('{"step": "os.system", "parameters": {}}', DataError, r"os.system is not a transformer of scikit-learn"),
        (description_of(PowerTransformer()), DataError, r"data.preprocess: PowerTransformer has no exact merge"),
    ],
)
def test_a_pipeline_that_cannot_be_fitted_is_refused_before_anything_starts(preprocess, error, message):
    with pytest.raises(error, match=message):
        SiteModel(MLP(), preprocess=preprocess)


def test_code_of_ones_own_in_a_pipeline_is_refused():
    with pytest.raises(DataError, match=r"data.preprocess: FunctionTransformer.func: found <function .* of NumPy's"):
        SiteModel(MLP(), preprocess=make_pipeline(FunctionTransformer(lambda X: X)))


def test_a_pipeline_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "prepare_here.py").write_text(
        "from sklearn.preprocessing import StandardScaler\nscaler = StandardScaler()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert repr(SiteModel(MLP(), preprocess="prepare_here:scaler").preprocess) == "StandardScaler()"


def test_a_pipeline_as_text_is_the_one_that_it_describes(sites):
    filled = {name: (whole(table), y) for name, (table, y) in sites.items()}
    found = [agreed(models(filled, preprocess=one)).preprocessing for one in (OWN, description_of(OWN))]
    assert found[0] == found[1]


def test_the_preprocessing_survives_json(sites, pooled):
    found = agreed(models(sites)).preprocessing
    again = preprocessing_of(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert isinstance(again, TablePreprocessing)
    assert again == found
    assert hash(again) == hash(found)
    assert np.array_equal(again.transform(pooled[0]), found.transform(pooled[0]))


@pytest.mark.parametrize("key", ["schema", "classes", "pipeline", "fitted", "target_scale", "left_out"])
def test_half_a_preprocessing_is_refused(sites, key):
    fields = agreed(models(sites)).preprocessing.to_dict()
    del fields[key]
    with pytest.raises(IncompatibleSites, match=key):
        preprocessing_of(fields)


@pytest.mark.parametrize("make", [lambda: MLP(hidden=(8,)), SGDClassifier], ids=["mlp", "sgd"])
def test_a_saved_model_predicts_the_same(sites, pooled, make, tmp_path):
    site = learned(models(sites, make), 1)
    save_model(tmp_path, site)
    assert np.array_equal(load_model(tmp_path).predict(pooled[0]), site.predict(pooled[0]))


@pytest.mark.parametrize("make", [SGDClassifier, SGDRegressor])
def test_the_saved_pipeline_is_plain_scikit_learn(sites, pooled, make, tmp_path):
    pandas = pytest.importorskip("pandas")
    from skops.io import get_untrusted_types, load

    table, _ = pooled
    rows = sites if make is SGDClassifier else {k: (t, np.nan_to_num(t["age"])) for k, (t, _) in sites.items()}
    site = learned(models(rows, make), 1)
    save_model(tmp_path, site)
    trusted = get_untrusted_types(file=tmp_path / "model.skops")
    assert not [name for name in trusted if not name.startswith("numpy.")]
    assert str(trusted) in json.loads((tmp_path / "model.json").read_text())["skops"]
    frame = pandas.DataFrame({name: table[name] for name in table.columns})
    plain = load(tmp_path / "model.skops", trusted=trusted)
    assert np.array_equal(plain.predict(frame), site.predict(table))

"""Round 0: an exact merge, the same bits in any order, and refusals that name the site."""

import json
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from nervenet.models.data.data import infer_task
from nervenet.models.moments import IncompatibleSites, Moments
from nervenet.models.preprocessing import Preprocessing
from nervenet.models.site_statistics import SiteStatistics, agree

COLUMNS = ("a", "b", "c", "d")


def site(
    seed: int = 0, columns: tuple[str, ...] = COLUMNS, labels: tuple[Any, ...] = (0, 1), rows: int = 20
) -> SiteStatistics:
    rng = np.random.default_rng(seed)
    return SiteStatistics.of(
        rng.normal(3, 2, (rows, len(columns))), rng.permutation(np.resize(labels, rows)), columns, "classification"
    )


def regression(seed: int = 0) -> SiteStatistics:
    rng = np.random.default_rng(seed)
    return SiteStatistics.of(rng.normal(3, 2, (20, 4)), rng.normal(150, 70, 20), COLUMNS, "regression")


# Moments


def relative_error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(found / exact - 1).max())


def far_parts() -> tuple[list[np.ndarray], np.ndarray]:
    """Parts of a table whose mean is a million times its spread, and its exact sums of squares."""
    rng = np.random.default_rng(0)
    parts = [1e6 + rng.normal(0, 1, (rows, 3)) for rows in (100, 5000, 37)]
    whole = np.concatenate(parts).astype(np.longdouble)
    return parts, np.square(whole - whole.mean(axis=0)).sum(axis=0).astype(float)


def test_a_merge_keeps_its_digits_at_an_offset_of_a_million() -> None:
    parts, exact = far_parts()
    assert relative_error(reduce(Moments.merge, map(Moments.of, parts)).m2, exact) < 1e-9


def test_the_textbook_formula_would_lose_them() -> None:
    parts, exact = far_parts()
    n, total, squares = (sum(f(part) for part in parts) for f in (len, lambda p: p.sum(0), lambda p: (p * p).sum(0)))
    assert relative_error(squares - total * total / n, exact) > 1e-6


@settings(max_examples=60, deadline=None)
@given(
    X=hnp.arrays(np.float64, st.tuples(st.integers(2, 40), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)),
    data=st.data(),
)
def test_parts_merge_to_the_whole(X: np.ndarray, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(X) - 1), max_size=4)))
    whole, merged = Moments.of(X), reduce(Moments.merge, map(Moments.of, np.split(X, cuts)))
    assert merged.n == len(X)
    assert np.allclose(merged.mean, X.mean(axis=0), rtol=1e-9, atol=1e-6)
    assert np.allclose(merged.m2, whole.m2, rtol=1e-9, atol=1e-3)
    assert np.allclose(whole.m2, X.var(axis=0) * len(X), rtol=1e-9, atol=1e-3)


def test_a_table_of_many_blocks_has_the_moments_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(5, 2, (1000, 3)).astype(np.float32)
    whole = Moments.of(X)
    monkeypatch.setattr("nervenet.models.moments.BLOCK", 33)
    blocks = Moments.of(X)
    assert blocks.n == whole.n == 1000
    assert np.allclose(blocks.mean, whole.mean, rtol=1e-13)
    assert np.allclose(blocks.m2, whole.m2, rtol=1e-12)


# Surveys


@pytest.mark.parametrize("make", [site, regression])
def test_statistics_cross_the_wire_unchanged(make: Any) -> None:
    sent = make(3)
    facts = json.loads(json.dumps(sent.header()))
    got = SiteStatistics.from_parts(facts, sent.vector())
    assert got.header() == sent.header()
    assert np.array_equal(got.vector(), sent.vector())
    assert (got.target is None) == (sent.target is None)


def test_what_arrived_is_not_kept_alive() -> None:
    vector = site().vector()
    got = SiteStatistics.from_parts(site().header(), vector)
    vector[:] = -1
    assert np.array_equal(got.vector(), site().vector())


GOOD = {"columns": ["a", "b"], "classes": [0, 1]}


@pytest.mark.parametrize(
    ("facts", "vector", "reason"),
    [
        (GOOD, [3, 0, 0, 1], "2 columns are 5 numbers of float64, found shape .4,."),
        (GOOD | {"classes": None}, [3, 0, 0, 1, 1], "2 columns are 7 numbers"),
        (GOOD, [[3, 0, 0, 1, 1]], "found shape .1, 5."),
        (GOOD, [-3, 0, 0, 1, 1], "number of rows is -3"),
        (GOOD, [0, 0, 0, 1, 1], "number of rows is 0"),
        (GOOD, [np.nan, 0, 0, 1, 1], "number of rows is nan"),
        (GOOD, [1e300, 0, 0, 1, 1], "number of rows is 1e.300"),
        (GOOD, [3, np.nan, 0, 1, 1], "a mean is not a number"),
        (GOOD, [3, 1e200, 0, 1, 1], "a mean is not a number"),
        (GOOD, [3, 0, 0, -1, 1], "a sum of squares is not a number"),
        (GOOD, [3, 0, 0, np.inf, 1], "a sum of squares is not a number"),
        ({"columns": ["a", "b"]}, [3, 0, 0, 1, 1], "header of a site's statistics has columns and classes"),
        ([], [3, 0, 0, 1, 1], "header of a site's statistics"),
        (GOOD | {"columns": []}, [3], "one or more names"),
        (GOOD | {"columns": "ab"}, [3, 0, 0, 1, 1], "one or more names"),
        (GOOD | {"columns": ["a", 1]}, [3, 0, 0, 1, 1], "one or more names"),
        (GOOD | {"columns": ["a", "a"]}, [3, 0, 0, 1, 1], "two columns have the same name"),
        (GOOD | {"classes": []}, [3, 0, 0, 1, 1], "one or more labels"),
        (GOOD | {"classes": [0, "b"]}, [3, 0, 0, 1, 1], "all numbers or all text"),
        (GOOD | {"classes": [True, False]}, [3, 0, 0, 1, 1], "all numbers or all text"),
        (GOOD | {"classes": [1, 0]}, [3, 0, 0, 1, 1], "sorted, each once"),
        (GOOD | {"classes": [1, 1]}, [3, 0, 0, 1, 1], "sorted, each once"),
        (GOOD | {"classes": [0.0, float("nan")]}, [3, 0, 0, 1, 1], "numbers below"),
        (GOOD | {"classes": [0, 10**400]}, [3, 0, 0, 1, 1], "numbers below"),
        (GOOD | {"classes": [[0], [1]]}, [3, 0, 0, 1, 1], "all numbers or all text"),
    ],
)
def test_malformed_statistics_are_refused(facts: Any, vector: list[float], reason: str) -> None:
    with pytest.raises(IncompatibleSites, match=reason):
        SiteStatistics.from_parts(facts, np.array(vector, dtype=np.float64))


def test_another_dtype_is_refused() -> None:
    with pytest.raises(IncompatibleSites, match="of float32"):
        SiteStatistics.from_parts(site().header(), site().vector().astype(np.float32))


def test_a_bad_value_is_named_by_row_and_column() -> None:
    X = np.zeros((3, 2))
    X[1, 1] = np.nan
    with pytest.raises(IncompatibleSites, match='row 1, column "b": found nan'):
        SiteStatistics.of(X, np.arange(3), ("a", "b"), "classification")
    with pytest.raises(IncompatibleSites, match='row 0, column "target": found inf'):
        SiteStatistics.of(np.zeros((1, 2)), np.array([np.inf]), ("a", "b"), "regression")
    with pytest.raises(IncompatibleSites, match="no rows"):
        SiteStatistics.of(np.zeros((0, 2)), np.zeros(0), ("a", "b"), "regression")


# Agreements


def test_the_agreed_scale_is_that_of_the_pooled_table() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal([0, 100, -5], [1, 20, 0.1], (60, 3))
    y = rng.normal(150, 70, 60)
    parts = np.split(np.arange(60), [7, 30])
    agreed = agree({f"s{i}": SiteStatistics.of(X[p], y[p], ("a", "b", "c"), "regression") for i, p in enumerate(parts)})
    assert np.allclose(agreed.center, X.mean(axis=0))
    assert np.allclose(agreed.scale, X.std(axis=0))
    assert np.isclose(agreed.target_center, y.mean())
    assert np.isclose(agreed.target_scale, y.std())
    prepared = agreed.transform(X, "float64")
    assert np.allclose(prepared.std(axis=0), 1)
    assert np.isclose(agreed.encode(y).std(), 1)
    assert np.allclose(agreed.decode(agreed.encode(y)), y)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_arrival_does_not_change_a_bit(order: list[int]) -> None:
    sites = {f"client-{n}": regression(n) for n in range(6)}
    shuffled = {f"client-{n}": sites[f"client-{n}"] for n in order}
    assert agree(shuffled).to_dict() == agree(sites).to_dict()


def test_another_order_of_merging_would_change_bits() -> None:
    """So that the test above can fail."""
    inputs = [regression(n).inputs for n in range(6)]
    forth, back = reduce(Moments.merge, inputs), reduce(Moments.merge, inputs[::-1])
    assert not np.array_equal(forth.m2, back.m2)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1, -3e-9])
def test_a_constant_column_keeps_its_unit(value: float) -> None:
    sites = {
        f"s{n}": SiteStatistics.of(
            np.full((1 + n * 333, 1), value), np.arange(1 + n * 333) % 2, ("a",), "classification"
        )
        for n in range(4)
    }
    agreed = agree(sites)
    assert agreed.scale.tolist() == [1.0]
    assert np.allclose(agreed.transform([[value + 2]], "float64"), 2)


def test_inputs_are_cut_at_five_standard_deviations() -> None:
    agreed = agree({"s": site()})
    far = agreed.transform(np.array([[1e9, -1e9, 3, 3]]))
    assert far.dtype == np.float32
    assert far[0, :2].tolist() == [5, -5]
    assert (np.abs(far[0, 2:]) < 1).all()


def test_unit_scale_keeps_zeros_and_none_keeps_everything() -> None:
    X = np.random.default_rng(0).normal(3, 2, (50, 4))
    sites = {"s": SiteStatistics.of(X, np.arange(50) % 2, COLUMNS, "classification")}
    unit = agree(sites, "unit")
    assert (unit.transform(np.zeros((1, 4))) == 0).all()
    assert np.allclose(np.square(unit.transform(X, "float64")).mean(axis=0), 1)
    assert np.array_equal(agree(sites, "none").transform(1000 * X, "float64"), 1000 * X)
    raw = agree({"s": regression()}, "none")
    assert (raw.target_center, raw.target_scale) == (0, 1)
    with pytest.raises(IncompatibleSites, match="scale 'minmax' is unknown; allowed: standard, unit, none"):
        agree(sites, "minmax")  # type: ignore[arg-type]


def test_classes_are_the_sorted_union() -> None:
    agreed = agree({"a": site(labels=("dog", "ant")), "b": site(labels=("cat",))})
    assert agreed.classes == ("ant", "cat", "dog")
    assert agreed.encode(np.array(["dog", "ant", "cat"])).tolist() == [2, 0, 1]
    assert agreed.decode(np.array([1, 2])).tolist() == ["cat", "dog"]
    with pytest.raises(ValueError, match="label bee is unknown; the agreed classes are ant, cat, dog"):
        agreed.encode(["ant", "bee"])
    with pytest.raises(ValueError, match="label zebra is unknown"):
        agreed.encode(["zebra"])
    with pytest.raises(ValueError, match="labels of type int64"):
        agreed.encode([1])
    numbers = agree({"a": site(labels=(7, 3)), "b": site(labels=(-1,))})
    assert numbers.classes == (-1, 3, 7)
    assert numbers.decode(np.array([2])).tolist() == [7]
    assert agree({"a": site(labels=(0.5, 1.5)), "b": site(labels=(2,))}).classes == (0.5, 1.5, 2.0)


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (
            {"columns": ("a", "b", "c")},
            r"site client-2 has 3 columns, the others have 4 \(a, b, c, d\): it lacks d$",
        ),
        ({"columns": ("a", "b", "x", "d")}, r"site client-2 has 4 columns, .*: it lacks c and adds x$"),
        ({"labels": ("no", "yes")}, r"site client-2 has text labels \(no, yes\) .*others have number labels \(0, 1\)"),
    ],
)
def test_a_site_that_differs_is_named(odd: dict[str, Any], reason: str) -> None:
    sites = {"client-2": site(2, **odd), "client-10": site(10), "client-3": site(3)}
    with pytest.raises(IncompatibleSites, match=reason) as caught:
        agree(sites)
    assert caught.value.site == "client-2"


def test_a_site_with_another_task_is_named() -> None:
    with pytest.raises(
        IncompatibleSites, match=r"site z has quantities as targets; the others have number labels \(0, 1\)"
    ):
        agree({"a": site(), "b": site(), "z": regression()})


def test_one_class_and_no_site_are_refused() -> None:
    with pytest.raises(IncompatibleSites, match=r"one class only \(0\)"):
        agree({"a": site(labels=(0,)), "b": site(labels=(0,))})
    with pytest.raises(IncompatibleSites, match="no site"):
        agree({})


@pytest.mark.parametrize("make", [site, regression])
@pytest.mark.parametrize("scale", ["standard", "unit", "none"])
def test_preprocessing_goes_through_json_to_the_bit(make: Any, scale: Any) -> None:
    agreed = agree({"a": make(1), "b": make(2)}, scale)
    again = Preprocessing.from_dict(json.loads(json.dumps(agreed.to_dict())))
    assert again == agreed
    assert hash(again) == hash(agreed)
    assert np.array_equal(again.center, agreed.center)
    assert again != agree({"a": make(1), "b": make(3)}, scale) or scale == "none"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"center": [0.0]}, "4 columns, 1 centers, 4 scales"),
        ({"scale": [1.0, 1.0, 1.0, 0.0]}, "not above 0"),
        ({"scale": [1.0, 1.0, 1.0, float("nan")]}, "not finite"),
        ({"center": ["x", 1, 1, 1]}, "not a preprocessing"),
        ({"classes": [0]}, "two or more"),
        ({"classes": [1, 0]}, "sorted"),
        ({"clip": -1}, "not above 0"),
        ({"columns": None}, "one or more names"),
        ({"target_scale": None}, "not a preprocessing"),
    ],
)
def test_malformed_preprocessing_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(IncompatibleSites, match=reason):
        Preprocessing.from_dict(agree({"a": site()}).to_dict() | change)
    without = {key: value for key, value in agree({"a": site()}).to_dict().items() if key not in change}
    with pytest.raises(IncompatibleSites, match=f"without '{next(iter(change))}'"):
        Preprocessing.from_dict(without)


@pytest.mark.parametrize(
    ("X", "reason"),
    [
        (np.zeros((2, 2)), r"X has 2 columns, the model expects 4 \(a, b, c, d\)"),
        (np.zeros(4), "X has 1 dimensions, expected 2"),
        ([[1, 2, 3, 4], [1, 2]], r"row 1 of X has 2 columns, the model expects 4"),
        ([[1, 2, 3, 4], 5], "row 1 of X has no columns"),
        ([["x", "1", "2", "3"]], "X holds <U1 values, expected numbers"),
        ([[1, 2, None, 4]], "X holds object values"),
        ([[0, 0, np.nan, 0]], 'X has nan in row 0, column "c"'),
        ([[0, 0, 0, 0], [0, np.inf, 0, 0]], 'X has inf in row 1, column "b"'),
    ],
)
@pytest.mark.parametrize("scale", ["standard", "none"])
def test_wrong_inputs_are_named(X: Any, reason: str, scale: Any) -> None:
    with pytest.raises(ValueError, match=reason):
        agree({"a": site()}, scale).transform(X, "float64")


def test_a_value_beyond_the_dtype_is_refused_where_nothing_clips() -> None:
    with pytest.raises(ValueError, match="too large for float32"):
        agree({"a": site()}, "none").transform([[1e300, 0, 0, 0]])
    assert agree({"a": site()}).transform([[1e300, 0, 0, 0]])[0, 0] == 5


def test_raw_inputs_are_never_modified() -> None:
    X = np.random.default_rng(0).normal(0, 9, (500, 4))
    X.flags.writeable = False
    before = X.copy()
    for scale in ("standard", "unit", "none"):
        agree({"a": site()}, scale).transform(X, "float64")  # type: ignore[arg-type]
    assert np.array_equal(X, before)


# What the target is


def scores(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A site's rows, whose target is a score from 0 to 14."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 2)), rng.permutation(np.resize(np.arange(15), rows))


def surveyed(sizes: tuple[int, ...], task: Any = None) -> dict[str, SiteStatistics]:
    found = {}
    for number, rows in enumerate(sizes):
        sent = SiteStatistics.of(*scores(rows, number), ("a", "b"), task)
        found[str(number)] = SiteStatistics.from_parts(json.loads(json.dumps(sent.header())), sent.vector())
    return found


def test_all_sites_together_decide_whether_a_score_is_a_label() -> None:
    assert agree(surveyed((240, 30))).classes == tuple(range(15))
    few = agree(surveyed((18, 30)))
    assert few.classes is None
    assert few.target_center == pytest.approx(np.concatenate([scores(18, 0)[1], scores(30, 1)[1]]).mean())


def test_each_site_by_itself_would_decide_otherwise() -> None:
    alone = [surveyed((rows,), infer_task(scores(rows, 0)[1]))["0"] for rows in (240, 30)]
    with pytest.raises(IncompatibleSites, match=r"number labels .*quantities|quantities .*number labels"):
        agree({"large": alone[0], "small": alone[1]})


def test_the_user_or_the_model_says_what_the_target_is() -> None:
    for task in ("classification", "regression"):
        agreed = agree(surveyed((18, 30), task), task=task)
        assert agreed.task == task
        assert agree(surveyed((240, 30)), task=task).task == task
    with pytest.raises(IncompatibleSites, match="the task is regression, but all sites have number labels"):
        agree(surveyed((18, 30), "classification"), task="regression")


def test_one_site_that_can_only_be_one_of_both_settles_it() -> None:
    X, y = scores(240, 0)
    fractions = SiteStatistics.of(X, y + 0.5, ("a", "b"), None)
    assert agree({"whole": SiteStatistics.of(X, y, ("a", "b"), None), "half": fractions}).task == "regression"
    text = SiteStatistics.of(X, y.astype(str), ("a", "b"), None)
    with pytest.raises(IncompatibleSites, match="number labels"):
        agree({"whole": SiteStatistics.of(X, y, ("a", "b"), None), "text": text})


def test_labels_are_the_same_whether_stored_as_integers_or_floats() -> None:
    X, y = scores(240, 0)
    kinds = {kind: SiteStatistics.of(X, y.astype(kind), ("a", "b"), None) for kind in ("int64", "float64", "uint8")}
    assert {site.header()["classes"][1] for site in kinds.values()} == {1}
    classes = agree(kinds).classes
    assert classes is not None
    assert all(isinstance(label, int) for label in classes)


# Columns by name


def shuffled() -> tuple[dict[str, SiteStatistics], np.ndarray]:
    """Three sites whose columns stand in different orders, and the pooled table in the order of most."""
    rng = np.random.default_rng(5)
    tables = [rng.normal([0, 10, 200], [1, 2, 30], (20, 3)) for _ in range(3)]
    orders = ([0, 1, 2], [2, 0, 1], [0, 1, 2])
    names = np.array(["a", "b", "c"])
    sites = {
        str(n): SiteStatistics.of(table[:, order], np.arange(20) % 2, names[order].tolist(), "classification")
        for n, (table, order) in enumerate(zip(tables, orders, strict=True))
    }
    return sites, np.concatenate(tables)


def test_columns_are_merged_by_name_whatever_their_order() -> None:
    sites, pooled = shuffled()
    agreed = agree(sites)
    assert agreed.columns == ("a", "b", "c")
    assert np.allclose(agreed.center, pooled.mean(axis=0))
    assert np.allclose(agreed.scale, pooled.std(axis=0))


def test_merged_by_position_they_would_be_another_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SiteStatistics, "in_order", lambda self, _: self)
    sites, pooled = shuffled()
    assert not np.allclose(agree(sites).center, pooled.mean(axis=0))


def check_a_survey_counts_for_the_rows_of_its_site_at_most(limit: int | None) -> None:
    rng = np.random.default_rng(0)
    large = SiteStatistics.of(rng.normal(100.0, 2.0, (5_000, 1)), rng.normal(size=5_000), ["x"], "regression")
    small = SiteStatistics.of(rng.normal(0.0, 1.0, (50, 1)), rng.normal(size=50), ["x"], "regression")
    agreed = agree({"large": large.limited(limit), "small": small.limited(limit)})
    assert 45 < agreed.center[0] < 55, "each site is half of it"
    assert large.limited(50).inputs.deviation == pytest.approx(large.inputs.deviation)
    assert large.limited(None) is large.limited(5_000) is large


def test_a_survey_counts_for_the_rows_of_its_site_at_most() -> None:
    check_a_survey_counts_for_the_rows_of_its_site_at_most(50)


def test_a_survey_would_count_for_what_it_says() -> None:
    with pytest.raises(AssertionError, match="half"):
        check_a_survey_counts_for_the_rows_of_its_site_at_most(None)

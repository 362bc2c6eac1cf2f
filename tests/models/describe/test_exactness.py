"""The description of several sites has the figures of all their rows in one table."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.agreement.questions import settle
from nervenet.models.describe import questions
from nervenet.models.describe.description import Description
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.table import GAP, Table


def describe(sites, **options):
    return settle(
        describe_questions(DescribeOptions(**options)), {name: SiteDescriber(t).answer for name, t in sites.items()}
    )


def table(**columns):
    """A table of lists: of text, of datetime64, or of numbers."""
    arrays = [np.array(values) for values in columns.values()]
    kinds = ["date" if a.dtype.kind == "M" else "number" if a.dtype.kind in "if" else "category" for a in arrays]
    dtypes = {"date": "datetime64[s]", "number": np.float64, "category": object}
    return Table(
        tuple(columns),
        tuple(kinds),
        tuple(np.array(v, dtype=dtypes[k]) for v, k in zip(columns.values(), kinds, strict=True)),
    )


def skewed(offset=0.0):
    """Seven sites of skewed size and content, with gaps."""
    rng = np.random.default_rng(5)
    sites = {}
    for number, rows in enumerate((12, 900, 31, 400, 10, 77, 150)):
        values = offset + rng.lognormal(number / 3, 1.5, rows)
        if number % 2:
            values[rng.random(rows) < 0.1] = np.nan
        sites[f"site{number}"] = table(
            value=values, other=values * 2 + rng.normal(size=rows), whole=rng.integers(0, 9, rows)
        )
    return sites


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_and_quartiles_are_those_of_the_pooled_rows(offset):
    sites = skewed(offset)
    found = describe(sites).columns["value"]["pooled"]
    every = np.concatenate([t["value"] for t in sites.values()])
    rows = every[~np.isnan(every)]
    assert (found["count"], found["gaps"]) == (len(rows), len(every) - len(rows))
    assert found["mean"] == pytest.approx(rows.mean(), rel=1e-12)
    assert found["std"] == pytest.approx(rows.std(ddof=1), rel=1e-12)
    assert found["median"] == np.median(rows)
    assert [found["q1"], found["q3"]] == np.quantile(rows, [0.25, 0.75]).tolist()
    assert (found["min"], found["max"]) == (rows.min(), rows.max())


def test_figures_of_a_site_are_those_of_its_own_rows():
    sites = skewed()
    for name, own in sites.items():
        rows = own["other"][~np.isnan(own["other"])]
        found = describe(sites).columns["other"]["sites"][name]
        assert found["mean"] == pytest.approx(rows.mean(), rel=1e-12)
        assert found["std"] == pytest.approx(rows.std(ddof=1), rel=1e-12)
        assert [found["q1"], found["median"], found["q3"]] == [
            *np.quantile(rows, [0.25]),
            np.median(rows),
            *np.quantile(rows, [0.75]),
        ]


@given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=9), min_size=1, max_size=4))
def test_quartiles_of_any_values_are_numpys(parts):
    sites = {f"s{number}": table(x=np.array(part)) for number, part in enumerate(parts)}
    found = settle(
        describe_questions(DescribeOptions(min_rows=1)),
        {name: SiteDescriber(own, min_rows=1).answer for name, own in sites.items()},
    ).columns["x"]["pooled"]
    rows = np.concatenate(parts)
    assert [found["min"], found["q1"], found["median"], found["q3"], found["max"]] == [
        rows.min(), np.quantile(rows, 0.25), np.median(rows), np.quantile(rows, 0.75), rows.max()
    ]  # fmt: skip


def test_histograms_count_the_pooled_rows_between_edges_that_all_sites_have_in_common():
    sites = skewed()
    column = describe(sites).columns["value"]
    rows = np.concatenate([t["value"] for t in sites.values()])
    pooled = column["pooled"]["histogram"]
    assert pooled["counts"] == np.histogram(rows[~np.isnan(rows)], pooled["edges"])[0].tolist()
    [edges] = {tuple(own["histogram"]["edges"]) for own in column["sites"].values()}
    assert set(edges) <= set(pooled["edges"])
    for name, own in column["sites"].items():
        values = sites[name]["value"]
        assert own["histogram"]["counts"] == np.histogram(values[~np.isnan(values)], edges)[0].tolist()


def test_whole_numbers_each_have_their_bin_where_there_is_room():
    sites = {"a": table(x=[1, 2, 3] * 10), "b": table(x=[2, 3, 4] * 10)}
    assert describe(sites).columns["x"]["pooled"]["histogram"] == {
        "edges": [0.5, 1.5, 2.5, 3.5, 4.5],
        "counts": [10, 20, 20, 10],
    }


def test_a_constant_column_has_no_spread_and_one_bin():
    found = describe({"a": table(x=[0.1] * 30), "b": table(x=[0.1] * 40)}).columns["x"]["pooled"]
    assert (found["mean"], found["std"], found["histogram"]["counts"]) == (pytest.approx(0.1), 0.0, [70])


def test_columns_are_matched_by_name_whatever_their_order():
    a, b = table(x=[1.0] * 10, y=[5.0] * 10), table(y=[7.0] * 10, x=[3.0] * 10)
    found = describe({"a": a, "b": b}).columns
    assert (found["x"]["pooled"]["mean"], found["y"]["pooled"]["mean"]) == (2.0, 6.0)


def test_categories_are_counted_over_the_union_of_their_names():
    a = table(c=np.array(["red"] * 30 + ["blue"] * 20 + [GAP] * 2, dtype=object))
    b = table(c=np.array(["green"] * 40 + ["red"] * 10, dtype=object))
    found = describe({"a": a, "b": b}).columns["c"]
    assert found["pooled"] == {
        "count": 100,
        "gaps": 2,
        "categories": {"green": 40, "red": 40, "blue": 20},
        "other": 0,
    }
    assert found["sites"]["b"]["categories"] == {"green": 40, "red": 10, "blue": 0}


def test_dates_are_described_as_dates():
    days = np.arange("2024-01-01", "2024-01-31", dtype="datetime64[D]")
    found = describe({"a": table(d=days[:15]), "b": table(d=days[15:])}).columns["d"]["pooled"]
    assert (found["min"], found["median"], found["max"]) == ("2024-01-01", "2024-01-15T12:00:00", "2024-01-30")
    assert sum(found["histogram"]["counts"]) == 30
    assert found["histogram"]["edges"][0] == "2024-01-01"
    assert "std" not in found


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_correlations_are_those_of_the_pooled_rows_where_both_columns_have_values(offset):
    sites = skewed(offset)
    sites["site1"].arrays[1][:50] = np.nan
    found = describe(sites, correlations=True).correlations
    rows = [np.concatenate([t[name] for t in sites.values()]) for name in found["columns"]]
    for i, x in enumerate(rows):
        for j, y in enumerate(rows):
            both = ~np.isnan(x) & ~np.isnan(y)
            assert found["pooled"][i][j] == pytest.approx(np.corrcoef(x[both], y[both])[0, 1], rel=1e-9)


def test_a_column_that_does_not_vary_correlates_with_nothing():
    own = {"a": table(x=[0.1] * 20, y=list(range(20))), "b": table(x=[0.1] * 20, y=list(range(20)))}
    found = describe(own, correlations=True).correlations["pooled"]
    assert found == [[1.0, None], [None, 1.0]]


def test_a_description_survives_json():
    found = describe(skewed(), correlations=True)
    assert Description.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_many_columns_are_asked_about_in_parts(monkeypatch):
    monkeypatch.setattr(questions, "MOST_BYTES", 40)
    rng = np.random.default_rng(0)
    sites = {n: table(**{f"x{k}": rng.normal(size=30) for k in range(50)}, c=["red", "blue"] * 15) for n in "ab"}
    in_parts = describe(sites, correlations=True)
    monkeypatch.undo()
    at_once = describe(sites, correlations=True)
    assert in_parts.columns == at_once.columns
    assert in_parts.sites == at_once.sites


def test_more_columns_than_are_correlated_are_refused(monkeypatch):
    monkeypatch.setattr(questions, "CORRELATED", 2)
    with pytest.raises(IncompatibleSites, match="3 columns to correlate: at most 2 are"):
        describe(skewed(), correlations=True)

"""Exact quantiles: what the sites agree on is what NumPy computes of the pooled column, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.models.agreement import order_statistics as orders
from nervenet.models.agreement.quantiles import METHODS, count, median, middle, quantiles
from nervenet.models.agreement.questions import Answer, Dialog, settle
from nervenet.models.moments import IncompatibleSites

PROBABILITIES = (0.0, 0.013, 0.25, 1 / 3, 0.5, 0.75, 0.99, 1.0)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TIES = st.sampled_from([0.0, -0.0, 1.0, 5e-324, -5e-324, 1e6, 1e6 + 2**-30, -7.25])


def sites(*tables):
    return {f"s{k}": lambda question, table=table: count(question, table.__getitem__) for k, table in enumerate(tables)}


def seven(seed=0):
    """Sites of skewed size and content: one has one row, one only gaps in a column; ties, an offset, denormals."""
    rng = np.random.default_rng(seed)
    found = []
    for rows in (400, 1, 37, 90, 5, 2, 211):
        ties = rng.integers(-3, 3, rows).astype(float)
        offset = 1e6 + rng.normal(size=rows) * 1e-3
        gaps = np.where(rng.random(rows) < 0.3, np.nan, rng.standard_cauchy(rows) * 1e100)
        tiny = rng.integers(-9, 9, rows) * 5e-324
        found.append([ties, offset, gaps if rows != 37 else np.full(rows, np.nan), tiny, -ties * 0.0])
    return found


def pooled(tables):
    return [np.concatenate([table[k] for table in tables]) for k in range(len(tables[0]))]


def same(found, expected):
    """Whether two arrays are the same bits, -0.0 and 0.0 apart."""
    return np.array_equal(np.asarray(found) + 0.0, np.asarray(expected) + 0.0, equal_nan=True)


def asked(questions, tables):
    """What was agreed, and in how many exchanges."""
    dialog = Dialog(questions)
    while dialog.question is not None:
        dialog.take({site: answer(dialog.question) for site, answer in sites(*tables).items()})
    return dialog.agreed, dialog.step


@pytest.mark.parametrize("method", METHODS)
def test_many_columns_and_quantiles_take_four_exchanges(method):
    tables = seven()
    found, exchanges = asked(quantiles(range(5), PROBABILITIES, method), tables)
    assert exchanges == 4
    expected = [np.nanquantile(column, PROBABILITIES, method=method) for column in pooled(tables)]
    assert same(found.values, expected)
    assert found.n.tolist() == [np.count_nonzero(~np.isnan(column)) for column in pooled(tables)]


@given(st.lists(st.lists(FLOATS | TIES, max_size=30), min_size=1, max_size=7), st.floats(0, 1))
def test_any_values_at_any_sites(lists, probability):
    tables = [[np.array(values, float)] for values in lists]
    [column] = pooled(tables)
    for method in ("linear", "lower", "higher", "averaged_inverted_cdf"):
        found = settle(quantiles([0], [probability, 0.5], method), sites(*tables))
        with np.errstate(over="ignore", invalid="ignore"):
            expected = np.quantile(column, [probability, 0.5], method=method) if len(column) else [np.nan, np.nan]
        assert same(found.values[0], expected)


@given(st.lists(FLOATS | TIES, min_size=1, max_size=40))
def test_the_median_is_numpys(values):
    tables = [[np.array(values[:3])], [np.array(values[3:])]]
    [found] = settle(orders.order_statistics([0], middle), sites(*tables))
    with np.errstate(over="ignore"):
        assert same(median(found), np.median(values))


@given(st.lists(FLOATS | TIES | st.sampled_from([np.inf, -np.inf]), min_size=2))
def test_keys_are_in_the_order_of_values(values):
    column = np.array(values)
    keys = orders.keys(column)
    assert np.array_equal(column[:-1] < column[1:], keys[:-1] < keys[1:])
    assert same(orders.values_of(keys), column)


def test_a_column_of_gaps_only_has_no_quantiles():
    tables = [[np.array([np.nan]), np.array([1.0])], [np.empty(0), np.array([2.0])]]
    found = settle(quantiles([0, 1], [0.5]), sites(*tables))
    assert found.n.tolist() == [0, 2]
    assert same(found.values, [[np.nan], [1.5]])


def test_nobody_has_a_value_and_no_column_is_asked():
    assert settle(quantiles([0], [0.5]), sites([np.empty(0)])).n.tolist() == [0]
    assert settle(quantiles([], [0.5]), sites([])).values.shape == (0, 1)


@pytest.mark.parametrize(("limit", "most"), [("MOST_NUMBERS", 50), ("MOST_PREFIXES", 3)])
def test_a_long_answer_or_question_is_asked_in_parts(monkeypatch, limit, most):
    tables = seven()
    whole = settle(quantiles(range(5), PROBABILITIES), sites(*tables))
    monkeypatch.setattr(orders, limit, most)
    parts, exchanges = asked(quantiles(range(5), PROBABILITIES), tables)
    assert exchanges > 4
    assert same(parts.values, whole.values)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_fewer_bits_at_a_time_take_more_exchanges_and_shorter_answers(bits):
    tables = seven()
    found, exchanges = asked(quantiles(range(5), [0.25, 0.5], bits=bits), tables)
    assert exchanges == 64 // bits
    assert same(found.values, [np.nanquantile(column, [0.25, 0.5]) for column in pooled(tables)])
    answer = count(next(quantiles(range(5), [0.5], bits=bits)), tables[0].__getitem__)
    assert len(answer.vector) <= 5 * (1 + 2**bits)


def test_a_key_is_not_cut_into_unequal_parts():
    with pytest.raises(ValueError, match="bits is 5; allowed: 1, 2, 4, 8, 16"):
        next(quantiles([0], [0.5], bits=5))


def test_an_answer_holds_no_more_numbers_than_the_occupied_bins():
    question = next(quantiles([0], [0.5]))
    answer = count(question, [np.array([1.0, 1.0, 2.0, np.nan])].__getitem__)
    assert len(answer.vector) == 3
    assert answer.fields == {}


@pytest.mark.parametrize(
    "vector",
    [[], [1], [1, 3], [1, 65536.5], [1, np.nan], [1, -65536], [2, 65537, 65537], [2, 65538, 65537], [[1, 65537]]],
)
def test_an_answer_that_counts_nothing_whole_is_refused_by_name(vector):
    dialog = Dialog(quantiles([0], [0.5]))
    good = count(dialog.question, [np.array([1.0])].__getitem__)
    with pytest.raises(IncompatibleSites, match="site b has sent") as caught:
        dialog.take({"a": good, "b": Answer({}, np.array(vector, float))})
    assert caught.value.site == "b"


def test_a_site_that_counts_other_values_later_is_refused_by_name():
    dialog = Dialog(quantiles([0], [0.5]))
    dialog.take({site: count(dialog.question, [np.array([1.0, 1.5])].__getitem__) for site in "ab"})
    good = count(dialog.question, [np.array([1.0, 1.5])].__getitem__)
    more = count(dialog.question, [np.array([1.0, 1.5, 1.5])].__getitem__)
    with pytest.raises(IncompatibleSites, match="site b has counted other values than it counted before"):
        dialog.take({"a": good, "b": more})

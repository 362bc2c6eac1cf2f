"""What stays untold: sites and columns below the floor, names that are rare, and counts that could be computed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.models.agreement.questions import settle
from nervenet.models.describe import suppression
from nervenet.models.describe.histogram import cuts, join
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.describe.suppression import hidden_counts
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.table import Table

FLOOR = 3


def numbers(*values):
    return Table(("x",), ("number",), (np.array(values, dtype=np.float64),))


def words(counts):
    cells = [name for name, times in counts.items() for _ in range(times)]
    return Table(("c",), ("category",), (np.array(cells, dtype=object),))


def describe(sites, **options):
    return settle(
        describe_questions(DescribeOptions(**options)), {name: SiteDescriber(t).answer for name, t in sites.items()}
    )


def test_a_site_below_the_floor_tells_nothing_and_is_named_with_the_reason():
    found = describe({"a": numbers(*range(20)), "c": numbers(1e9, 2e9)})
    assert found.sites["c"] == {"answered": False, "reason": "has fewer than 10 rows", "gave": []}
    assert list(found.columns["x"]["sites"]) == ["a"]
    assert found.columns["x"]["pooled"]["max"] == 19.0
    assert found.rows == 20


def test_a_sites_own_floor_cannot_be_lowered_by_who_asks():
    own = SiteDescriber(numbers(*range(20)), min_rows=30)
    asked = {
        "columns": {},
        "figures": {"columns": ["x"]},
        "ranks": {"columns": ["x"], "bits": 4, "known": 0, "prefixes": [[0]]},
        "counts": {"columns": {"x": [0, 9]}},
        "co-moments": {"columns": ["x"], "center": [0.0]},
    }
    for part, fields in asked.items():
        answer = own.answer({"ask": "describe", "part": part, "min_rows": 1, **fields})
        assert dict(answer.fields) == {"declined": "has fewer than 30 rows"}
        assert answer.vector.size == 0


def test_the_highest_floor_of_all_sites_is_the_floor_of_all():
    sites = {"a": SiteDescriber(numbers(*range(12))).answer, "b": SiteDescriber(numbers(*range(40)), 25).answer}
    found = settle(describe_questions(), sites)
    assert found.min_rows == 25
    assert found.sites["a"]["reason"] == "has fewer than 25 rows, the highest floor of all sites"


def test_without_any_site_above_the_floor_nothing_is_described():
    with pytest.raises(IncompatibleSites, match="no site has 10 rows or more"):
        describe({"a": numbers(1, 2)})


def test_a_column_with_fewer_values_than_the_floor_is_left_out_at_that_site():
    few = numbers(*range(9), *[np.nan] * 20)
    found = describe({"a": numbers(*range(100, 120)), "b": few}).columns["x"]
    assert found["pooled"]["count"] == 20
    assert list(found["sites"]) == ["a"]
    assert found["note"] == "b: fewer than 10 values"


def test_a_column_of_gaps_alone_counts_as_gaps():
    found = describe({"a": numbers(*range(20)), "b": numbers(*[np.nan] * 15)}).columns["x"]
    assert (found["pooled"]["count"], found["pooled"]["gaps"]) == (20, 15)
    assert found["sites"]["b"] == {"count": 0, "gaps": 15}


def test_a_column_of_two_kinds_is_not_described_and_says_where_it_is_what():
    b = Table(("x",), ("category",), (np.array(["red"] * 20, dtype=object),))
    found = describe({"a": numbers(*range(20)), "b": b}).columns["x"]
    assert (found["kind"], found["note"]) == ("mixed", "not described: number at a, category at b")


def test_a_category_that_is_rare_at_every_site_has_no_name():
    found = describe({"a": words({"yes": 50, "Ann": 9}), "b": words({"yes": 50, "Bob": 9})}).columns["c"]
    assert "Ann" not in str(found)
    assert "Bob" not in str(found)


def test_an_identifier_gives_no_name_away():
    names = {f"patient {number}": 1 for number in range(40)}
    answered = []
    own = SiteDescriber(words(names))
    settle(describe_questions(), {"a": lambda question: answered.append(own.answer(question)) or answered[-1]})
    assert "patient" not in str(answered)


def test_a_small_count_and_its_complement_are_hidden():
    a, b = words({"x": 100, "y": 60}), words({"x": 3, "y": 90})
    found = describe({"a": a, "b": b}).columns["c"]
    assert found["pooled"]["categories"] == {"y": 150, "x": 103}
    assert found["sites"]["a"]["categories"] == {"y": None, "x": None}
    assert found["sites"]["b"]["categories"] == {"y": None, "x": None}


def test_what_each_site_gave_away_is_counted():
    found = describe({"a": numbers(*range(20)), "b": words({"yes": 30})})
    assert [line["question"] for line in found.sites["a"]["gave"]] == ["columns", "figures", "ranks", "counts"]
    assert found.sites["b"]["gave"][1]["names"] == 1
    assert all(line["numbers"] + line["names"] > 0 for line in found.sites["a"]["gave"])


small_tables = st.integers(1, 4).flatmap(
    lambda cells: st.lists(st.lists(st.integers(0, 9), min_size=cells, max_size=cells), min_size=1, max_size=4)
)


def with_sites_above_the_floor(rows):
    return np.array([row for row in rows if sum(row) >= FLOOR], dtype=np.int64).reshape(-1, len(rows[0]))


def ranges(counts, hidden):
    """The least and the most that each hidden count can be, for a reader of all that is shown (linear programming)."""
    from scipy.optimize import linprog

    sites, cells = counts.shape
    rows, sums = [], []

    def equation(which, total):
        rows.append(which.ravel().astype(float))
        sums.append(float(total))

    for site, cell in itertools.product(range(sites), range(cells)):
        which = np.zeros(counts.shape)
        which[site, cell] = 1
        if not hidden.sites[site, cell]:
            equation(which, counts[site, cell])
    for site in range(sites):
        which = np.zeros(counts.shape)
        which[site] = 1
        equation(which, counts[site].sum())
    for cell in np.flatnonzero(~hidden.pooled):
        which = np.zeros(counts.shape)
        which[:, cell] = 1
        equation(which, counts[:, cell].sum())
    found = {}
    wanted = [np.ravel_multi_index(place, counts.shape) for place in np.argwhere(hidden.sites)]
    targets = [(("site", place), np.eye(counts.size)[place]) for place in wanted]
    for cell in np.flatnonzero(hidden.pooled):
        which = np.zeros(counts.shape)
        which[:, cell] = 1
        targets.append((("pooled", cell), which.ravel()))
    for name, target in targets:
        ends = [linprog(sign * target, A_eq=np.array(rows), b_eq=sums, bounds=(0, None)).fun * sign for sign in (1, -1)]
        found[name] = tuple(round(end) for end in ends)
    return found


def revealed(counts, hidden):
    """Small counts that are shown, or that a reader can narrow down to less than the rule allows."""
    found = [tuple(place) for place in np.argwhere((counts > 0) & (counts < FLOOR) & ~hidden.sites)]
    sums = counts.sum(axis=0)
    found += [("pooled", cell) for cell in np.flatnonzero((sums > 0) & (sums < FLOOR) & ~hidden.pooled)]
    for (where, place), (least, most) in ranges(counts, hidden).items():
        own = counts.ravel()[place] if where == "site" else sums[place]
        if 0 < own < FLOOR and (most < FLOOR or most - least < FLOOR):
            found.append((where, place, least, most))
    return found


@given(small_tables)
@settings(max_examples=30, deadline=None)
def test_no_small_count_can_be_computed_from_what_is_shown(rows):
    counts = with_sites_above_the_floor(rows)
    if len(counts):
        assert revealed(counts, hidden_counts(counts, FLOOR)) == []


def test_without_complementary_suppression_it_could(monkeypatch):
    counts = np.array([[9, 8], [1, 7]])
    monkeypatch.setattr(suppression, "_exposed", lambda *_: 0)
    assert revealed(counts, hidden_counts(counts, FLOOR)) != []


def test_what_need_not_be_hidden_is_shown():
    counts = np.array([[30, 20, 40], [35, 25, 45], [12, 28, 1], [50, 60, 13]])
    hidden = hidden_counts(counts, 10)
    assert not hidden.pooled.any()
    assert hidden.sites.sum() == 4
    assert hidden.sites[2, 2]


@given(st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=4))
def test_bins_of_histograms_are_joined_until_none_is_small_at_a_site_or_between_two_sites(rows):
    counts = with_sites_above_the_floor(rows)
    if not len(counts):
        return
    fine = join(counts, cuts(counts.sum(axis=0, keepdims=True), FLOOR))
    kept = cuts(fine, FLOOR)
    coarse = join(fine, kept)
    assert not ((coarse > 0) & (coarse < FLOOR)).any()
    assert coarse.sum() == counts.sum()
    # What a reader of both knows of a site within one coarse bin, by Fréchet's bounds.
    for start, stop in itertools.pairwise(kept):
        for site, place in itertools.product(range(len(fine)), range(start, stop)):
            own, pooled, total = fine[site, start:stop].sum(), fine[:, place].sum(), fine[:, start:stop].sum()
            least, most = max(0, own + pooled - total), min(own, pooled)
            if 0 < fine[site, place] < FLOOR:
                assert most >= FLOOR
                assert most - least >= FLOOR

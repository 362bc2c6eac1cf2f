"""Several sites' statistics as those of one site."""

from typing import Any

import numpy as np
import pytest
from nervenet.models.agreement.questions import Answer
from nervenet.models.merged_statistics import merged_answer
from nervenet.models.moments import IncompatibleSites
from nervenet.models.site_statistics import SiteStatistics, agree

COLUMNS = ("a", "b", "c")


def answer(y: Any, task: Any = None, columns: tuple[str, ...] = COLUMNS, rows: slice = slice(None)) -> Answer:
    X = np.random.default_rng(3).normal(1e6, 2.0, (60, 3))[rows]
    told = SiteStatistics.of(X, np.asarray(y), columns, task)
    return Answer(told.header(), told.vector())


def agreed(answers: dict[str, Answer]) -> Any:
    return agree({site: SiteStatistics.from_parts(*told) for site, told in answers.items()})


@pytest.mark.parametrize("task", [None, "classification", "regression"])
def test_all_agree_on_the_same_from_the_sums_of_regions(task: Any) -> None:
    labels = [[0, 1] * 10, [1, 2] * 10, [0, 3] * 10]
    parts = [slice(0, 20), slice(20, 40), slice(40, 60)]
    sites = {f"s{k}": answer(y, task, rows=part) for k, (y, part) in enumerate(zip(labels, parts, strict=True))}
    north = merged_answer({name: sites[name] for name in ("s0", "s1")}, {})
    flat, deep = agreed(sites), agreed({"north": north, "south": merged_answer({"s2": sites["s2"]}, {})})
    assert deep.classes == flat.classes
    np.testing.assert_allclose(deep.center, flat.center, rtol=1e-12)
    np.testing.assert_allclose(deep.scale, flat.scale, rtol=1e-9)
    assert deep.target_center == pytest.approx(flat.target_center, rel=1e-12)
    assert deep.target_scale == pytest.approx(flat.target_scale, rel=1e-12)


def test_a_site_counts_for_no_more_rows_than_it_may() -> None:
    one = answer([0, 1] * 30)
    merged = merged_answer({"s0": one, "s1": one}, {"s1": 20})
    assert SiteStatistics.from_parts(*merged).inputs.n == 80


def test_who_does_not_fit_is_named() -> None:
    plain = answer([0, 1] * 30)
    table = Answer({**plain.fields, "kinds": ["number"] * 3}, plain.vector)
    with pytest.raises(IncompatibleSites, match="site s1 has a table with text, dates or gaps"):
        merged_answer({"s0": plain, "s1": table}, {})
    with pytest.raises(IncompatibleSites, match=r"site s2 has 3 columns.*lacks c and adds d"):
        merged_answer({"s0": plain, "s1": plain, "s2": answer([0, 1] * 30, columns=("a", "b", "d"))}, {})
    with pytest.raises(IncompatibleSites, match="site s0 has labels as targets; site s1 has quantities"):
        merged_answer({"s0": answer(["x", "y"] * 30), "s1": answer(np.linspace(0, 1, 60))}, {})
    with pytest.raises(IncompatibleSites, match="some sites have text labels"):
        merged_answer({"s0": answer(["x", "y"] * 30), "s1": answer([0, 1] * 30, "classification")}, {})
    with pytest.raises(IncompatibleSites, match="site s1: the statistics of 3 columns are"):
        merged_answer({"s0": plain, "s1": Answer(plain.fields, plain.vector[:-1])}, {})

"""One test set of many site models of a process is held once, prepared as it was agreed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.models.prepared_once import PreparedOnce
from nervenet.models.site_model import SiteModel, share_test_rows
from nervenet.models.site_statistics import agree

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(40, 3)), np.arange(40) % 2
TEST = (RNG.normal(size=(20, 3)), np.arange(20) % 2)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were prepared each time, for the evaluation of those that `site` returns."""
    from nervenet.models.preprocessing import Preprocessing

    rows: list[int] = []
    transform = Preprocessing.transform

    def counted(self: Preprocessing, table: Any, dtype: str = "float32") -> Any:
        rows.append(len(table))
        return transform(self, table, dtype)

    monkeypatch.setattr(Preprocessing, "transform", counted)
    return rows


def site(once: PreparedOnce | None, *, scale: float = 1.0, dtype: str = "float32") -> SiteModel:
    one = SiteModel(MLP((4,), dtype=dtype), scale * X, Y, columns=("a", "b", "c"), test=TEST)
    if once is not None:
        share_test_rows(one, once)
    one.build(agree({"only": one.statistics()}), seed=0)
    return one


def test_those_that_agreed_on_the_same_evaluate_on_the_same_rows(prepared: list[int]) -> None:
    once = PreparedOnce()
    figures = [site(once).evaluate("test") for _ in range(3)]
    assert prepared.count(len(TEST[1])) == 1
    assert figures == [site(None).evaluate("test")] * 3


@pytest.mark.parametrize("other", [{"scale": 2.0}, {"dtype": "float64"}])
def test_what_was_agreed_otherwise_is_prepared_otherwise(prepared: list[int], other: dict[str, Any]) -> None:
    once = PreparedOnce()
    first = site(once).evaluate("test")
    assert site(once, **other).evaluate("test") == site(None, **other).evaluate("test") != first
    assert prepared.count(len(TEST[1])) == 3


def test_one_without_a_test_set_shares_none() -> None:
    one = SiteModel(MLP((4,)), X, Y)
    share_test_rows(one, PreparedOnce())
    one.build(agree({"only": one.statistics()}), seed=0)
    assert one.evaluate("test") == {}

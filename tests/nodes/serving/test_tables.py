"""The prediction service of a model of tables: rows as lists or objects, null for a gap, what does not fit by name."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from nervenet.models import SiteModel
from nervenet.models.agreement.questions import settle
from nervenet.models.tables import rows
from nervenet.nodes.serving.app import predictor_app

from .conftest import TABLE

ROWS = [[50, "eye", "2026-01-31"], [None, "ear", "2026-02-01"], [70.0, None, None]]


@pytest.fixture
def model(table: SiteModel) -> SiteModel:
    return table


async def posted(model: SiteModel, body: Any) -> tuple[int, Any]:
    transport = httpx.ASGITransport(predictor_app(model))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        answer = await http.post("/predict", content=json.dumps(body))
        return answer.status_code, answer.json()


async def test_rows_are_lists_or_objects_and_null_is_a_gap(model: SiteModel) -> None:
    named = [{name: cell for name, cell in zip(TABLE.columns, row, strict=True) if cell is not None} for row in ROWS]
    wanted = (200, {"y_pred": model.predict(TABLE.take(np.arange(3))).tolist()})
    assert await posted(model, {"X_test": ROWS}) == wanted
    assert await posted(model, {"X_test": named}) == wanted
    assert await posted(model, {"X_test": [[50, "a ward that no site has", None]]}) != wanted


@pytest.fixture(scope="module")
def estimator() -> SiteModel:
    """A model that wants a row at least."""
    pytest.importorskip("sklearn")
    from sklearn.neural_network import MLPClassifier

    site = SiteModel(MLPClassifier((2,)), TABLE, np.array(["good", "poor", "poor", "good"]))
    site.build(settle(site.questions(), {"only": site.answer}).preprocessing, seed=0)
    return site


async def test_no_rows_are_no_predictions(model: SiteModel, estimator: SiteModel) -> None:
    for served in (model, estimator):
        assert await posted(served, {"X_test": []}) == (200, {"y_pred": []})


async def test_without_the_look_at_their_number_no_rows_end_in_an_error(
    estimator: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervenet.nodes.serving.answers.len", lambda _: 1, raising=False)
    status, answer = await posted(estimator, {"X_test": []})
    assert (status, "error" in answer) == (422, True)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["old", "eye", None]], ["X_test row 0, column 'age'", "found 'old'", "expected a number or null"]),
        ([ROWS[0], {"wart": "eye"}], ["X_test row 1, column 'wart'", "did you mean ward?"]),
        ([ROWS[0][:2]], ["X_test row 0", "found 2 values", "expected 3 (age, ward, day)"]),
        ([[50, "eye", "tomorrow"]], ["column 'day'", "found 'tomorrow'", "a date such as 2026-01-31"]),
        ("rows", ["X_test is a string", "expected 3 values a row (age, ward, day)"]),
    ],
)
async def test_what_does_not_fit_is_named(model: SiteModel, rows: Any, words: list[str]) -> None:
    status, answer = await posted(model, {"X_test": rows})
    assert status == 422
    assert [word for word in words if word not in answer["error"]] == []


async def test_kinds_are_told(model: SiteModel) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(predictor_app(model)), base_url="http://here") as http:
        known = (await http.get("/model")).json()
    assert (known["columns"], known["kinds"]) == (["age", "ward", "day"], ["number", "category", "date"])


async def test_a_category_may_be_an_integer_beyond_floats(model: SiteModel, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"X_test": [[50, 10**400, None]]}
    assert (await posted(model, body))[0] == 200
    monkeypatch.setattr(rows, "category_name", lambda value: str(int(float(value))))
    with pytest.raises(OverflowError):
        await posted(model, body)


@pytest.mark.parametrize(("padding", "cell"), [("", "NaN"), (" " * 20_000, "NaN"), ("", "nil")])
async def test_nan_is_no_json_and_said_to_be_null(model: SiteModel, padding: str, cell: str) -> None:
    body = padding + '{"X_test": [[' + cell + ', "eye", null]]}'
    transport = httpx.ASGITransport(predictor_app(model))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        answer = await http.post("/predict", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith("JSON has no NaN, a gap is null") == (cell == "NaN")

"""What a server says of itself: its OpenAPI document, its metrics, and nothing of it without the token."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP, SiteModel
from nervenet.nodes.serving.answers import Answers, Asked, warm
from nervenet.nodes.serving.app import app_of, predictor_app
from nervenet.nodes.serving.formats import ARROW, CSV, JSON
from nervenet.nodes.serving.metrics import BOUNDS, Metrics
from nervenet.scripts.http_access import Access

from .conftest import COLUMNS, calling


def document(answers: Answers) -> Any:
    return json.loads(answers.openapi().body)


def test_the_document_has_the_columns_and_classes_of_this_model(numbers: SiteModel) -> None:
    found = document(Answers(numbers, max_rows=77))
    by_place, by_name = found["components"]["schemas"]["Rows"]["properties"]["X_test"]["items"]["anyOf"]
    assert (by_place["minItems"], by_place["maxItems"]) == (3, 3)
    assert (by_name["required"], set(by_name["properties"])) == (list(COLUMNS), set(COLUMNS))
    assert found["components"]["schemas"]["Rows"]["properties"]["X_test"]["maxItems"] == 77
    schema = found["paths"]["/predict"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["properties"]["y_pred"]["items"] == {"enum": [7, 8, 9]}
    assert set(found["paths"]) == {"/predict", "/predict_proba", "/healthz", "/model", "/metrics", "/openapi.json"}


def test_the_kinds_of_a_table_are_in_it(table: SiteModel) -> None:
    items = document(Answers(table))["components"]["schemas"]["Rows"]["properties"]["X_test"]["items"]
    by_place = items["anyOf"][0]
    assert len(by_place["prefixItems"]) == 3
    number, _, date = by_place["prefixItems"]
    assert {"type": "string", "format": "date"} in date["anyOf"]
    assert re.match(number["anyOf"][-1]["pattern"], " NA ")
    assert len(items["anyOf"]) == 3


def test_what_a_model_cannot_answer_is_not_in_it(quantities: SiteModel) -> None:
    assert "/predict_proba" not in document(Answers(quantities))["paths"]
    waiting = document(Answers(SiteModel(MLP())))
    assert "/predict" in waiting["paths"]
    assert "security" not in waiting
    assert document(Answers(quantities, allows=Access("s" * 20).allows))["security"] == [{"token": []}]


def test_another_model_has_another_document(numbers: SiteModel, quantities: SiteModel) -> None:
    answers = Answers(numbers)
    answers.serve(quantities, {"round": 8})
    assert "/predict_proba" not in document(answers)["paths"]
    assert json.loads(answers.model().body)["round"] == 8


async def test_requests_rows_and_rounds_are_counted(numbers: SiteModel) -> None:
    answers = Answers(numbers, {"round": 20})
    async with calling(app_of(answers)) as http:
        for body in ({"X_test": [[1, 2, 3], [4, 5, 6]]}, {"X_test": 1}, {"X_test": [[1, 2, 3]]}):
            await http.post("/predict", json=body)
        await http.get("/nothing")
        told = await http.get("/metrics")
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = told.text.splitlines()
    for line in (
        'nervenet_requests_total{path="/predict",status="200"} 2.0',
        'nervenet_requests_total{path="/predict",status="422"} 1.0',
        'nervenet_requests_total{path="other",status="404"} 1.0',
        'nervenet_request_seconds_count{path="/predict"} 3.0',
        'nervenet_request_seconds_bucket{le="+Inf",path="/predict"} 3.0',
        "nervenet_rows_total 3.0",
        "nervenet_model_round 20.0",
        "nervenet_model_swaps_total 0.0",
    ):
        assert line in lines


def test_buckets_are_cumulative() -> None:
    metrics = Metrics()
    for seconds in (0.0005, 0.001, 0.004, 99.0):
        metrics.answered("/predict", 200, seconds)
    found = [line.split()[-1] for line in metrics.exposition(None).decode().splitlines() if "_bucket" in line]
    assert [float(count) for count in found] == [2, 2, *[3] * (len(BOUNDS) - 2), 4]


async def test_without_its_library_it_is_said_what_is_missing(
    numbers: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervenet.nodes.serving.metrics.installed", lambda _: False)
    async with calling(predictor_app(numbers)) as http:
        assert (await http.post("/predict", json={"X_test": [[1, 2, 3]]})).status_code == 200
        told = await http.get("/metrics")
    assert (told.status_code, told.json()["error"]) == (
        501,
        'GET /metrics: prometheus_client is not installed: pip install "nervenet[metrics]"',
    )


async def test_without_the_token_nothing_is_told(numbers: SiteModel) -> None:
    async with calling(predictor_app(numbers, allows=Access("s" * 20).allows)) as http:
        for path in ("/metrics", "/openapi.json", "/model"):
            assert (await http.get(path)).status_code == 401
        assert (await http.post("/predict_proba", json={})).status_code == 401


async def test_a_model_that_fails_is_named_and_the_server_goes_on(
    numbers: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    def broken(_: Any) -> np.ndarray[Any, Any]:
        raise RuntimeError("out of order")

    app = predictor_app(numbers)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
        with monkeypatch.context() as patch:
            patch.setattr(numbers, "predict", broken)
            answer = await http.post("/predict", json={"X_test": [[1, 2, 3]]})
        assert (answer.status_code, answer.json()) == (500, {"error": "POST /predict: RuntimeError: out of order"})
        assert (await http.post("/predict", json={"X_test": [[1, 2, 3]]})).status_code == 200


def test_what_may_import_a_package_first_is_not_answered_on_the_event_loop(numbers: SiteModel) -> None:
    answers = Answers(numbers)
    assert answers.at_once(b"{}", Asked())
    assert answers.at_once(b"{}", Asked(JSON, f"{CSV}, */*"))
    assert not answers.at_once(b"{}", Asked(accept=ARROW))
    assert not answers.at_once(b"{}", Asked(f"{CSV}; charset=utf-8"))


def test_a_model_is_warm_before_it_is_asked(
    numbers: SiteModel, table: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in (numbers, table):
        asked: list[int] = []
        plain = model.predict
        monkeypatch.setattr(model, "predict", lambda X, plain=plain, asked=asked: (asked.append(len(X)), plain(X))[1])
        assert warm(model) is model
        assert asked == [1]


async def test_what_takes_long_is_not_computed_on_the_event_loop(
    numbers: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    answers, threads, plain = Answers(numbers), [], numbers.predict
    monkeypatch.setattr(numbers, "predict", lambda X: (threads.append(threading.current_thread()), plain(X))[1])
    async with calling(app_of(answers)) as http:
        for quick in (True, False):
            answers.quick = quick
            await http.post("/predict", json={"X_test": [[1, 2, 3]]})
    assert [thread is threading.main_thread() for thread in threads] == [True, False]

"""The prediction service: original labels out, and a reason for every request that cannot be answered."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.serving import answers
from nervenet.nodes.serving.app import predictor_app
from nervenet.scripts.http_access import Access

from .conftest import COLUMNS, calling, trained

NUMBERS = trained(np.arange(60) % 3 + 7)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = predictor_app(
        NUMBERS, {"round": 20, "metrics": {"accuracy": float("nan")}}, max_rows=5000, max_body_bytes=10**6
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as http:
        yield http


async def test_original_labels_come_back(client: httpx.AsyncClient) -> None:
    answer = await client.post("/predict", json={"X_test": [[0, 0, 0], [5, 5, 5.0], [10, 10, 10]]})
    assert (answer.status_code, answer.json()) == (200, {"y_pred": [7, 8, 9]})
    assert all(isinstance(label, int) for label in answer.json()["y_pred"])


async def test_text_labels_and_quantities_come_back_as_they_were() -> None:
    texts = trained(np.array(["a", "b", "c"])[np.arange(60) % 3])
    floats = trained(np.arange(60) % 3 * 100.5)
    for site_model, kind in ((texts, str), (floats, float)):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(predictor_app(site_model)), base_url="http://here"
        ) as http:
            labels = (await http.post("/predict", json={"X_test": [[0, 0, 0], [10, 10, 10]]})).json()["y_pred"]
        assert [type(label) for label in labels] == [kind, kind]


async def test_no_rows_are_no_predictions(client: httpx.AsyncClient) -> None:
    answer = await client.post("/predict", json={"X_test": []})
    assert (answer.status_code, answer.json()) == (200, {"y_pred": []})


async def test_rows_may_be_objects_and_truth_values_are_numbers(client: httpx.AsyncClient) -> None:
    listed = await client.post("/predict", json={"X_test": [[1, 0, 3.5]]})
    named = {"id": "a", "petal length": 3.5, "sepal width": False, "sepal length": True}
    answer = await client.post("/predict", json={"X_test": [named]})
    assert (answer.status_code, answer.json()) == (200, listed.json())


async def test_many_rows_are_predicted_off_the_event_loop(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    threads = []
    plain = NUMBERS.predict
    monkeypatch.setattr(NUMBERS, "predict", lambda X: (threads.append(threading.current_thread()), plain(X))[1])
    few = await client.post("/predict", json={"X_test": [[0, 0, 0]]})
    many = await client.post("/predict", json={"X_test": [[0, 0, 0]] * 4000})
    assert [len(answer.json()["y_pred"]) for answer in (few, many)] == [1, 4000]
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"garbage", ["not JSON", "X_test"]),
        (b"", ["not JSON"]),
        (b"\xff\xfe", ["not JSON"]),
        (b"[]", ["the body is a list", "X_test"]),
        (b"{}", ["field X_test is missing", "3 numbers"]),
        (b'{"X": [[1,2,3]]}', ["field X_test is missing", "fields received: X"]),
        (b'{"X_test": 3}', ["X_test is a number"]),
        (b'{"X_test": [1, 2, 3]}', ["row 0 is a number", "expected a list or an object"]),
        (b'{"X_test": [[5.1, 3.5]]}', ["row 0 has 2 values", "expected 3", "sepal length"]),
        (b'{"X_test": [[1,2,3],[1,2,3,4]]}', ["row 1 has 4 values", "expected 3"]),
        (b'{"X_test": [[1,2,"x"]]}', ["row 0, column 'petal length' is 'x'"]),
        (b'{"X_test": [[1,null,3]]}', ["column 'sepal width' is null"]),
        (b'{"X_test": [{"sepal width": 1}]}', ["row 0 lacks 'sepal length', 'petal length'", "a number for each of"]),
        (b'{"X_test": [{"sepal": 1}]}', ["row 0 lacks", "it has sepal, which the model does not know"]),
        (b'{"X_test": [[1,[2],3]]}', ["column 'sepal width' is a list"]),
        (b'{"X_test": [[NaN,2,3]]}', ["not JSON"]),
        (b'{"X_test": [[1e999,2,3]]}', ["X_test"]),
        (b'{"X_test": [[1' + b"0" * 400 + b",2,3]]}", ["X_test"]),
        (json.dumps({"X_test": [[0, 0, 0]] * 5001}).encode(), ["5001 rows", "at most 5000"]),
        (b" " * 1_000_001, ["1000001 bytes", "at most 1000000"]),
    ],
)
async def test_a_malformed_request_gets_a_reason(client: httpx.AsyncClient, body: bytes, words: list[str]) -> None:
    answer = await client.post("/predict", content=body)
    assert answer.status_code == 422, answer.text
    assert set(answer.json()) == {"error"}
    for word in words:
        assert word in answer.json()["error"]


async def test_a_body_without_announced_length_is_limited_too(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100_000
            await asyncio.sleep(0)

    answer = await client.post("/predict", content=endless())
    assert answer.status_code == 422
    assert "more than 1000000 bytes" in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"X_test":' * 2_000 + b"[" * 30_000, b'{"X_test":[' + b"[" * 30_000]
)
async def test_deep_nesting_is_malformed_and_no_failure(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/predict", content=body)
    assert answer.status_code == 422
    assert "not JSON" in answer.json()["error"]


async def test_a_body_that_does_not_come_to_its_end_has_a_deadline(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "BODY_S", 0.01)

    async def unfinished() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await client.post("/predict", content=unfinished())
    assert (answer.status_code, answer.json()) == (408, {"error": "the body has not arrived in 0.01 s"})


async def test_without_the_token_only_the_health_is_told() -> None:
    app = predictor_app(NUMBERS, allows=Access("s" * 20).allows)
    async with calling(app) as http:
        for header in (None, "Bearer wrong", "Basic " + "s" * 20, "s" * 20, "Bearer ä"):
            headers = {} if header is None else {"authorization": header.encode()}
            for answer in (
                await http.post("/predict", json={}, headers=headers),
                await http.get("/model", headers=headers),
            ):
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert "Authorization: Bearer TOKEN" in answer.json()["error"]
        assert (await http.get("/healthz")).status_code == 200
        bearing = {"authorization": "bearer " + "s" * 20}
        assert (await http.post("/predict", json={"X_test": []}, headers=bearing)).json() == {"y_pred": []}


async def test_long_requests_are_answered_like_short_ones(client: httpx.AsyncClient) -> None:
    rows = [
        [k % 3 * 5, 1, 2.5] if k % 2 else {"sepal length": k % 3 * 5, "sepal width": 1, "petal length": 2.5}
        for k in range(999)
    ]
    many = (await client.post("/predict", json={"X_test": rows})).json()["y_pred"]
    few = (await client.post("/predict", json={"X_test": rows[:90]})).json()["y_pred"]
    assert (len(many), many[:90]) == (999, few)
    for place, wrong in (("row 998 has 2 values", [1, 2]), ("row 998 is a number", 3)):
        answer = await client.post("/predict", json={"X_test": [*rows[:998], wrong]})
        assert (answer.status_code, place in answer.json()["error"]) == (422, True)
    spaces = b" " * 20_000
    for body, word in (
        (b"[]", "is a list"),
        (b"{}", "missing"),
        (b'{"X_test": 3}', "is a number"),
        (b'{"X_test": [1', "JSON"),
    ):
        answer = await client.post("/predict", content=spaces + body)
        assert (answer.status_code, word in answer.json()["error"]) == (422, True)


async def test_health_and_model(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    model = (await client.get("/model")).json()
    assert (model["round"], model["metrics"]) == (20, {"accuracy": None})
    assert (model["columns"], model["classes"]) == (list(COLUMNS), [7, 8, 9])
    assert model["layout"]["parameters"] == NUMBERS.layout.size


async def test_other_paths_and_methods_answer_in_json(client: httpx.AsyncClient) -> None:
    assert ((await client.get("/nothing")).status_code, (await client.get("/predict")).status_code) == (404, 405)
    assert "GET /nothing" in (await client.get("/nothing")).json()["error"]
    wrong = await client.get("/predict")
    assert wrong.json() == {"error": "GET /predict: Method Not Allowed; allowed: POST"}
    assert wrong.headers["allow"] == "POST"


async def test_before_there_is_a_model_requests_wait_their_turn() -> None:
    async with calling(predictor_app(SiteModel(MLP()))) as http:
        assert (await http.post("/predict", json={"X_test": []})).status_code == 503
        assert (await http.get("/healthz")).json() == {"status": "waiting for a model"}
        assert (await http.get("/model")).json()["layout"] is None

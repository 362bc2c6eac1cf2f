"""`nervenet serve` without uvicorn: the same answers, by the standard library's server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.models.site_statistics import agree
from nervenet.nodes.serving.answers import Answers
from nervenet.nodes.serving.app import predictor_app
from nervenet.scripts import plain_server
from nervenet.scripts.plain_server import serve_plainly


@pytest.fixture(scope="module")
def site_model() -> SiteModel:
    X = np.random.default_rng(0).normal(size=(30, 4))
    one = SiteModel(MLP(hidden=(4,)), X, np.arange(30) % 3)
    one.build(agree({"a": one.statistics()}), seed=0)
    return one


@contextlib.asynccontextmanager
async def served(site_model: SiteModel) -> AsyncIterator[httpx.AsyncClient]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(serve_plainly(Answers(site_model, {"round": 7}, max_body_bytes=2000), listener))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as client:
                yield client
        finally:
            serving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await serving


REQUESTS = [
    ("POST", "/predict", b'{"X_test": [[5.1, 3.5, 1.4, 0.2]]}'),
    ("POST", "/predict", b'{"X_test": [[5.1, 3.5]]}'),
    ("POST", "/predict", b"garbage"),
    ("POST", "/predict", b"[" * 1999),
    ("POST", "/predict", b" " * 2001),
    ("GET", "/healthz", b""),
    ("GET", "/model", b""),
    ("GET", "/predict", b""),
    ("GET", "/nothing", b""),
    ("POST", "/nothing", b"x"),
    ("POST", "/model", b"x"),
    ("PUT", "/predict", b"x"),
    ("DELETE", "/model", b""),
    ("OPTIONS", "/predict", b""),
    ("OPTIONS", "/nothing", b""),
]


async def test_every_request_is_answered_as_by_the_application(site_model: SiteModel) -> None:
    app = httpx.ASGITransport(predictor_app(site_model, {"round": 7}, max_body_bytes=2000))
    async with served(site_model) as client, httpx.AsyncClient(transport=app, base_url="http://app") as by_app:
        for method, path, content in REQUESTS:
            found = await client.request(method, path, content=content)
            expected = await by_app.request(method, path, content=content)
            assert (found.status_code, found.headers["content-type"]) == (expected.status_code, "application/json")
            assert found.json().keys() == expected.json().keys()
            if found.status_code != 404 and found.status_code != 405:
                assert found.json() == expected.json()
            if found.status_code == 405:
                assert f"allowed: {found.headers['allow']}" in found.json()["error"]
                assert set(found.headers["allow"].split(", ")) == set(expected.headers["allow"].split(", "))
        head = await client.head("/healthz")
        assert (head.status_code, head.content) == (200, b"")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_model_that_fails_is_an_answer_too(site_model: SiteModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(Answers, "_predict", fails)
    async with served(site_model) as client:
        answer = await client.post("/predict", content=b"{}")
    assert (answer.status_code, answer.json()) == (500, {"error": "POST /predict: RuntimeError: out of order"})


async def test_methods_that_it_did_not_know_would_be_answered_by_a_page(
    site_model: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(plain_server._Handler, "do_PUT")
    async with served(site_model) as client:
        answer = await client.put("/predict", content=b"x")
    assert (answer.status_code, answer.headers["content-type"]) == (501, "text/html;charset=utf-8")


async def test_requests_at_once_get_their_own_answers(site_model: SiteModel) -> None:
    X = np.random.default_rng(1).normal(size=(30, 4))
    async with served(site_model) as client:
        bodies = [{"X_test": X[: count + 1].tolist()} for count in range(12)]
        found = await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))
    assert [answer.json()["y_pred"] for answer in found] == [
        site_model.predict(X[: count + 1]).tolist() for count in range(12)
    ]


async def test_a_token_is_asked_for_by_this_server_too(site_model: SiteModel) -> None:
    from nervenet.scripts.http_access import Access

    with socket.create_server(("127.0.0.1", 0)) as listener:
        answers = Answers(site_model, allows=Access("s" * 20).allows)
        serving = asyncio.create_task(serve_plainly(answers, listener))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=60) as http:
            refused = await http.post("/predict", json={"X_test": []})
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert (await http.get("/model")).status_code == 401
            assert (await http.get("/healthz")).status_code == 200
            bearing = {"authorization": "Bearer " + "s" * 20}
            assert (await http.post("/predict", json={"X_test": []}, headers=bearing)).status_code == 200
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def test_a_connection_beyond_the_limit_is_closed_and_any_has_an_end(
    site_model: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_server, "CONNECTIONS", 1)
    monkeypatch.setattr(plain_server, "LIFE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(serve_plainly(Answers(site_model), listener))
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST /predict HTTP/1.1\r\n")
        other, second = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(30):
            assert await other.read() == b""
            assert await reader.read() == b""  # its time is up
        for one in (writer, second):
            one.close()
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


async def test_a_connection_that_is_closed_unsaid_would_be_asked_again(
    site_model: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = plain_server._Handler.send_header

    def unsaid(self: Any, name: str, value: str) -> None:
        if name != "connection":
            send(self, name, value)

    async with served(site_model) as client:
        assert (await client.post("/nothing")).headers["connection"] == "close"
        assert (await client.get("/healthz")).status_code == 200
        monkeypatch.setattr(plain_server._Handler, "send_header", unsaid)
        assert "connection" not in (await client.post("/nothing")).headers


async def ended_while_asked(site_model: SiteModel, monkeypatch: pytest.MonkeyPatch) -> httpx.Response:
    """Return the answer to a request that is being answered when the server is told to end."""
    loop, begun, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    predict = Answers.predict

    def slowly(self: Answers, *asked: Any, **how: Any) -> Any:
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)
        return predict(self, *asked, **how)

    monkeypatch.setattr(Answers, "predict", slowly)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(serve_plainly(Answers(site_model), listener))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=address, trust_env=False, timeout=30) as client:
            asking = asyncio.create_task(client.post("/predict", json={"X_test": []}))
            await begun.wait()
            serving.cancel()
            ended, _ = await asyncio.wait({serving}, timeout=0.1 if plain_server.STOP_S else 30)
            assert bool(ended) == (plain_server.STOP_S == 0)
            may_end.set()
            answer = await asking
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    return answer


async def test_what_is_being_answered_is_finished_before_the_server_ends(
    site_model: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await ended_while_asked(site_model, monkeypatch)
    assert (answer.status_code, answer.json()) == (200, {"y_pred": []})


async def test_without_time_for_that_the_server_would_end_before(
    site_model: SiteModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_server, "STOP_S", 0)
    await ended_while_asked(site_model, monkeypatch)

"""The endpoint of --metrics: over real sockets, to whom it is told, and what becomes of it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.scripts.http_options import check_used
from nervenet.scripts.metrics_endpoint import NOWHERE, Endpoint, endpoint_of

EVENT = {
    "type": "warning",
    "run": "r",
    "node": "a",
    "role": "peer",
    "incarnation": 1,
    "seq": 1,
    "time": 1.0,
    "reason": "x",
}


def opened(metrics: str = "127.0.0.1:0", token: Path | None = None) -> Endpoint:
    return endpoint_of(metrics, token, None, None, insecure=False)


async def test_prometheus_is_told_while_it_is_open_and_nobody_after(ports: int) -> None:
    endpoint, said = opened(f"127.0.0.1:{ports}"), list[str]()  # at a port that the system gives to nobody else
    async with endpoint.open(said.append), httpx.AsyncClient(trust_env=False, timeout=60) as client:
        endpoint.count(EVENT)
        url = said[0].removeprefix("metrics ")
        told = await client.get(url)
        assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'nervenet_warnings_total{run="r"} 1.0' in told.text.splitlines()
        assert (await client.head(url)).content == b""
        assert (await client.get(url.removesuffix("/metrics"))).status_code == 404
        assert (await client.post(url)).status_code == 501
    where = httpx.URL(url).host, httpx.URL(url).port
    with pytest.raises(ConnectionRefusedError), socket.create_connection(where):
        pass


async def test_who_asks_and_never_reads_holds_up_nobody() -> None:
    endpoint, said = opened(), list[str]()
    async with endpoint.open(said.append), httpx.AsyncClient(trust_env=False, timeout=60) as client:
        url = httpx.URL(said[0].removeprefix("metrics "))
        with socket.create_connection((url.host, url.port)) as silent:
            silent.sendall(b"GET /metr")
            assert (await client.get(url)).status_code == 200


async def test_with_a_token_only_its_bearer_is_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s" * 20)
    token.chmod(0o600)
    endpoint, said = opened(token=token), list[str]()
    async with endpoint.open(said.append), httpx.AsyncClient(trust_env=False, timeout=60) as client:
        url = said[0].removeprefix("metrics ")
        refused = await client.get(url)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "nervenet_" not in refused.text
        assert (await client.get(url, headers={"authorization": f"Bearer {'s' * 20}"})).status_code == 200


def test_beyond_this_machine_the_rules_are_those_of_serve(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExperimentError, match=r"^--metrics 0\.0\.0\.0: beyond this machine anybody could ask; "):
        opened("0.0.0.0:0")
    assert endpoint_of("0.0.0.0:0", None, None, None, insecure=True).host == "0.0.0.0"
    assert "insecure: requests and answers travel unencrypted" in capsys.readouterr().err


def test_what_is_of_an_endpoint_alone_is_refused_without_one(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="nothing is told over HTTP; expected --metrics, too"):
        check_used({"--metrics": None}, tmp_path, None, None)
    check_used({"--metrics": None}, None, None, None)
    check_used({"--metrics": "127.0.0.1:0"}, tmp_path, None, None)
    assert endpoint_of(None, None, None, None, insecure=False).metrics is None


def test_an_event_that_cannot_be_counted_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_: Any) -> None:
        raise ValueError("out of order")

    endpoint = opened()
    monkeypatch.setattr(endpoint.metrics, "update", broken)
    for _ in range(3):
        endpoint.count(EVENT)
    assert capsys.readouterr().err.count("an event could not be counted: ValueError: out of order") == 1
    NOWHERE.count(EVENT)

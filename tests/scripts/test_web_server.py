"""The web view over real sockets: who is answered, what with, and what becomes of a browser that stops reading."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.web.app import PAGE, TYPES
from nervenet.nodes.web.browsers import Browser, Browsers
from nervenet.nodes.web.teller import Teller
from nervenet.scripts import http_streams
from nervenet.scripts.web_server import Place, clock, open_place, serve_web

TOKEN = "a-token-of-some-length"
STARTED = {"type": "run.started", "run": "r", "node": "launcher", "role": "launcher", "incarnation": 1, "seq": 1}
STARTED |= {"time": 1.0, "mode": "gossip", "nodes": 2, "rounds": 9, "data": "iris", "model": "mlp"}
PLAIN = (None, None, None)


@asynccontextmanager
async def served(place: Place) -> AsyncIterator[tuple[Browsers, httpx.AsyncClient]]:
    """Serve a run that has begun; yield its browsers, and a client of the place."""
    browsers, over = Browsers(Teller("here"), clock), asyncio.Event()
    browsers.teller.update(STARTED)
    serving = asyncio.create_task(serve_web(place, browsers, waited(over)))
    try:
        async with httpx.AsyncClient(base_url=place.url, timeout=60, trust_env=False) as client:
            yield browsers, client
    finally:
        over.set()
        await serving


async def waited(over: asyncio.Event) -> None:
    await over.wait()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def here() -> Place:
    return open_place("127.0.0.1:0", *PLAIN, insecure=False)


async def test_a_browser_gets_the_state_and_then_what_is_new() -> None:
    async with served(here()) as (browsers, client):
        state = (await client.get("/state")).json()
        assert (state["outcome"]["rounds"], state["source"]) == (9, "here")
        assert (await client.get("/runs")).json() == {"runs": []}
        async with client.stream("GET", "/stream") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: state"
            browsers.teller.update({**STARTED, "type": "node.joined", "node": "peer-0", "role": "peer", "pid": 3})
            async for line in lines:
                if line.startswith("data") and "peer-0" in line and "line" in line:
                    break
            assert browsers.looking
        await until(lambda: not browsers.looking)


async def test_the_curves_of_a_node_are_told_to_who_asks_for_it() -> None:
    async with served(here()) as (browsers, client):
        done = {**STARTED, "type": "round.completed", "node": "a b&c", "role": "peer", "round": 1, "loss": 0.5}
        browsers.teller.update(done)
        told = await client.get("/node", params={"name": "a b&c"})
        assert told.json() == {"run": "r", "name": "a b&c", "round": [1.0], "loss": [0.5], "metric": [None]}
        for words in ({"name": "d"}, {}):
            unknown = await client.get("/node", params=words)
            assert (unknown.status_code, "expected ?name=NODE" in unknown.text) == (404, True)


async def test_streams_end_with_the_server_and_the_last_news_come_before() -> None:
    messages: list[str] = []
    async with served(here()) as (browsers, client), client.stream("GET", "/stream") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: state"
        browsers.teller.update({**STARTED, "type": "run.failed", "reason": "no disk", "status": "failed"})
        browsers.end()
        messages = [line async for line in lines if line.startswith("data")]
    assert json.loads(messages[-1].removeprefix("data: "))["outcome"]["reason"] == "no disk"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/state", {"host": "evil.example"}, 403),
        ("/stream", {"origin": "http://evil.example"}, 403),
        ("/page/nothing.js", {}, 404),
        ("/page/..%2fapp.py", {}, 404),
        ("/page/app.py", {}, 404),
        ("/replay", {}, 404),
        ("/nothing", {}, 404),
    ],
)
async def test_what_is_not_to_be_answered_is_refused(path: str, headers: dict[str, str], status: int) -> None:
    async with served(here()) as (_, client):
        answer = await client.get(path, headers=headers)
        assert answer.status_code == status
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "access-control-allow-origin" not in answer.headers


async def test_a_browser_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_streams, "STALLED_S", 0.2)
    place = here()
    address = place.listener.getsockname()
    async with served(place) as (browsers, client):
        await client.get("/state")
        monkeypatch.setattr(browsers.teller, "news", lambda now: b": %s\n\n" % (b"x" * 2**20))
        joined, join = list[Browser](), browsers.join
        monkeypatch.setattr(browsers, "join", lambda: joined.append(join()) or joined[-1])
        with socket.create_connection(address) as stopped:
            stopped.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await until(lambda: joined)
            await until(lambda: not browsers.looking)
        assert (await client.get("/state")).status_code == 200


async def test_without_that_its_connection_would_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_streams, "STALLED_S", 0.05)
    looks: list[object] = []

    def look_again(self: http_streams.StreamingProtocol) -> None:
        looks.append(self)

    monkeypatch.setattr(http_streams.StreamingProtocol, "_look_again", look_again)
    place = here()
    address = place.listener.getsockname()
    async with served(place) as (browsers, client):
        await client.get("/state")
        monkeypatch.setattr(browsers.teller, "news", lambda now: b": %s\n\n" % (b"x" * 2**20))
        with socket.create_connection(address) as stopped:
            stopped.sendall(b"GET /stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            await until(lambda: bool(looks))
            assert browsers.looking or browsers.teller.also["browsers"]["cut"]


async def test_a_token_opens_it_by_a_header_or_by_a_form(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    async with served(open_place("127.0.0.1:0", file, None, None, insecure=False)) as (_, client):
        assert (await client.get("/state")).status_code == 401
        login = await client.get("/", headers={"accept": "text/html"})
        assert (login.status_code, "<form" in login.text) == (401, True)
        assert (await client.get("/state", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200
        assert (await client.post("/login", data={"token": "wrong"})).status_code == 401
        assert (await client.post("/login", content=b"x" * 10_000)).status_code == 401
        opened = await client.post("/login", data={"token": TOKEN})
        assert (opened.status_code, opened.headers["location"]) == (303, "/")
        assert (await client.get("/state")).status_code == 200  # by the cookie


def test_beyond_this_machine_a_token_or_a_certificate_is_asked_for() -> None:
    with pytest.raises(ExperimentError, match=r"--web 0\.0\.0\.0: beyond this machine .*--token-file"):
        open_place("0.0.0.0:0", *PLAIN, insecure=False)


def test_what_is_no_address_is_named() -> None:
    with pytest.raises(ExperimentError, match="--web runs/x: expected HOST:PORT"):
        open_place("runs/x", *PLAIN, insecure=False)


async def test_what_ends_the_following_ends_the_server() -> None:
    async def follow() -> None:
        raise ExperimentError("no such broker")

    with pytest.raises(ExperimentError, match="no such broker"):
        await serve_web(here(), Browsers(Teller(), clock), follow())


def test_the_page_is_light_and_every_file_of_it_is_served() -> None:
    files = [path for path in PAGE.rglob("*") if path.is_file()] if PAGE.exists() else []
    assert sum(path.stat().st_size for path in files) <= 200_000
    assert {path.suffix for path in files} <= TYPES.keys()
    assert all(path.parent == PAGE for path in files)

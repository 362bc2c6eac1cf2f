"""The ASGI application of the web view: the page, the state, and the stream of what changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ..runtime.printable import html_text
from .background import ending_with
from .browsers import Browsers
from .replays import BadReplay, Replays
from .request_checks import HEADERS, RequestChecks

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
LONGEST_FORM = 4096  # bytes

Endpoint: TypeAlias = Callable[["Request"], Awaitable["Response"]]
Runs: TypeAlias = Callable[[], list[dict[str, Any]]]


def web_app(
    browsers: Browsers, checks: RequestChecks, *, replays: Replays | None = None, runs: Runs = list
) -> Starlette:
    """Return the application.

    Parameters
    ----------
    browsers
        Those that look at the run.
    checks
        Which requests are answered.
    replays
        What plays the recording that is shown, where it is one.
    runs
        Returns what is to be compared.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import Route

    files = {path.name: path for path in PAGE.glob("*") if path.suffix in TYPES}

    async def page(request: Request) -> Response:
        return _file(files, request.path_params.get("name", "index.html"))

    async def state(_request: Request) -> Response:
        return Response(browsers.state(), media_type="application/json")

    async def node(request: Request) -> Response:
        found = browsers.teller.node_json(request.query_params.get("name", ""))
        if found is None:
            return Response("nothing was measured of a node of that name; expected ?name=NODE\n", 404)
        return Response(found, media_type="application/json")

    async def compared(_request: Request) -> Response:
        return Response(msgspec.json.encode({"runs": runs()}), media_type="application/json")

    async def login(request: Request) -> Response:
        token = await _token(request)
        secure = request.url.scheme == "https"
        cookie = None if token is None else checks.cookie(token, _headers(request.scope), secure=secure)
        if cookie is None:
            return Response(_login_page("That is not the token."), 401, media_type=TYPES[".html"])
        return RedirectResponse("/", 303, {"set-cookie": cookie})

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        if browsers.full:
            await Response("too many browsers look already\n", 503)(scope, receive, send)
            return
        browser = browsers.join()
        try:
            await _stream(browser.messages(), receive, send)
        finally:
            browsers.leave(browser)

    async def replay(scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        if replays is None:
            await Response("this is no recording\n", 404)(scope, receive, send)
            return
        try:
            played = replays.play(**Request(scope).query_params)
        except BadReplay as error:
            await Response(f"{error}\n", error.status)(scope, receive, send)
            return
        await _stream(played, receive, send)

    routes = [
        Route("/", page),
        Route("/page/{name}", page),
        Route("/state", state),
        Route("/node", node),
        Route("/runs", compared),
        Route("/login", login, methods=["POST"]),
        Route("/stream", _Raw(stream)),
        Route("/replay", _Raw(replay)),
    ]
    return Starlette(routes=routes, middleware=[Middleware(_Checked, checks)])


class _Raw:
    """An endpoint that speaks ASGI itself; Starlette takes a function for one that gets a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Checked:
    """Refuses what is not to be answered, and gives every answer the headers that keep a browser from doing more."""

    def __init__(self, app: ASGIApp, checks: RequestChecks) -> None:
        self._app, self._checks = app, checks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from starlette.responses import Response

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        app, headers = self._app, _headers(scope)
        if (why := self._checks.refusal(headers)) is not None:
            app = Response(f"{why}\n", 403)
        elif scope["path"] != "/login" and not self._checks.may_look(headers):
            if scope["path"] == "/" and "text/html" in headers.get("accept", ""):
                app = Response(_login_page(), 401, media_type=TYPES[".html"])
            else:
                app = Response("the token is missing\n", 401, {"www-authenticate": "Bearer"})
        await app(scope, receive, answer)


async def _stream(messages: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
    """Send messages as they come, until there are no more or nobody is there."""
    head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": head})

    async def write() -> None:
        async with aclosing(messages):
            async for message in messages:
                await send({"type": "http.response.body", "body": message, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = {asyncio.create_task(write()), asyncio.create_task(gone())}
    async with ending_with(tasks):
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _file(files: dict[str, Path], name: str) -> Response:
    from starlette.responses import Response

    path = files.get(name)
    if path is None:
        return Response("there is no such page\n", 404)
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])


async def _token(request: Request) -> str | None:
    """Return the field ``token`` of a form; None for what is none."""
    from urllib.parse import parse_qs

    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            return None
    return next(iter(parse_qs(body.decode("latin-1")).get("token", [])), None)


def _login_page(said: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>nervenet</title><style>:root{color-scheme:light dark}body{font:16px system-ui;margin:15vh auto;"
        "max-width:22rem;padding:0 1rem}input,button{font:inherit;padding:.4rem;width:100%;box-sizing:border-box;"
        'margin:.3rem 0}</style><h1>nervenet</h1><form method="post" action="/login"><label>Token, as in the file of '
        '<code>--token-file</code><input name="token" type="password" autocomplete="current-password" autofocus>'
        f"</label><button>Look</button></form><p>{html_text(said)}</p></html>"
    )

"""The ASGI application that answers predictions; run it by uvicorn, or mount it in an application of your own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from . import answers as a
from .answers import MAX_BODY_BYTES, MAX_ROWS, Answer, Answers, Asked, Info
from .refusals import Malformed

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

AT_ONCE = 2  # long requests that are computed at once: the others wait, and short ones are answered

Headers = Mapping[bytes, str]
Endpoint = Callable[[Headers, "Receive"], Awaitable[Answer | None]]


def predictor_app(
    site_model: SiteModel,
    info: Info | None = None,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_rows: int = MAX_ROWS,
    allows: Callable[[str], bool] = lambda _: True,
) -> Starlette:
    """Return the ASGI application; run it by uvicorn, or mount it in an application of your own.

    Parameters
    ----------
    site_model
        The model, as ``load_model`` returns it, or a peer's, which goes on learning while it answers; before the nodes
        have agreed on one, requests are answered by 503.
    info
        What ``GET /model`` shows beside the layout, such as ``round`` and ``metrics``; called for each request if it
        is a function.
    max_body_bytes, max_rows
        Requests beyond are answered by 422, before they are parsed where their length is announced.
    allows
        Whether the header Authorization of a request is that of one who may ask; all may ask ``/healthz``. Others are
        answered by 401.
    """
    return app_of(Answers(site_model, info, max_body_bytes=max_body_bytes, max_rows=max_rows, allows=allows))


def app_of(answers: Answers) -> Starlette:
    """Return the application that gives these answers."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    turns = asyncio.Semaphore(AT_ONCE)

    def asking(*, proba: bool) -> Endpoint:
        async def predict(headers: Headers, receive: Receive) -> Answer | None:
            try:
                answers.check_length(headers.get(b"content-length", ""))
                async with asyncio.timeout(a.BODY_S):
                    body = await _body(receive, answers.max_body_bytes)
            except Malformed as error:
                return answers.refused(error)
            except TimeoutError:
                return answers.late()
            if body is None:
                return None
            asked = Asked(
                headers.get(b"content-type", ""), headers.get(b"accept", ""), headers.get(b"content-encoding", "")
            )
            if answers.at_once(body, asked):
                return answers.predict(body, asked, proba=proba)
            async with turns:
                return await asyncio.to_thread(answers.predict, body, asked, proba=proba)

        return predict

    def telling(answer: Callable[[], Answer]) -> Endpoint:
        async def tell(_headers: Headers, _receive: Receive) -> Answer:
            return answer()

        return tell

    def route(path: str, method: str, endpoint: Endpoint, *, open_to_all: bool = False) -> Route:
        return Route(path, _Path(path, answers, endpoint, open_to_all=open_to_all), methods=[method])

    async def failed(request: Request, error: Exception) -> Response:
        status, headers = getattr(error, "status_code", 500), getattr(error, "headers", None) or {}
        why = getattr(error, "detail", None) or f"{type(error).__name__}: {error}"
        answer = answers.failed(status, f"{request.method} {request.url.path}", why, headers.get("Allow", ""))
        answers.metrics.answered("other", status, 0.0)
        return Response(answer.body, status, dict(answer.headers), media_type=answer.media)

    return Starlette(
        routes=[
            route("/predict", "POST", asking(proba=False)),
            route("/predict_proba", "POST", asking(proba=True)),
            route("/healthz", "GET", telling(answers.healthz), open_to_all=True),
            route("/model", "GET", telling(answers.model)),
            route("/metrics", "GET", telling(answers.exposition)),
            route("/openapi.json", "GET", telling(answers.openapi)),
        ],
        exception_handlers={404: failed, 405: failed, 500: failed},
    )


class _Path:
    """One path, spoken to by ASGI itself: what a request object and a response object cost is half of an answer."""

    def __init__(self, path: str, answers: Answers, endpoint: Endpoint, *, open_to_all: bool) -> None:
        self._path, self._answers, self._endpoint, self._open = path, answers, endpoint, open_to_all

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        answer: Answer | None = self._answers.unauthorized()
        if self._open or self._answers.allows(headers.get(b"authorization", "")):
            answer = await self._endpoint(headers, receive)
        if answer is None:  # nobody is there to be answered
            return
        self._answers.metrics.answered(self._path, answer.status, time.perf_counter() - began)
        said = [(b"content-type", answer.media.encode()), (b"content-length", b"%d" % len(answer.body))]
        said += [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        if answer.status in (401, 408):  # of a request that is refused the rest is not read
            said.append((b"connection", b"close"))
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": said})
        await send({"type": "http.response.body", "body": body})


async def _body(receive: Receive, most: int) -> bytes | bytearray | None:
    """Return the body of a request, None where its sender has gone. Raises Malformed for one that is too long."""
    body: bytes | bytearray = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if not body:
            body = chunk
        elif chunk:
            body = body if isinstance(body, bytearray) else bytearray(body)
            body += chunk
        if len(body) > most:
            raise Malformed(f"the body has more than {most} bytes; expected fewer")
    return body

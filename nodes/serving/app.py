"""The ASGI application that answers predictions; run it by uvicorn, or mount it in an application of your own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from nervenet.models.extras import require

from . import answers as a
from .answers import MAX_BODY_BYTES, MAX_ROWS, Answer, Answers, Asked, Info
from .json_rows import SHORT_BYTES
from .refusals import Malformed

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

AT_ONCE = 2  # long requests that are computed at once: the others wait, and short ones are answered

Endpoint = Callable[["Request"], Awaitable[Answer]]


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

    Raises
    ------
    MissingExtra
        Starlette is not installed.
    """
    require("predictor_app", "starlette")
    return app_of(Answers(site_model, info, max_body_bytes=max_body_bytes, max_rows=max_rows, allows=allows))


def app_of(answers: Answers) -> Starlette:
    """Return the application that gives these answers."""
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    turns = asyncio.Semaphore(AT_ONCE)

    def response(answer: Answer) -> Response:
        headers = dict(answer.headers)
        if answer.status in (401, 408):  # of a request that is refused the rest is not read
            headers["connection"] = "close"
        return Response(answer.body, answer.status, headers, media_type=answer.media)

    def route(path: str, method: str, endpoint: Endpoint, *, open_to_all: bool = False) -> Route:
        async def answered(request: Request) -> Response:
            began = time.perf_counter()
            if open_to_all or answers.allows(request.headers.get("authorization", "")):
                answer = await endpoint(request)
            else:
                answer = answers.unauthorized()
            answers.metrics.answered(path, answer.status, time.perf_counter() - began)
            return response(answer)

        return Route(path, answered, methods=[method])

    def asking(*, proba: bool) -> Endpoint:
        async def predict(request: Request) -> Answer:
            try:
                async with asyncio.timeout(a.BODY_S):
                    body = await _body(request, answers)
            except Malformed as error:
                return answers.refused(error)
            except TimeoutError:
                return answers.late()
            headers = request.headers
            asked = Asked(
                headers.get("content-type", ""), headers.get("accept", ""), headers.get("content-encoding", "")
            )
            if len(body) < SHORT_BYTES and answers.quick:
                return answers.predict(body, asked, proba=proba)
            async with turns:
                return await asyncio.to_thread(answers.predict, body, asked, proba=proba)

        return predict

    def telling(answer: Callable[[], Answer]) -> Endpoint:
        async def tell(_: Request) -> Answer:
            return answer()

        return tell

    async def failed(request: Request, error: Exception) -> Response:
        status, headers = getattr(error, "status_code", 500), getattr(error, "headers", None) or {}
        why = getattr(error, "detail", None) or f"{type(error).__name__}: {error}"
        answer = answers.failed(status, f"{request.method} {request.url.path}", why, headers.get("Allow", ""))
        answers.metrics.answered("other", status, 0.0)
        return response(answer)

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


async def _body(request: Request, answers: Answers) -> bytes | bytearray:
    answers.check_length(request.headers.get("content-length", ""))
    body: bytes | bytearray = b""
    async for chunk in request.stream():
        if not body:
            body = chunk
            continue
        if isinstance(body, bytes):
            body = bytearray(body)
        body += chunk
        if len(body) > answers.max_body_bytes:
            break
    if len(body) > answers.max_body_bytes:
        raise Malformed(f"the body has more than {answers.max_body_bytes} bytes; expected fewer")
    return body

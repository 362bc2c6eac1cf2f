"""Predictions over HTTP from a saved model, or from one that is still learning.

``POST /predict`` takes ``{"X_test": [[…], …]}`` in raw units and answers ``{"y_pred": […]}`` with the original labels.
Rows may be objects, with columns by name. A model of tables takes texts, dates and null, too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.models.extras import require
from nervenet.models.plugins import listed

from .results.run_dir import to_json

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from nervenet.models.tables.schema import Schema
    from nervenet.models.tables.table import Table
    from numpy.typing import NDArray
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

FIELD = "X_test"

MAX_BODY_BYTES = 16 * 2**20
MAX_ROWS = 100_000

BODY_S = 30.0  # in which a body has to arrive
AT_ONCE = 2  # long requests that are computed at once: the others wait, and short ones are answered

# Shorter requests than this are answered on the event loop: a thread would cost more than the multiplications.
INLINE_BYTES = 16_384


class Malformed(ValueError):
    """A request that holds no table of numbers; the message names the field, what was expected and what was found."""


class Answers:
    """What each request is answered, by status and JSON, whichever server carries it; may be asked by several threads.

    Parameters
    ----------
    site_model, info, max_body_bytes, max_rows, allows
        See `predictor_app`.
    """

    def __init__(
        self,
        site_model: SiteModel,
        info: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_rows: int = MAX_ROWS,
        allows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.max_body_bytes = max_body_bytes
        self.allows = allows
        self._site_model, self._info, self._max_rows = site_model, info, max_rows

    def predict(self, body: bytes) -> tuple[int, str]:
        if not self._site_model.built:
            return 503, to_json({"error": "there is no model yet; the nodes have not agreed on one"})
        try:
            rows = self._rows(body)
            if not len(rows):  # estimators want one row at least
                return 200, to_json({"y_pred": []})
            y = self._site_model.predict(rows)
        except Malformed as error:
            return self.malformed(error)
        except ValueError as error:  # a pipeline that makes no number of a row
            return self.malformed(Malformed(f"{FIELD}: {error}"))
        return 200, to_json({"y_pred": y.tolist()})  # nan and inf become null

    def _rows(self, body: bytes) -> Any:
        agreed = self._site_model.preprocessing
        if hasattr(agreed, "schema"):
            return read_rows(body, agreed.schema, self._max_rows)
        return read_table(body, agreed.columns, self._max_rows)

    def healthz(self) -> tuple[int, str]:
        return 200, to_json({"status": "ok" if self._site_model.built else "waiting for a model"})

    def model(self) -> tuple[int, str]:
        known = self._info() if callable(self._info) else self._info or {}
        return 200, to_json({"round": None, "metrics": {}, **known, **describe(self._site_model)})

    def check_length(self, announced: str) -> None:
        """Raise `Malformed` for a body that is announced as too long."""
        if announced.isdigit() and int(announced) > self.max_body_bytes:
            raise Malformed(f"the body has {announced} bytes; expected at most {self.max_body_bytes}")

    @staticmethod
    def malformed(error: Malformed) -> tuple[int, str]:
        return 422, to_json({"error": str(error)})

    @staticmethod
    def unauthorized() -> tuple[int, str]:
        return 401, to_json({"error": "no token, or a wrong one; expected the header Authorization: Bearer TOKEN"})

    @staticmethod
    def late() -> tuple[int, str]:
        return 408, to_json({"error": f"the body has not arrived in {BODY_S:g} s"})

    @staticmethod
    def refused(status: int, request: str, why: object) -> tuple[int, str]:
        return status, to_json({"error": f"{request}: {why}"})


def predictor_app(
    site_model: SiteModel,
    info: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
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
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    answers = Answers(site_model, info, max_body_bytes=max_body_bytes, max_rows=max_rows, allows=allows)
    turns = asyncio.Semaphore(AT_ONCE)

    def response(answer: tuple[int, str]) -> Response:
        headers = {"www-authenticate": "Bearer"} if answer[0] == 401 else {}
        # Of a request that is refused the rest is not read.
        headers |= {"connection": "close"} if answer[0] in (401, 408) else {}
        return Response(answer[1], answer[0], headers, media_type="application/json")

    def authorized(request: Request) -> bool:
        return answers.allows(request.headers.get("authorization", ""))

    async def predict(request: Request) -> Response:
        if not authorized(request):
            return response(answers.unauthorized())
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(request, answers)
        except Malformed as error:
            return response(answers.malformed(error))
        except TimeoutError:
            return response(answers.late())
        if len(body) < INLINE_BYTES:
            return response(answers.predict(body))
        async with turns:
            return response(await asyncio.to_thread(answers.predict, body))

    async def healthz(request: Request) -> Response:  # noqa: ARG001
        return response(answers.healthz())

    async def model(request: Request) -> Response:
        return response(answers.model() if authorized(request) else answers.unauthorized())

    async def failed(request: Request, error: Exception) -> Response:
        why, headers = getattr(error, "detail", error), getattr(error, "headers", None) or {}
        if methods := headers.get("Allow"):
            why = f"{why}; allowed: {methods}"
        status, text = answers.refused(getattr(error, "status_code", 500), f"{request.method} {request.url.path}", why)
        return Response(text, status, headers, media_type="application/json")

    return Starlette(
        routes=[
            Route("/predict", predict, methods=["POST"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/model", model, methods=["GET"]),
        ],
        exception_handlers={404: failed, 405: failed},
    )


def read_table(body: bytes, columns: tuple[str, ...], max_rows: int = MAX_ROWS) -> NDArray[np.float64]:
    """Return ``{"X_test": [[…], …]}``, or ``{"X_test": [{…}, …]}`` with columns by name, as an array of shape (rows,
    columns), float64, all finite; true and false are 1 and 0. Further names in an object are ignored.

    Raises
    ------
    Malformed
        With the row and the column of the first value that cannot be used.
    """
    expected = f"expected {len(columns)} numbers a row ({listed(columns)})"
    rows = _rows_of(body, expected, max_rows)
    table = np.empty((len(rows), len(columns)))
    # A row at a time throughout: a long call would keep all other threads, and so other requests, waiting.
    for number, row in enumerate(rows):
        if isinstance(row, dict):
            row = _by_name(number, row, columns)
        if not isinstance(row, list):
            raise Malformed(f"{FIELD} row {number} is {_kind(row)}; expected a list or an object, {expected}")
        if len(row) != len(columns):
            raise Malformed(f"{FIELD} row {number} has {len(row)} values; {expected}")
        # One fast check of the types; only a row that fails it is checked value by value.
        if not set(map(type, row)) <= {int, float, bool} or not all(map(_finite, row)):
            _refuse_value(number, row, columns)
        table[number] = row
    return table


def read_rows(body: bytes, schema: Schema, max_rows: int = MAX_ROWS) -> Table:
    """Return ``{"X_test": [[…], …]}``, or ``{"X_test": [{…}, …]}`` with columns by name, as a table of agreed columns.

    null, or a column that an object leaves out, is a gap. Raises `Malformed` like `read_table`.
    """
    from nervenet.models.tables.rows import BadCell, table_of_rows

    expected = f"expected {len(schema.columns)} values a row ({listed(schema.columns)}), or an object of them by name"
    try:
        return table_of_rows(_rows_of(body, expected, max_rows), schema)
    except BadCell as error:
        raise Malformed(f"{FIELD} {error}") from None


def _rows_of(body: bytes, expected: str, max_rows: int) -> list[Any]:
    """Return the rows of a request as JSON has them. Raises `Malformed`."""
    import msgspec

    try:
        if len(body) >= INLINE_BYTES and (many := _many_rows(body, expected, max_rows)) is not None:
            return many
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(f"the body is not JSON: {error}; expected {{{FIELD!r}: [[…], …]}}") from None
    if not isinstance(request, dict):
        raise Malformed(f"the body is {_kind(request)}; expected an object with the field {FIELD}")
    if FIELD not in request:
        found = listed(tuple(request)) if request else "none"
        raise Malformed(f"field {FIELD} is missing (fields received: {found}); {expected}")
    rows = request[FIELD]
    if not isinstance(rows, list):
        raise Malformed(f"{FIELD} is {_kind(rows)}; expected a list of rows, {expected}")
    _check_rows(rows, max_rows)
    return rows


def _many_rows(body: bytes, expected: str, max_rows: int) -> list[Any] | None:
    """Return the rows of a long request, parsed one by one; None where it is not an object with a list of them."""
    import msgspec

    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        if FIELD not in fields:
            raise Malformed(f"field {FIELD} is missing (fields received: {listed(tuple(fields))}); {expected}")
        rows = msgspec.json.decode(fields[FIELD], type=list[msgspec.Raw])
    except msgspec.ValidationError:
        return None
    _check_rows(rows, max_rows)
    return [msgspec.json.decode(row) for row in rows]


def _check_rows(rows: list[Any], max_rows: int) -> None:
    if len(rows) > max_rows:
        raise Malformed(f"{FIELD} has {len(rows)} rows; expected at most {max_rows} in one request")


def describe(site_model: SiteModel) -> dict[str, Any]:
    """Return layout, columns and classes of a model, as JSON values."""
    if not site_model.built:
        return {"layout": None}
    layout, preprocessing = site_model.layout, site_model.preprocessing
    kinds = {"kinds": preprocessing.schema.kinds} if hasattr(preprocessing, "schema") else {}
    return kinds | {
        "layout": {**layout.to_dict(), "hash": layout.hash, "parameters": layout.size},
        "columns": preprocessing.columns,
        "classes": preprocessing.classes,
    }


async def _body(request: Request, answers: Answers) -> bytes:
    answers.check_length(request.headers.get("content-length", ""))
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > answers.max_body_bytes:
            raise Malformed(f"the body has more than {answers.max_body_bytes} bytes; expected fewer")
    return bytes(body)


def _by_name(number: int, row: Mapping[str, Any], columns: tuple[str, ...]) -> list[Any]:
    """Return the values of a row that is an object, in the order of the columns."""
    lacking = [column for column in columns if column not in row]
    if lacking:
        odd = [name for name in row if name not in columns]
        found = f" (it has {listed(odd)}, which the model does not know)" if odd else ""
        names = listed([repr(column) for column in lacking])
        raise Malformed(f"{FIELD} row {number} lacks {names}{found}; expected a number for each of {listed(columns)}")
    return [row[column] for column in columns]


def _refuse_value(number: int, row: list[Any], columns: tuple[str, ...]) -> None:
    for column, value in zip(columns, row, strict=True):
        if not isinstance(value, int | float) or not _finite(value):
            shown = _kind(value) if value is None or isinstance(value, list | dict) else repr(value)[:60]
            raise Malformed(f"{FIELD} row {number}, column {column!r} is {shown}; expected a finite number")


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
